"""One session in event time: units waiting to be encoded, windows waiting to be complete.

The rule: a window exists if at least one unit lies in it, closes once when the watermark reaches its end, and is
handed on when every unit in it is encoded, in the order windows closed. A unit that lies in closed windows only is
late; within `grace` those windows are revised instead. Lateness is decided per window: a late unit still joins the
windows that are open.

With a `lookback` a window comes with what lies in the windows of the grid just before it, so that its answer may be
smoothed by theirs and still be made of units alone: nothing is remembered of what was answered. When a session comes
back from a log, the windows before its first are rebuilt, closed in their time like any others, and not handed on.

There is no I/O and no clock here: monotonic time is handed in. Many sessions, and when one is over, are
`streams.alignment.sessions`.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from streams.alignment.assembly import FOREVER_NS, Assembler, FrameSampler, Lines, SoundSegmenter
from streams.alignment.ordered_units import UnitsByModality, first_from, insert, starting_in, within
from streams.alignment.origin import LIVE_WITHIN_NS, STORED, Arrival
from streams.alignment.sequence import SequenceCheck
from streams.alignment.watermark import NEVER_NS, Watermark, WatermarkConfig
from streams.alignment.windows import SegmentGrid, WindowGrid
from streams.clock import NS_PER_S
from streams.delivery.ledger import SessionLease
from streams.events import EncodingUnit, Event
from streams.reasons import DropReason
from streams.records import Modality
from streams.telemetry import Telemetry

SEGMENTS = SegmentGrid(NS_PER_S, NS_PER_S)
"""How sound is cut into units where nothing else is asked for: seconds, one after the other."""


@dataclass(frozen=True, slots=True)
class TimelineConfig:
    """What decides which windows there are and what is in them."""

    grid: WindowGrid
    watermark: WatermarkConfig
    grace_ns: int = 0
    sample_hz: float = 5.0
    segments: SegmentGrid = SEGMENTS
    lookback_ns: int = 0
    """How far before its own start a window looks back: whole steps."""

    def __post_init__(self) -> None:
        if self.grace_ns < 0 or self.sample_hz <= 0:
            raise ValueError(f"grace and sampling rate are not below 0 ({self.grace_ns} ns, {self.sample_hz} Hz)")
        if not self.grid.covers_every(self.segments):
            raise ValueError(f"sound would be missed: some {self.segments} lie in no window of {self.grid}")
        if self.lookback_ns < 0 or self.lookback_ns % self.grid.step_ns:
            raise ValueError(f"a lookback is whole steps of {self.grid.step_ns} ns, not {self.lookback_ns} ns")

    @property
    def lookback_windows(self) -> int:
        """How many windows of the grid before its own a window looks back on."""
        return self.lookback_ns // self.grid.step_ns

    def assemblers(self, telemetry: Telemetry) -> dict[Modality, Assembler]:
        """One assembler for each modality of a new session."""
        return {
            Modality.VIDEO: FrameSampler(self.sample_hz, telemetry),
            Modality.AUDIO: SoundSegmenter(self.segments, telemetry),
            Modality.TEXT: Lines(),
        }


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """A window whose time has come, with the units in it; scored when all of them are done."""

    session: str
    start_ns: int
    end_ns: int
    closed_by: str
    """`watermark`, `idle`, `end` or `drain`."""
    revision: int
    units: UnitsByModality
    received_fraction: dict[Modality, float]
    """How much of the window was received, 0..1, whatever it held; for text, whether there was a line."""
    watermark_lag_ns: int
    """How far the session's event time was ahead of the watermark when the window closed."""
    index: int
    """Its place on the grid of windows."""
    lease: SessionLease | None
    """The session's place in the ledger; None where it does not come from a log."""
    lookback: UnitsByModality = field(default_factory=dict)
    """What starts in the lookback before `start_ns`: with `units`, all that lies in the preceding windows."""
    live: bool = True
    """Whether it was of the present when it closed, and not of a stored session or a backlog."""

    @property
    def ready(self) -> bool:
        """Whether every unit is encoded (or known to be unusable), also of those before."""
        return all(unit.done for found in (self.units, self.lookback) for units in found.values() for unit in units)

    def preceding(self, count: int, step_ns: int) -> list[UnitsByModality]:
        """What lies in each of the `count` windows of the grid before this one, as far as it is known now.

        The oldest comes first; at most as many as the lookback holds.
        """
        known = {modality: (*self.lookback.get(modality, ()), *units) for modality, units in self.units.items()}
        spans = [(self.start_ns - ago * step_ns, self.end_ns - ago * step_ns) for ago in range(count, 0, -1)]
        return [{modality: within(units, *span) for modality, units in known.items()} for span in spans]


