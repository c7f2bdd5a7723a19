"""Routes events to the timelines of their sessions, and ends sessions.

A session ends when every stream of it has ended, or when it was idle for `session_timeout`. One number of it is kept,
the first window that was not closed, so that no window is published twice when the session comes back. This is done for
the most recent sessions. Where the wall clock is set back, sessions of devices are reset, since all their events would
be late from then on. For a session of a log the ledger remembers. Such a session is never closed before its time: it is
dropped when its partitions go to another instance, since the log holds all of it.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

import structlog

from streams.alignment.closed_window import ClosedWindow
from streams.alignment.origin import DEVICE, NO_LATEST_NS, Arrival, LogTime, Origin
from streams.alignment.timeline import SessionTimeline
from streams.alignment.timeline_config import TimelineConfig
from streams.alignment.watermark import NEVER_NS
from streams.alignment.window_progress import BEFORE_ALL, WindowProgress
from streams.clock import NS_PER_S, Clock
from streams.coordinates import Coordinates, Partition
from streams.delivery.ledger import Ledger, PartitionAssignment
from streams.events import EncodingUnit, Event
from streams.reasons import ClosedBy
from streams.records import Modality
from streams.telemetry import Telemetry

log = structlog.get_logger(__name__)

_REMEMBERED_SESSIONS = 100_000  # at about 100 bytes each: 10 MB at most
_SET_BACK_NS = 2 * NS_PER_S  # less is waited for: it makes a few events late and repeats no window


@dataclass(frozen=True, slots=True)
class SessionsState:
    """State of all sessions, for gauges.

    watermark_lag_s: wall clock minus the oldest watermark of sessions that happen now; 0 where there are none.
    """

    sessions: int
    idle_streams: int
    open_windows: int
    watermark_lag_s: float


@dataclass(slots=True)
class Sessions:
    """Every session's timeline. Owned by the timeline thread; no lock.

    clock: what silence of devices is measured by; where items wait in channels, a `streams.channels.inlet.InletClock`.
    taken_until_ns: the same for one session, whose items may wait while those of others are taken; None is the clock's.
    """

    config: TimelineConfig
    session_timeout_ns: int
    clock: Clock
    telemetry: Telemetry
    ledger: Ledger
    taken_until_ns: Callable[[str], int] | None = None
    _live: dict[str, SessionTimeline] = field(default_factory=dict)
    _ended: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _ended_since: list[str] = field(default_factory=list)
    _assignments: dict[int, PartitionAssignment] = field(default_factory=dict)
    _logs: dict[Partition, LogTime] = field(default_factory=dict)
    _wall_ns: int = NEVER_NS
    """The wall time when it was last looked at."""
    _set_back: bool = False
    """Whether the wall clock was ever set back."""

    def __len__(self) -> int:
        return len(self._live)

    def add(self, event: Event, source: str, origin: Origin) -> list[EncodingUnit]:
        """Takes an event of a device or file; returns final units."""
        units = self._reset_ahead() if origin is DEVICE and self._is_set_back() else []
        timeline = self._live.get(event.session) or self._open(event.session)
        now_ns = self._now_ns(event.session)
        latest_ns = event.received_ns if origin is DEVICE else NO_LATEST_NS
        timeline.add(event, Arrival(source, origin, now_ns, latest_ns))
        self._warn_of_lateness(timeline, event, source)
        return units + timeline.advance(now_ns)

    def add_logged(self, event: Event, source: str, at: Coordinates) -> list[EncodingUnit]:
        """Takes an event of a log; returns final units.

        An event of a partition that is not assigned any more is left out.
        """
        assignment = self._assignments.get(at.partition.number)
        if assignment is None:
            return []
        origin = self._log(at.partition)
        origin.read(at.written_ns)
        timeline = self._live.get(event.session) or self._open(event.session, assignment)
        now_ns = self._now_ns(event.session)
        last = timeline.add(event, Arrival(source, origin, now_ns, at.written_ns))
        self._warn_of_lateness(timeline, event, source, at)
        lease = timeline.lease
        if last is None or lease is None or lease.assignment is not assignment:
            self._warn_of_partitions(timeline, at)
            self.ledger.release(at)
        else:
            self.ledger.retain(lease, at, last)
        units = timeline.advance(now_ns)
        self._settle(timeline)
        return units

    def partition_idle(self, partition: Partition, idle_ns: int) -> None:
        """Lets time pass for a partition that is read to its end."""
        if partition.number in self._assignments:
            self._log(partition).idle(idle_ns)

    def assigned(self, assignment: PartitionAssignment) -> None:
        """Takes a partition assignment: its events are accepted from now on."""
        self._assignments[assignment.number] = assignment

    def revoked(self, numbers: Collection[int]) -> None:
        """Drops the sessions of partitions that another instance reads now."""
        for number in numbers:
            self._assignments.pop(number, None)
        gone = [t for t in self._live.values() if t.lease is not None and t.lease.assignment.number in numbers]
        for timeline in gone:
            del self._live[timeline.session]
            self._ended_since.append(timeline.session)
        self._logs = {at: time for at, time in self._logs.items() if at.number not in numbers}

    def leave_logs(self) -> None:
        """Drops the sessions of logs: whoever reads on rebuilds them."""
        self.revoked(list(self._assignments))

    def progress(
        self, session: str, modality: Modality, through_ns: int, source: str, origin: Origin
    ) -> list[EncodingUnit]:
        """Takes a source's promise that nothing more comes before `through_ns`.

        A source with an end opens the session by it, so that a stream whose first event comes late is waited for; a
        device's promise alone opens none, and nobody can promise for a time that has not come.
        """
        if origin is DEVICE:
            if session not in self._live:
                return []
            through_ns = min(through_ns, self.clock.wall_ns())
        timeline = self._live.get(session) or self._open(session)
        now_ns = self._now_ns(session)
        timeline.watermark.progress((source, modality), through_ns, now_ns, origin)
        return timeline.advance(now_ns)

    def end(self, session: str, source: str) -> list[EncodingUnit]:
        """Ends a session's streams of one source."""
        timeline = self._live.get(session)
        if timeline is None:
            return []
        timeline.watermark.end(source)
        now_ns = self._now_ns(session)
        return timeline.advance(now_ns, ClosedBy.END if timeline.watermark.ended else None)

    def tick(self) -> list[EncodingUnit]:
        """Lets time pass: closes windows, ends sessions that timed out.

        Returns the units to encode. To be called several times a second.
        """
        # Also at later ticks: records from before the clock was set back may still have been on their way.
        units = self._reset_ahead() if self._is_set_back() or self._set_back else []
        for timeline in list(self._live.values()):
            now_ns = self._now_ns(timeline.session)
            timed_out = timeline.watermark.timed_out(now_ns, self.session_timeout_ns)
            units += timeline.advance(now_ns)
            self._settle(timeline)
            timed_out = timed_out and timeline.all_closed  # what is ahead of its time still waits for it
            if (timed_out or timeline.watermark.ended) and not timeline.closed and not timeline.awaits_words:
                self._end(timeline)
        return units

    def finish(self, unit: EncodingUnit) -> list[EncodingUnit]:
        """Takes a finished unit of speech; returns what follows from it."""
        timeline = self._live.get(unit.session)
        if timeline is None:
            return []
        units = timeline.finish(unit, self._now_ns(unit.session))
        self._settle(timeline)
        return units

    def drain(self) -> list[EncodingUnit]:
        """Closes every window of every session now."""
        now_ns = self.clock.monotonic_ns()
        return [unit for timeline in self._live.values() for unit in timeline.advance(now_ns, ClosedBy.DRAIN)]

    def ready_windows(self, session: str | None = None) -> Iterator[ClosedWindow]:
        """Takes windows ready to be scored, of one session or all.

        They come in closing order within a session.
        """
        timelines = self._live.values() if session is None else filter(None, [self._live.get(session)])
        for timeline in timelines:
            if timeline.closed and timeline.closed[0].ready:
                yield from self._hand_on(timeline)

    def ended_sessions(self) -> list[str]:
        """Sessions that have ended since the last call."""
        over, self._ended_since = self._ended_since, []
        return over

    def waiting(self) -> int:
        """How many windows are closed and wait for units to be encoded."""
        return sum(len(timeline.closed) for timeline in self._live.values())

    def state(self) -> "SessionsState":
        """Counts sessions, idle streams and open windows."""
        now_ns, wall_ns = self.clock.monotonic_ns(), self.clock.wall_ns()
        idle_after_ns = self.config.watermark.idle_after_ns
        timelines = self._live.values()
        streams = [stream for timeline in timelines for stream in timeline.watermark.streams.values()]
        watermarks = [t.watermark.time_ns for t in timelines if t.live and t.watermark.time_ns != NEVER_NS]
        return SessionsState(
            sessions=len(timelines),
            idle_streams=sum(stream.is_idle(now_ns, idle_after_ns) for stream in streams),
            open_windows=sum(len(timeline.closed) + timeline.open_windows() for timeline in timelines),
            watermark_lag_s=(wall_ns - min(watermarks)) / NS_PER_S if watermarks else 0.0,
        )

    def _is_set_back(self) -> bool:
        """Whether the wall clock was set back since the last call.

        Sessions that ended ahead of it are forgotten.
        """
        before_ns, self._wall_ns = self._wall_ns, self.clock.wall_ns()
        if before_ns <= self._wall_ns + _SET_BACK_NS:
            return False
        by_s = round((before_ns - self._wall_ns) / NS_PER_S, 3)
        log.warning("the clock was set back; sessions of devices begin anew", by_s=by_s)
        self._set_back = True
        until_ns = self._wall_ns + _SET_BACK_NS
        kept = ((s, index) for s, index in self._ended.items() if self.config.grid.start_ns(index) <= until_ns)
        self._ended = OrderedDict(kept)
        return True

    def _now_ns(self, session: str) -> int:
        return self.clock.monotonic_ns() if self.taken_until_ns is None else self.taken_until_ns(session)

    def _reset_ahead(self) -> list[EncodingUnit]:
        """Resets sessions of devices that are ahead of the wall clock."""
        until_ns = self._wall_ns + _SET_BACK_NS
        ahead = [t for t in self._live.values() if t.watermark.from_devices and t.watermark.time_ns > until_ns]
        return [unit for timeline in ahead for unit in timeline.reset(self._now_ns(timeline.session))]

    def _open(self, session: str, assignment: PartitionAssignment | None = None) -> SessionTimeline:
        lease = None if assignment is None else self.ledger.lease(assignment, session)
        progress = WindowProgress(open_from=self._ended.pop(session, BEFORE_ALL)) if lease is None else lease.progress
        timeline = self._live[session] = SessionTimeline(session, self.config, self.telemetry, progress, lease)
        return timeline

    def _hand_on(self, timeline: SessionTimeline) -> Iterator[ClosedWindow]:
        lease = timeline.lease
        for window in timeline.ready_windows():
            if lease is not None:
                self.ledger.submitted(lease, window.index)
            yield window
        self._settle(timeline)

    def _settle(self, timeline: SessionTimeline) -> None:
        """Advances the session's lease to the windows that were submitted."""
        lease = timeline.lease
        if lease is not None and (until := timeline.submitted_until) > lease.progress.submitted_until:
            self.ledger.advance(lease, until)

    def _log(self, partition: Partition) -> LogTime:
        time = self._logs.get(partition)
        if time is None:
            time = self._logs[partition] = LogTime()
        return time

    def _warn_of_partitions(self, timeline: SessionTimeline, at: Coordinates) -> None:
        assignment = timeline.lease.assignment if timeline.lease else None
        if assignment is None or assignment.number == at.partition.number or "partitions" in timeline.warned_of:
            return
        timeline.warned_of.add("partitions")
        log.warning(
            "a session is in two partitions: its producers must choose partitions by the same rule",
            **at.named(),
            other_partition=assignment.number,
        )

    def _warn_of_lateness(
        self, timeline: SessionTimeline, event: Event, source: str, at: Coordinates | None = None
    ) -> None:
        """Once a session, without its name: it may be a person's."""
        if timeline.first_lateness_ns is None or "lateness" in timeline.warned_of:
            return
        timeline.warned_of.add("lateness")
        where = {} if at is None else at.named()
        log.warning(
            "events of a session come after windows that they are in have closed; the first is told, all are counted",
            source=source,
            modality=event.modality,
            behind_s=round(timeline.first_lateness_ns / NS_PER_S, 3),
            **where,
        )

    def _end(self, timeline: SessionTimeline) -> None:
        del self._live[timeline.session]
        self._ended_since.append(timeline.session)
        if timeline.lease is not None:
            self.ledger.session_ended(timeline.lease)
        elif timeline.progress.open_from != BEFORE_ALL:
            self._ended[timeline.session] = timeline.progress.open_from
            while len(self._ended) > _REMEMBERED_SESSIONS:
                self._ended.popitem(last=False)
