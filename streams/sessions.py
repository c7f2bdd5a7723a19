"""All sessions: routes events to their timelines, notices which are idle or over, and frees them.

A session ends when every feed of it has ended, or when it has been idle for `session_timeout`. What remains of it is
one number, the last window closed, kept for the most recent sessions so that a window is never published twice when
the session comes back.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from streams.clock import NS_PER_S, Clock
from streams.events import Event, Unit
from streams.records import Modality
from streams.telemetry import Telemetry
from streams.timeline import ClosedWindow, SessionTimeline, TimelineConfig
from streams.watermark import NEVER_NS

_REMEMBERED_SESSIONS = 100_000  # at about 100 bytes each: 10 MB at most


@dataclass(frozen=True, slots=True)
class SessionsState:
    """How the sessions stand: what the gauges show.

    watermark_lag_s: wall clock minus the oldest watermark of sessions that happen now; 0 where there are none.
    """

    sessions: int
    idle_streams: int
    open_windows: int
    watermark_lag_s: float


@dataclass(slots=True)
class Sessions:
    """Every session's timeline. Owned by the timeline thread; no lock.

    clock: what silence is measured by; where items wait in channels, a `streams.channel.InletClock`.
    """

    config: TimelineConfig
    session_timeout_ns: int
    clock: Clock
    telemetry: Telemetry
    _live: dict[str, SessionTimeline] = field(default_factory=dict)
    _ended: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _over: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._live)

    def add(self, event: Event, source: str, caught_up: bool) -> list[Unit]:
        """Takes one event; returns the units it made final."""
        timeline = self._timeline(event.session)
        now_ns = self.clock.monotonic_ns()
        timeline.add(event, source, now_ns, caught_up)
        return timeline.advance(now_ns)

    def progress(self, session: str, modality: Modality, through_ns: int, source: str, caught_up: bool) -> list[Unit]:
        """Takes a source's promise that nothing more comes before `through_ns`.

        A source with an end opens the session by it, so that a stream whose first event comes late is waited for; a
        device's promise alone opens none.
        """
        if caught_up and session not in self._live:
            return []
        timeline = self._timeline(session)
        now_ns = self.clock.monotonic_ns()
        timeline.watermark.progress((source, modality), through_ns, now_ns, caught_up)
        return timeline.advance(now_ns)

    def end(self, session: str, source: str) -> list[Unit]:
        """Takes a source's word that it has no more for `session`."""
        timeline = self._live.get(session)
        if timeline is None:
            return []
        timeline.watermark.end(source)
        now_ns = self.clock.monotonic_ns()
        return timeline.advance(now_ns, "end" if timeline.watermark.ended else None)

    def tick(self) -> list[Unit]:
        """Lets time pass: closes windows of idle sessions, ends those idle too long. Call several times a second."""
        now_ns = self.clock.monotonic_ns()
        units = []
        for timeline in list(self._live.values()):
            timed_out = timeline.watermark.abandoned(now_ns, self.session_timeout_ns)
            over = "idle" if timed_out and not timeline.watermark.ended else None
            units += timeline.advance(now_ns, over)
            if (timed_out or timeline.watermark.ended) and not timeline.closed:
                self._end(timeline)
        return units

    def drain(self) -> list[Unit]:
        """Closes every window of every session now."""
        now_ns = self.clock.monotonic_ns()
        return [unit for timeline in self._live.values() for unit in timeline.advance(now_ns, "drain")]

    def take_ready(self, session: str | None = None) -> Iterator[ClosedWindow]:
        """Windows ready to be scored, of one session or of all, in closing order within a session."""
        timelines = self._live.values() if session is None else filter(None, [self._live.get(session)])
        for timeline in timelines:
            yield from timeline.take_ready()

    def take_over(self) -> list[str]:
        """Sessions that have ended since the last call."""
        over, self._over = self._over, []
        return over

    def waiting(self) -> int:
        """How many windows are closed and wait for units to be encoded."""
        return sum(len(timeline.closed) for timeline in self._live.values())

    def state(self) -> "SessionsState":
        """A picture of all sessions as they are now."""
        now_ns, wall_ns = self.clock.monotonic_ns(), self.clock.wall_ns()
        idle_after_ns = self.config.watermark.idle_after_ns
        timelines = self._live.values()
        feeds = [feed for timeline in timelines for feed in timeline.watermark.feeds.values()]
        live = (t.watermark for t in timelines if any(feed.caught_up for feed in t.watermark.feeds.values()))
        watermarks = [watermark.time_ns for watermark in live if watermark.time_ns != NEVER_NS]
        return SessionsState(
            sessions=len(timelines),
            idle_streams=sum(feed.idle(now_ns, idle_after_ns) for feed in feeds),
            open_windows=sum(len(timeline.closed) + timeline.open_windows() for timeline in timelines),
            watermark_lag_s=(wall_ns - min(watermarks)) / NS_PER_S if watermarks else 0.0,
        )

    def _timeline(self, session: str) -> SessionTimeline:
        timeline = self._live.get(session)
        if timeline is None:
            open_from = self._ended.pop(session, None)
            timeline = self._live[session] = SessionTimeline(session, self.config, self.telemetry, open_from)
        return timeline

    def _end(self, timeline: SessionTimeline) -> None:
        del self._live[timeline.session]
        self._over.append(timeline.session)
        if timeline.open_from is not None:
            self._ended[timeline.session] = timeline.open_from
            while len(self._ended) > _REMEMBERED_SESSIONS:
                self._ended.popitem(last=False)