@dataclass(slots=True)
class SessionTimeline:
    """State of one session. Owned by the timeline thread; no lock."""

    session: str
    config: TimelineConfig
    telemetry: Telemetry
    open_from: int | None = None
    """Windows before this one are closed; None until the watermark is known. Given for a session that comes back."""
    lease: SessionLease | None = None
    """The session's place in the ledger, where it comes from a log."""
    watermark: Watermark = field(init=False)
    assemblers: dict[Modality, Assembler] = field(init=False)
    units: dict[Modality, list[EncodingUnit]] = field(init=False)
    sequences: dict[Modality, SequenceCheck] = field(init=False)
    closed: deque[ClosedWindow] = field(default_factory=deque)
    revisions: dict[int, int] = field(init=False)
    """Windows closed and still in grace, with their last revision."""
    newest_ns: int = field(init=False)
    """How far event time has come, as far as it can be believed."""
    furthest_ns: int = field(init=False)
    """How far the events reach, those that are ahead of their time too."""
    live: bool = False
    """Whether what it tells happens now, so that its delays are those of the service."""
    behind_ns: int | None = None
    """How far the first event that missed a window was behind the watermark."""
    warned_of: set[str] = field(default_factory=set)
    """What has been told in the log, once for the session."""
    published_before: int | None = field(init=False)
    """Windows before this one were handed on when the session was here last: they are not handed on again."""
    never_before: int | None = field(init=False)
    """No window before this one takes anything: it was closed before, and nothing looks back on it."""

    def __post_init__(self) -> None:
        self.published_before = self.open_from
        if self.open_from is not None and self.lease is not None and self.lease.restored_through == self.open_from:
            self.open_from -= self.config.lookback_windows  # the log is read again from there on
        self.never_before = self.open_from
        self._begin()

    def _begin(self) -> None:
        self.watermark = Watermark(self.config.watermark)
        self.assemblers = self.config.assemblers(self.telemetry)
        self.units = {modality: [] for modality in Modality}
        self.sequences = {modality: SequenceCheck() for modality in Modality}
        self.revisions = {}
        self.newest_ns = self.furthest_ns = NEVER_NS

    def reset(self, now_ns: int) -> list[EncodingUnit]:
        """Closes every window and forgets event time, which was that of a clock that has been set back.

        Returns the units to encode. Not for a session of a log.
        """
        units = self.advance(now_ns, "end")
        self.open_from = self.published_before = self.never_before = None
        self._begin()
        return units

    def add(self, event: Event, arrival: Arrival) -> int | None:
        """Takes one event; one that only closed windows contain is counted and dropped.

        Returns the last window that the event can matter to, be it as something looked back on; None if it was dropped.
        """
        until_ns = event.time_ns + event.duration_ns
        # Sound may be written while it goes on; of how long it lasts no more than the bound is believed.
        lasts_ns = min(event.duration_ns, self.config.watermark.disorder_bound_ns)
        proved_ns = min(until_ns, arrival.latest_ns + lasts_ns)
        self.watermark.event((arrival.source, event.modality), proved_ns, arrival.now_ns, arrival.origin)
        if proved_ns >= self.newest_ns:
            self.newest_ns = proved_ns
            self.live = arrival.origin is not STORED and event.received_ns - proved_ns <= LIVE_WITHIN_NS
        self.furthest_ns = max(self.furthest_ns, until_ns)
        accepts_from, assembler = self._accepts_from(), self.assemblers[event.modality]
        last = self.config.grid.last_containing(assembler.reaches_ns(event))
        if accepts_from is not None and last < accepts_from:
            self._drop(event, last)
            return None
        if accepts_from is not None and self._first_missed(event) < accepts_from:
            self._late(event)
        if self.sequences[event.modality].repeats(event, self.telemetry):
            self.telemetry.dropped(event.modality, DropReason.REPEAT)
            return None
        self.telemetry.event(event.modality)
        assembler.add(event)
        return last + self.config.lookback_windows

    def scored_before(self) -> int | None:
        """Windows before this one are handed on to be scored, or will never be; None until the watermark is known."""
        accepts_from = self._accepts_from()
        if accepts_from is None or not self.closed:
            return accepts_from
        return min(accepts_from, min(window.index for window in self.closed))

    @property
    def settled(self) -> bool:
        """Whether every window that events lie in has closed, those that are ahead too."""
        return self.open_from is None or self.open_from > self.config.grid.last_containing(self.furthest_ns)

    def _drop(self, event: Event, last: int) -> None:
        """Counts an event that no window takes any more; those up to `last`, the last that it is in, are closed."""
        restored = self.lease.restored_through if self.lease else None
        if restored is not None and last < restored:
            self.telemetry.dropped(event.modality, DropReason.ALREADY_SCORED)
        else:
            self.telemetry.dropped(event.modality, DropReason.LATE)
            self._late(event)

    def _late(self, event: Event) -> None:
        self.telemetry.late(event.modality)
        if self.behind_ns is None:
            self.behind_ns = max(0, self.watermark.time_ns - event.time_ns)

    def _first_missed(self, event: Event) -> int:
        """The first window that the event is in and that was not scored before the session came to this instance."""
        first = self.config.grid.first_containing(event.time_ns, event.time_ns)
        if self.lease is None or self.lease.restored_through is None:
            return first
        return max(first, self.lease.restored_through)

    def advance(self, now_ns: int, end_by: str | None = None) -> list[EncodingUnit]:
        """Moves the watermark, closes what is complete, and returns the units to encode.

        With `end_by` (`end`, `idle` or `drain`) the session is over: everything in it is released and closed.
        """
        accepts_from = self._accepts_from()  # as it was when the events came in
        reached_ns = self.watermark.advance(now_ns) if end_by is None else FOREVER_NS
        closed_by = end_by or ("idle" if self.watermark.by_idleness else "watermark")
        released = (unit for assembler in self.assemblers.values() for unit in assembler.release(reached_ns))
        new = [unit for unit in released if self.config.grid.holds(unit.start_ns, unit.end_ns)]
        if accepts_from is not None and new:  # late sound may change segments that only closed windows hold
            new = [unit for unit in new if self.config.grid.last_containing(unit.start_ns) >= accepts_from]
        for unit in new:
            insert(self.units[unit.modality], unit)
        if accepts_from is not None and new:
            self._revise(new, accepts_from, closed_by)
        self._close(reached_ns, closed_by)
        return new

    def ready_windows(self) -> Iterator[ClosedWindow]:
        """Closed windows whose units are all done, in closing order."""
        while self.closed and self.closed[0].ready:
            yield self.closed.popleft()

    def open_windows(self) -> int:
        """How many windows hold units and are not closed yet."""
        last = [self.config.grid.last_containing(units[-1].start_ns) for units in self.units.values() if units]
        first = self._next_with_units(self.open_from)
        return 0 if first is None else max(last) - first + 1

    def _accepts_from(self) -> int | None:
        """The first window that still takes events: open, or closed and in grace."""
        if self.open_from is None or not self.config.grace_ns:
            return self.open_from
        in_grace = self.config.grid.first_open(self.watermark.time_ns - self.config.grace_ns)
        return min(self.open_from, in_grace if self.never_before is None else max(in_grace, self.never_before))

    def _close(self, reached_ns: int, closed_by: str) -> None:
        complete_before = self.config.grid.first_open(reached_ns)
        if self.open_from is not None and complete_before <= self.open_from:
            return
        index = self._next_with_units(self.open_from)
        while index is not None and index < complete_before:
            self._emit(index, closed_by)
            self.open_from = index + 1
            index = self._next_with_units(self.open_from)
        if reached_ns not in (FOREVER_NS, NEVER_NS):
            self.open_from = complete_before
        self._forget()

    def _revise(self, new: list[EncodingUnit], accepts_from: int, closed_by: str) -> None:
        """Hands closed windows in grace on again when a new unit lies in them, or in what they look back on."""
        if self.open_from is None or accepts_from == self.open_from:
            return
        grid, changed = self.config.grid, set[int]()
        for unit in new:
            first = max(accepts_from, grid.first_containing(unit.start_ns, unit.end_ns))
            last = grid.last_containing(unit.start_ns) + self.config.lookback_windows
            changed.update(range(first, min(self.open_from, last + 1)))
        for index in sorted(changed):
            self._emit(index, closed_by)

    def _next_with_units(self, index: int | None) -> int | None:
        """The first window from `index` on that a unit lies in."""
        grid, found = self.config.grid, list[int]()
        for units in self.units.values():
            at = 0 if index is None else first_from(units, grid.start_ns(index))
            if at < len(units):
                first = grid.first_containing(units[at].start_ns, units[at].end_ns)
                found.append(first if index is None else max(first, index))
        return min(found, default=None)

    def _emit(self, index: int, closed_by: str) -> None:
        """Hands a window on, unless it was before the session came here, or nothing lies in it."""
        if self.published_before is not None and index < self.published_before:
            return
        start_ns, end_ns = self.config.grid.start_ns(index), self.config.grid.end_ns(index)
        units = {modality: within(units, start_ns, end_ns) for modality, units in self.units.items()}
        if not any(units.values()):
            return
        received = self._received(units, start_ns)
        revision = self.revisions.get(index, -1) + 1
        if self.config.grace_ns:
            self.revisions[index] = revision
        lag_ns = max(0, self.newest_ns - max(self.watermark.time_ns, end_ns))
        self.closed.append(
            ClosedWindow(
                self.session,
                start_ns,
                end_ns,
                closed_by,
                revision,
                units,
                received,
                lag_ns,
                index,
                self.lease,
                self._lookback(start_ns),
                self.live,
            ),
        )
        self.telemetry.window_closed(closed_by)

    def _lookback(self, start_ns: int) -> UnitsByModality:
        """What a window that starts at `start_ns` needs to look back on; nothing where none does."""
        lookback_ns = self.config.lookback_ns
        if not lookback_ns:
            return {}
        return {
            modality: starting_in(units, start_ns - lookback_ns, start_ns) for modality, units in self.units.items()
        }

    def _received(self, units: UnitsByModality, start_ns: int) -> dict[Modality, float]:
        size_ns = self.config.grid.size_ns
        pictures = len(units[Modality.VIDEO]) * 1e9 / (self.config.sample_hz * size_ns)
        segments = self.config.segments.count_within(start_ns, start_ns + size_ns)
        sound = sum(unit.received_fraction for unit in units[Modality.AUDIO]) / max(1, segments)
        return {
            Modality.VIDEO: min(1.0, pictures),
            Modality.AUDIO: min(1.0, sound),
            Modality.TEXT: float(bool(units[Modality.TEXT])),
        }

    def _forget(self) -> None:
        """Frees what no window that still accepts events can need, or look back on."""
        accepts_from = self._accepts_from()
        if accepts_from is None:
            return
        before_ns = self.config.grid.start_ns(accepts_from)
        for units in self.units.values():
            del units[: first_from(units, before_ns - self.config.lookback_ns)]
        for assembler in self.assemblers.values():
            assembler.forget(before_ns)
        for check in self.sequences.values():
            check.forget(before_ns)
        for index in [i for i in self.revisions if i < accepts_from]:
            del self.revisions[index]
