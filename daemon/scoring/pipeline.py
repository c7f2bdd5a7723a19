"""The timeline thread: items in, units and windows to the engine out.

It waits in one place, the inlet, for messages from the engine (a unit is encoded, a window is published) and for items
from the sources. While too much is in flight (`daemon.scoring.in_flight`) it takes messages only: channels fill up, and
each source does what its policy says. This is all the back-pressure there is.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from daemon.scoring.in_flight import InFlight
from daemon.telemetry.instruments import Instruments
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.driver import AlignmentDriver, RecordCounts
from streams.channels.channel import ChannelItem
from streams.channels.inlet import Inlet
from streams.clock import NS_PER_MS, NS_PER_S
from streams.delivery.crash_journal import CrashJournal
from streams.events import EncodingUnit
from streams.records import EndOfSession, Progress, Record

_TICK_NS = 100 * NS_PER_MS  # a tenth of the usual step: what idleness adds to a window's delay
_TICK_REST = 4  # times what a tick took: with very many sessions most of the time is still for items


@dataclass(frozen=True, slots=True)
class UnitEncoded:
    """The engine is done with a unit."""

    unit: EncodingUnit


@dataclass(frozen=True, slots=True)
class WindowPublished:
    """A window has left through the sinks."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Finish what is queued, close every window, and end.

    Windows of logs stay open: they wait for whoever reads on.
    """


TimelineMessage = UnitEncoded | WindowPublished | Drain


class Engine(Protocol):
    """Encodes units and scores windows elsewhere, and answers by messages."""

    def encode(self, unit: EncodingUnit) -> None:
        """Begins to encode one unit; never blocks."""
        ...

    def score(self, window: ClosedWindow) -> None:
        """Begins to score one window; never blocks."""
        ...

    def forget(self, session: str) -> None:
        """Frees what is held of a session that has ended."""
        ...


class Pipeline:
    """Owns all session state, on its own thread.

    Others only read `state` (a snapshot of the sessions, replaced whole at every tick), `counts` and `in_flight`.
    """

    def __init__(
        self,
        inlet: Inlet[TimelineMessage],
        driver: AlignmentDriver,
        engine: Engine,
        max_in_flight: int,
        instruments: Instruments,
        crash_journal: CrashJournal | None = None,
    ) -> None:
        """max_in_flight: most units and windows in the engine at once.

        crash_journal: which records of a log ended a process before.
        """
        self.finished = threading.Event()
        self._inlet = inlet
        self._driver = driver
        self._engine = engine
        self._clock = instruments.clock
        self._heartbeats = instruments.heartbeats
        self._beat = self._heartbeats.worker("timeline")
        journal = crash_journal or CrashJournal(None, self._clock)
        self._in_flight = InFlight(max_in_flight, engine.encode, self._clock, journal)
        self._draining = False
        self._drained = False
        self._tick_due_ns = 0
        self._thread = threading.Thread(target=self._run, name="timeline", daemon=True)
        self.state = driver.sessions.state()
        instruments.metrics.watch_channel("engine", lambda: self.in_flight)
        instruments.metrics.watch_timeline(
            watermark_lag_s=lambda: self.state.watermark_lag_s,
            sessions=lambda: self.state.sessions,
            idle_streams=lambda: self.state.idle_streams,
            open_windows=lambda: self.state.open_windows,
        )

    def start(self) -> None:
        """Begins to take items."""
        self._thread.start()

    @property
    def counts(self) -> RecordCounts:
        """Records taken and refused so far, and units encoded."""
        return self._driver.counts

    @property
    def in_flight(self) -> int:
        """Units and windows in the engine."""
        return self._in_flight.count

    def drain(self) -> None:
        """Begins to drain; `finished` is set when the last window is published."""
        self._inlet.post(Drain())

    def _run(self) -> None:
        while not (self._drained and self.in_flight == 0 and self._driver.sessions.waiting() == 0):
            self._beat()
            taken = self._inlet.take(_TICK_NS / NS_PER_S, not self._in_flight.full, self._in_flight.admits)
            if taken is not None:
                self._take(taken)
            for message in self._inlet.take_messages():
                self._take(message)
            self._pass_time()
            if self._draining and not self._drained and self._inlet.empty():
                self._drained = True
                self._in_flight.add_units(self._driver.drain())
                self._score(self._driver.ready_windows())
        self._heartbeats.retire("timeline")
        self.finished.set()

    def _take(self, taken: TimelineMessage | ChannelItem) -> None:
        match taken:
            case ChannelItem(item=item, channel=channel):
                self._in_flight.admitted(item)
                self._in_flight.add_units(self._driver.take(item, channel.name, channel.live))
                if isinstance(item, Record | Progress | EndOfSession):
                    self._score(self._driver.ready_windows(item.session))
            case UnitEncoded(unit=unit):
                self._in_flight.unit_completed(unit)
                self._in_flight.add_units(self._driver.finish(unit))
                self._score(self._driver.ready_windows(unit.session))
            case WindowPublished():
                self._in_flight.window_completed()
            case Drain():
                self._draining = True
                self._driver.leave_logs()

    def _pass_time(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._tick_due_ns:
            return
        self._in_flight.add_units(self._driver.tick())
        self._score(self._driver.ready_windows())
        for session in self._driver.ended_sessions():
            self._engine.forget(session)
        self.state = self._driver.sessions.state()
        took_ns = self._clock.monotonic_ns() - now_ns
        self._tick_due_ns = now_ns + max(_TICK_NS, took_ns + _TICK_REST * took_ns)

    def _score(self, windows: Iterable[ClosedWindow]) -> None:
        for window in windows:
            self._in_flight.window_added()
            self._engine.score(window)
