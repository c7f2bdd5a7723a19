"""Defines how time passes for a stream: by clock, file or log.

A stream is idle after some silence, and its origin says what time that is measured by. A device gives things as they
happen, so its silence is measured by the clock. A file has all of its time before it: it is
never silent, however long reading takes. A log lies between: what was written an hour ago is read in a minute, and
while its broker is away nothing can be said of it at all. Its own time moves on with the records that are read of it,
and, at its end, by as much as is known to have passed without another.
"""

from dataclasses import dataclass
from typing import Protocol

from streams.clock import NS_PER_S


class Origin(Protocol):
    """Time of a stream; only differences of it mean anything."""

    def now_ns(self, monotonic_ns: int) -> int:
        """The time of the stream at `monotonic_ns` of the clock."""
        ...


class _Device:
    def now_ns(self, monotonic_ns: int) -> int:
        return monotonic_ns


class _Stored:
    def now_ns(self, monotonic_ns: int) -> int:
        return 0


DEVICE: Origin = _Device()
"""A camera, a microphone, a socket."""
STORED: Origin = _Stored()
"""A file that is read from its beginning to its end."""

LIVE_WITHIN_NS = 60 * NS_PER_S
"""What is received later than this after it happened is of the past: a backlog, or a stored session sent into a log."""
NO_LATEST_NS = 2**63 - 1
"""Of a file, whose event times are all there is to go by."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Arrival of an event at the timeline.

    now_ns: monotonic. latest_ns: it cannot have happened later: when it was written to its log, or received from a
    device. An event time after that comes from a clock that is ahead, and proves nothing about the present.
    """

    source: str
    origin: Origin
    now_ns: int
    latest_ns: int = NO_LATEST_NS


@dataclass(slots=True)
class LogTime:
    """Time of one partition of a log.

    Owned by the timeline thread; no lock.
    """

    time_ns: int = 0

    def read(self, written_ns: int) -> None:
        """A record that was written then has been read."""
        if written_ns > self.time_ns:
            self.time_ns = written_ns

    def idle(self, idle_ns: int) -> None:
        """At its end, nothing was written for so much longer."""
        self.time_ns += idle_ns

    def now_ns(self, monotonic_ns: int) -> int:
        """Where the log is; the clock has no say in it."""
        return self.time_ns
