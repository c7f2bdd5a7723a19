"""Aligns the events of one session in windows of event time.

Rule: a window exists if at least one unit lies in it. It closes once, when the watermark reaches its end, and is ready
when every unit in it is encoded; windows leave in the order in which they closed. A unit that lies in closed windows
only is late; within grace those windows are revised instead. Lateness is decided for each window: a late unit still
joins the windows that are open.

How far windows have come, and what grace, lookback and restore mean for them, is drawn in
`streams.alignment.window_progress`.

Where speech is transcribed, a window is held beyond the watermark until the words said in it are known
(`streams.speech.session_speech`), though not for longer than configured where it happens now.

Left out: I/O and the clock (monotonic time is handed in), and many sessions and their end, which are
`streams.alignment.sessions`.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from streams.alignment.assembly import FOREVER_NS
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.held_windows import HeldWindows, Reached
from streams.alignment.ordered_units import UnitsByModality, first_from, insert, starting_in, within
from streams.alignment.origin import LIVE_WITHIN_NS, STORED, Arrival
from streams.alignment.received import received_fraction
from streams.alignment.session_streams import SessionStreams, by_participant
from streams.alignment.timeline_config import TimelineConfig
from streams.alignment.watermark import NEVER_NS, Watermark
from streams.alignment.window_progress import BEFORE_ALL, WindowProgress
from streams.delivery.ledger import SessionLease
from streams.events import EncodingUnit, Event
from streams.reasons import ClosedBy, DropReason
from streams.records import Modality
from streams.speech.session_speech import SOUND_REACH_NS
from streams.speech.speech_by_participant import SpeechByParticipant
from streams.telemetry import Telemetry


@dataclass(slots=True)
class SessionTimeline:
    """Timeline of one session. Owned by the timeline thread; no lock."""

    session: str
    config: TimelineConfig
    telemetry: Telemetry
    progress: WindowProgress
    lease: SessionLease | None = None
    """The session's lease in the ledger, where it comes from a log; its progress is the timeline's."""
    watermark: Watermark = field(init=False)
    streams: SessionStreams = field(init=False)
    units: dict[Modality, list[EncodingUnit]] = field(init=False)
    closed: deque[ClosedWindow] = field(default_factory=deque)
    revisions: dict[int, int] = field(init=False)
    """Windows closed and still in grace, with their last revision."""
    newest_ns: int = field(init=False)
    """The newest event time, as far as it can be believed."""
    furthest_ns: int = field(init=False)
    """The newest event time, of events that are ahead of their time too."""
    live: bool = False
    """Whether its events happen now, so that their delays are those of the service."""
    first_lateness_ns: int | None = None
    """How far the first event that missed a window was behind the watermark."""
    warned_of: set[str] = field(default_factory=set)
    """What was logged once for the session."""
    speech: SpeechByParticipant | None = field(init=False)
    """None where speech is not transcribed."""
    _over: ClosedBy | None = field(init=False)
    """What ended the session, where words are still awaited; an event takes it up again."""
    held: HeldWindows = field(init=False)
    memo: dict[Any, Any] = field(init=False, repr=False)
    """Handed to whoever scores the windows, and never looked at here."""

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.progress.resume(self.config.lookback_windows)
        self.watermark = Watermark(self.config.watermark)
        self.streams = SessionStreams(lambda modality: self.config.assembler(modality, self.telemetry))
        self.units = {modality: [] for modality in Modality}
        self.revisions = {}
        self.newest_ns = self.furthest_ns = NEVER_NS
        self.speech = None if self.config.speech is None else SpeechByParticipant(self.config.speech)
        self._over, self.memo = None, {}
        self.held = HeldWindows(self.config.grid, None if self.speech is None else self.speech.config.max_delay_ns)

    def reset(self, now_ns: int) -> list[EncodingUnit]:
        """Closes every window and begins again, at event times before those.

        For a clock that was set back. Returns the units to encode. Not for a session of a log.
        """
        self.speech = None  # words of the other time come to nothing
        units = self.advance(now_ns, ClosedBy.END)
        self.progress = WindowProgress()
        self._begin()
        return units

    def add(self, event: Event, arrival: Arrival) -> int | None:
        """Takes one event; drops and counts one that only closed windows contain.

        Returns the last window that the event can matter to, be it in a lookback; None if it was dropped.
        """
        if self._over is not None:
            self._take_up()
        until_ns = event.time_ns + event.duration_ns
        # Sound may be written while it goes on; of how long it lasts no more than the bound is believed.
        lasts_ns = min(event.duration_ns, self.config.watermark.disorder_bound_ns)
        proved_ns = min(until_ns, arrival.latest_ns + lasts_ns)
        self.watermark.event((arrival.source, event.modality), proved_ns, arrival.now_ns, arrival.origin)
        if proved_ns >= self.newest_ns:
            self.newest_ns = proved_ns
            self.live = arrival.origin is not STORED and event.received_ns - proved_ns <= LIVE_WITHIN_NS
        self.furthest_ns = max(self.furthest_ns, until_ns)
        accepting_from = self.progress.accepting_from
        last = self.config.grid.last_containing(self.streams.reaches_ns(event))
        parts, masked = self._scored_parts(event)
        speech = self._speech_of(parts)
        if last < accepting_from and speech is None:
            self._drop(event, last)
            return None
        if self._first_missed(event) < accepting_from:
            self._late(event)
        if self.streams.repeats(event, self.telemetry):
            self.telemetry.dropped(event.modality, DropReason.REPEAT)
            return None
        if masked:
            self.telemetry.dropped(event.modality, DropReason.MASKED, masked)
        if not parts:
            return None
        self.telemetry.event(event.modality)
        for part in parts:
            if last >= accepting_from:
                self.streams.add(part)
            if speech is not None and speech.accepts(part):
                speech.add(part)
        if speech is not None:
            last = self.config.grid.last_containing(until_ns + SOUND_REACH_NS)
        return last + self.config.lookback_windows

    def _scored_parts(self, event: Event) -> tuple[list[Event], int]:
        """What of an event is scored, and how many parts are not."""
        if event.modality not in self.config.modalities:
            return [], 1
        return by_participant(event, self.config.participants, self.telemetry)

    def _speech_of(self, parts: list[Event]) -> SpeechByParticipant | None:
        """The session's speech, where a part is sound that may change it."""
        speech = self.speech
        if speech is None or not any(each.modality is Modality.AUDIO and speech.accepts(each) for each in parts):
            return None
        return speech

    def _take_up(self) -> None:
        """Goes on after the session had ended.

        Windows that are held close without words.
        """
        for reached in self.held.give_up():
            self._close(reached.until_ns, reached.closed_by)
        self._over = None
        if self.config.speech is not None:
            self.speech = SpeechByParticipant(self.config.speech)

    @property
    def submitted_until(self) -> int:
        """Windows before this one have left to be scored, or never will."""
        accepting_from = self.progress.accepting_from
        return min(accepting_from, min(window.index for window in self.closed)) if self.closed else accepting_from

    @property
    def all_closed(self) -> bool:
        """Whether every window with events has closed.

        Those of events ahead of their time too.
        """
        open_from = self.progress.open_from
        return open_from == BEFORE_ALL or open_from > self.config.grid.last_containing(self.furthest_ns)

    @property
    def awaits_words(self) -> bool:
        """Whether speech of it is not transcribed yet."""
        return self.speech is not None and self.speech.hold_ns != FOREVER_NS

    def advance(self, now_ns: int, end_by: ClosedBy | None = None) -> list[EncodingUnit]:
        """Moves the watermark and closes complete windows; returns the units to encode.

        With `end_by` the session is over: everything in it is released and closed.
        """
        self._over = end_by if self.speech is not None and end_by is not None else self._over
        end_by = end_by or self._over
        reached_ns = self.watermark.advance(now_ns) if end_by is None else FOREVER_NS
        closed_by = end_by or (ClosedBy.IDLE if self.watermark.by_idleness else ClosedBy.WATERMARK)
        new = self._insert(self.streams.release(reached_ns), closed_by)
        if self.speech is None:
            self._close(reached_ns, closed_by)
            return new
        new += self.speech.advance(reached_ns, self.live, self._accepting_from_ns)
        self._close_known(Reached(reached_ns, closed_by, now_ns))
        return new

    def finish(self, unit: EncodingUnit, now_ns: int) -> list[EncodingUnit]:
        """Takes a finished unit of speech; returns what follows from it."""
        if self.speech is None:
            return []
        following = self.speech.finish(unit, self.live, self._accepting_from_ns)
        words = self.speech.take_words()
        self._drop_late(words)
        self._insert(words, ClosedBy.WATERMARK)
        return following + self.advance(now_ns)

    def ready_windows(self) -> Iterator[ClosedWindow]:
        """Takes closed windows whose units are all done, in closing order."""
        while self.closed and self.closed[0].ready:
            yield self.closed.popleft()

    def _insert(self, released: list[EncodingUnit], closed_by: ClosedBy) -> list[EncodingUnit]:
        """Inserts units into windows that accept them; returns those to encode.

        Windows in grace are revised.
        """
        accepting_from, grid = self.progress.accepting_from, self.config.grid
        # Late sound may change segments that only closed windows hold.
        new = [
            unit
            for unit in released
            if grid.holds(unit.start_ns, unit.end_ns) and grid.last_containing(unit.start_ns) >= accepting_from
        ]
        for unit in new:
            insert(self.units[unit.modality], unit)
        if new:
            self._revise(new, accepting_from, closed_by)
        return [unit for unit in new if not unit.done]

    def open_windows(self) -> int:
        """Counts windows that hold units and are not closed yet."""
        last = [self.config.grid.last_containing(units[-1].start_ns) for units in self.units.values() if units]
        first = self._next_with_units(self.progress.open_from)
        return 0 if first is None else max(last) - first + 1

    @property
    def _accepting_from_ns(self) -> int:
        return self.config.grid.start_ns(self.progress.accepting_from)

    def _drop_late(self, words: list[EncodingUnit]) -> None:
        """Counts words that come too late for all their windows.

        Of those that were published before a restart nothing is said: their words were in them.
        """
        last = [self.config.grid.last_containing(word.start_ns) for word in words]
        late = sum(self.progress.restored_from <= index < self.progress.accepting_from for index in last)
        if late:
            self.telemetry.dropped(Modality.TEXT, DropReason.LATE, late)

    def _close_known(self, reached: Reached) -> None:
        """Closes windows up to the watermark, but for those held."""
        hold_ns = FOREVER_NS if self.speech is None else self.speech.hold_ns
        self.held.note(reached, hold_ns, self.progress.open_from)
        for released in self.held.released(reached, hold_ns, self.live):
            self._close(released.until_ns, released.closed_by)

    def _drop(self, event: Event, last: int) -> None:
        """Counts an event that no window accepts; `last` is its last window."""
        if last < self.progress.restored_from:
            self.telemetry.dropped(event.modality, DropReason.ALREADY_SCORED)
        else:
            self.telemetry.dropped(event.modality, DropReason.LATE)
            self._late(event)

    def _late(self, event: Event) -> None:
        self.telemetry.late(event.modality)
        if self.first_lateness_ns is None:
            self.first_lateness_ns = max(0, self.watermark.time_ns - event.time_ns)

    def _first_missed(self, event: Event) -> int:
        """The first unpublished window that the event is in.

        It was not published before the session came here.
        """
        return max(self.config.grid.first_containing(event.time_ns, event.time_ns), self.progress.restored_from)

    def _close(self, reached_ns: int, closed_by: ClosedBy) -> None:
        open_from, complete_until = self.progress.open_from, self.config.grid.first_open(reached_ns)
        if complete_until <= open_from:
            if self.config.grace_ns:
                self.progress.close(open_from, self._grace_until(open_from))
            return
        index = self._next_with_units(open_from)
        while index is not None and index < complete_until:
            self._emit(index, closed_by)
            open_from = index + 1
            index = self._next_with_units(open_from)
        if reached_ns not in (FOREVER_NS, NEVER_NS):
            open_from = complete_until
        self.progress.close(open_from, self._grace_until(open_from))
        self._forget()

    def _grace_until(self, open_from: int) -> int:
        """The first window whose grace is not over.

        Given the first that is open.
        """
        grace_ns = self.config.grace_ns
        return self.config.grid.first_open(self.watermark.time_ns - grace_ns) if grace_ns else open_from

    def _revise(self, new: list[EncodingUnit], accepting_from: int, closed_by: ClosedBy) -> None:
        """Emits closed windows in grace again when a unit reaches them.

        It lies in the window or in its lookback.
        """
        open_from = self.progress.open_from
        if accepting_from == open_from:
            return
        grid, changed = self.config.grid, set[int]()
        for unit in new:
            first = max(accepting_from, grid.first_containing(unit.start_ns, unit.end_ns))
            last = grid.last_containing(unit.start_ns) + self.config.lookback_windows
            changed.update(range(first, min(open_from, last + 1)))
        for index in sorted(changed):
            self._emit(index, closed_by)

    def _next_with_units(self, index: int) -> int | None:
        """The first window from `index` on that a unit lies in."""
        grid, candidates = self.config.grid, list[int]()
        for units in self.units.values():
            at = first_from(units, grid.start_ns(index))
            if at < len(units):
                candidates.append(max(index, grid.first_containing(units[at].start_ns, units[at].end_ns)))
        return min(candidates, default=None)

    def _emit(self, index: int, closed_by: ClosedBy) -> None:
        """Emits a window that is not published yet and holds units.

        Windows that were published before the session came here are left out.
        """
        if not self.progress.submits(index):
            return
        start_ns, end_ns = self.config.grid.start_ns(index), self.config.grid.end_ns(index)
        units = {modality: within(units, start_ns, end_ns) for modality, units in self.units.items()}
        if not any(units.values()):
            return
        revision = self.revisions.get(index, -1) + 1
        if self.config.grace_ns:
            self.revisions[index] = revision
        self.closed.append(
            ClosedWindow(
                session=self.session,
                start_ns=start_ns,
                end_ns=end_ns,
                closed_by=closed_by,
                revision=revision,
                units=units,
                received_fraction=received_fraction(
                    units, (start_ns, end_ns), self.config.sample_hz, self.config.segments
                ),
                watermark_lag_ns=max(0, self.newest_ns - max(self.watermark.time_ns, end_ns)),
                index=index,
                lease=self.lease,
                lookback=self._lookback(start_ns),
                memo=self.memo,
                transcribed_fraction=self._transcribed(start_ns, end_ns),
                live=self.live,
            ),
        )
        self.telemetry.window_closed(closed_by)

    def _transcribed(self, start_ns: int, end_ns: int) -> float | None:
        return None if self.speech is None else self.speech.transcribed_fraction(start_ns, end_ns)

    def _lookback(self, start_ns: int) -> UnitsByModality:
        """Units in the lookback of a window that starts at `start_ns`.

        Empty without a lookback.
        """
        lookback_ns = self.config.lookback_ns
        if not lookback_ns:
            return {}
        return {
            modality: starting_in(units, start_ns - lookback_ns, start_ns) for modality, units in self.units.items()
        }

    def _forget(self) -> None:
        """Frees units that no window which still accepts events needs.

        A lookback counts as need.
        """
        accepting_from = self.progress.accepting_from
        before_ns = self.config.grid.start_ns(accepting_from)
        for units in self.units.values():
            del units[: first_from(units, before_ns - self.config.lookback_ns)]
        self.streams.forget(before_ns)
        if self.speech is not None:
            self.speech.forget(before_ns)
        for index in [i for i in self.revisions if i < accepting_from]:
            del self.revisions[index]
