"""Playback of stored sessions, merged in event time.

It is paced, or as fast as records are taken. Rule: the records of the sessions that play together are handed on in
event-time order, the same order at every speed. When a session begins, and after each fifth of a second, progress is
reported for each of its streams: no window closes before a stream's first record, and silence between two chat lines
never holds one open. After its last record a session ends. A faulty file never stops the others: what can be read of it
is played, and its fault is raised at the end.
Left out: seeking and looping. Sessions play in groups, since each one that plays holds its own decoders.
"""

import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from streams.clock import NS_PER_MS, NS_PER_S, Clock
from streams.records import MEDIA, EndOfSession, Modality, OfSession, Progress, Record
from streams.sources.base import SourceError

log = structlog.get_logger(__name__)

_PROGRESS_STEP_NS = 200 * NS_PER_MS  # well below any useful window step, and few items beside 25 pictures a second
_SESSIONS_TOGETHER = 16  # two open decoders each: some 20 MB a session at 720p


class StoredSession(Protocol):
    """A session on disk. Owned by the thread that plays it."""

    session: str
    start_ns: int
    """The event time at which it begins."""
    modalities: frozenset[Modality]
    """What it holds; known once open."""
    faults: list[str]
    """What could not be read, one sentence each; complete once `records` is exhausted."""

    def open(self) -> None:
        """SourceError where nothing of it can be read."""
        ...

    def records(self) -> Iterator[Record]:
        """Every readable record, in event-time order; once."""
        ...

    def close(self) -> None:
        """Releases its files; safe after a failed `open`."""
        ...


class Playback:
    """Source of stored sessions.

    `speed`: N plays N times as fast as it happened, None as fast as records are taken.
    """

    live = False
    modalities = frozenset(MEDIA)

    def __init__(
        self,
        sessions: Sequence[StoredSession],
        clock: Clock,
        *,
        speed: float | None = None,
        together: int = _SESSIONS_TOGETHER,
        name: str = "media",
    ) -> None:
        if speed is not None and speed <= 0:
            raise ValueError(f"playback speed must be above 0 (is {speed})")
        self.name = name
        self._sessions = list(sessions)
        self._clock = clock
        self._speed = speed
        self._together = together
        self.played_ns = 0
        """Event time between the records that were handed on so far, over all sessions; others may read it."""

    def open(self) -> None:
        if not self._sessions:
            raise SourceError(f"{self.name}: there is nothing to play")

    def read(self, emit: Callable[[OfSession], None], stop: threading.Event) -> None:
        faults: list[str] = []
        for first in range(0, len(self._sessions), self._together):
            group = self._sessions[first : first + self._together]
            try:
                self._play([session for session in group if _opened(session, faults)], emit, stop, faults)
            finally:
                for session in group:
                    session.close()
            if stop.is_set():
                return
        if faults:
            raise SourceError("; ".join(faults))

    def close(self) -> None:
        for session in self._sessions:
            session.close()

    def _play(
        self, sessions: list[StoredSession], emit: Callable[[OfSession], None], stop: threading.Event, faults: list[str]
    ) -> None:
        playing: dict[int, StoredSession] = {}
        played_through_ns: dict[int, int] = {}
        pace = _Pace(self._clock, self._speed, stop)
        for time_ns, index, record in heapq.merge(*(_timed(i, session) for i, session in enumerate(sessions))):
            for tick_ns in pace.ticks(time_ns, idle=not playing):
                for session in playing.values():
                    _emit_progress(session, tick_ns, emit)
            if stop.is_set():
                return
            if record is not None:
                if index not in playing:
                    playing[index] = sessions[index]
                    _emit_progress(sessions[index], time_ns, emit)
                emit(replace(record, received_ns=self._clock.wall_ns()))
                self.played_ns += max(0, time_ns - played_through_ns.setdefault(index, time_ns))
                played_through_ns[index] = time_ns
                continue
            playing.pop(index, None)
            _report(sessions[index].faults, faults)
            emit(EndOfSession(sessions[index].session))


class _Pace:
    """Paces event time, and yields a tick each fifth of a second."""

    def __init__(self, clock: Clock, speed: float | None, stop: threading.Event) -> None:
        self._clock = clock
        self._speed = speed
        self._stop = stop
        self._from_event_ns = 0
        self._from_monotonic_ns = 0
        self._next_tick_ns: int | None = None

    def ticks(self, time_ns: int, *, idle: bool) -> Iterator[int]:
        """Waits until `time_ns` is due; yields the ticks before it.

        idle: nothing plays, so that time begins here.
        """
        if self._next_tick_ns is None or idle:
            self._from_event_ns = time_ns
            self._from_monotonic_ns = self._clock.monotonic_ns()
            self._next_tick_ns = time_ns + _PROGRESS_STEP_NS
        elif self._speed is None and time_ns >= self._next_tick_ns:
            self._next_tick_ns += (time_ns - self._next_tick_ns) // _PROGRESS_STEP_NS * _PROGRESS_STEP_NS
        while self._next_tick_ns <= time_ns and not self._stop.is_set():
            self._wait_until(self._next_tick_ns)
            yield self._next_tick_ns
            self._next_tick_ns += _PROGRESS_STEP_NS
        self._wait_until(time_ns)

    def _wait_until(self, time_ns: int) -> None:
        if self._speed is None:
            return
        due_ns = self._from_monotonic_ns + round((time_ns - self._from_event_ns) / self._speed)
        wait_ns = due_ns - self._clock.monotonic_ns()
        if wait_ns > 0:
            self._clock.wait(self._stop, wait_ns / NS_PER_S)


def _emit_progress(session: StoredSession, through_ns: int, emit: Callable[[OfSession], None]) -> None:
    """Reports progress of every stream of the session.

    The first report announces the stream.
    """
    for modality in sorted(session.modalities):
        emit(Progress(session.session, modality, through_ns))


def _timed(index: int, session: StoredSession) -> Iterator[tuple[int, int, Record | None]]:
    """The session's records with their times, and None at its end.

    `index` settles ties, the same way every time.
    """
    last_ns = 0
    for record in session.records():
        last_ns = record.event_time_ns
        yield last_ns, index, record
    yield last_ns, index, None


def _opened(session: StoredSession, faults: list[str]) -> bool:
    try:
        session.open()
    except SourceError as error:
        _report([str(error)], faults)
        return False
    return True


def _report(new: list[str], faults: list[str]) -> None:
    """Logs a fault at once.

    A paced playback may raise it an hour later.
    """
    for fault in new:
        log.warning("input is faulty; the rest goes on", fault=fault)
    faults.extend(new)
