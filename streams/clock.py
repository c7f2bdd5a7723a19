"""Clocks: the only place that reads time.

Everything else is handed a `Clock`, so that tests run in virtual time. Wall time is integer nanoseconds since the Unix
epoch, UTC, and is what events are stamped with; monotonic time is for measuring how long something took.

Problem: the machine's wall clock may step, by an hour and back a moment later, and what was stamped in between makes
all that follows late. Rule: wall time is time since boot, which is steady, plus an offset. The offset follows a small
change of the wall clock at once, and a step only when it has lasted for a minute. NTP slews both clocks alike, and time
since boot goes on while the machine is suspended, so that waking up is no step. A step back that lasts is left to
`streams.alignment.sessions`.
"""

import threading
import time
from typing import Protocol

import structlog

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

log = structlog.get_logger(__name__)

_STEP_NS = 250 * NS_PER_MS  # half the usual disorder bound: less makes nothing late
_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # only Linux counts suspension
_LASTING_NS = 60 * NS_PER_S  # longer than clocks are wrong by mistake, soon after they were set on purpose


class Clock(Protocol):
    """Interface of a clock."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; never goes back."""
        ...

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Waits for an event, at most `timeout_s`; True if it is set."""
        ...


class SteadyTime:
    """Wall time that ignores steps that do not last.

    Any thread may read it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offset_ns: int | None = None
        self._stepped_to_ns = 0
        self._stepped_at_ns: int | None = None

    def at(self, wall_ns: int, boot_ns: int) -> int:
        """Steady wall time for two readings: wall, and time since boot."""
        with self._lock:
            offset_ns = wall_ns - boot_ns
            if self._offset_ns is None or abs(offset_ns - self._offset_ns) <= _STEP_NS:
                self._offset_ns, self._stepped_at_ns = offset_ns, None
            elif self._stepped_at_ns is None or abs(offset_ns - self._stepped_to_ns) > _STEP_NS:
                self._stepped_to_ns, self._stepped_at_ns = offset_ns, boot_ns
            elif boot_ns - self._stepped_at_ns >= _LASTING_NS:
                step_s = round((offset_ns - self._offset_ns) / NS_PER_S, 3)
                log.warning("the machine's clock was set; event times follow it now", step_s=step_s)
                self._offset_ns, self._stepped_at_ns = offset_ns, None
            return boot_ns + self._offset_ns


class SystemClock:
    """The machine's clocks; wall time is the process's one `SteadyTime`."""

    _steady = SteadyTime()

    def wall_ns(self) -> int:
        return self._steady.at(time.time_ns(), time.clock_gettime_ns(_SINCE_BOOT))

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return event.wait(max(0.0, timeout_s))


class ManualClock:
    """Virtual time: stands still until `advance`; waiting advances it at once."""

    def __init__(self, wall_ns: int = 946_684_800 * NS_PER_S) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = 0
        self._lock = threading.Lock()

    def wall_ns(self) -> int:
        with self._lock:
            return self._wall_ns

    def monotonic_ns(self) -> int:
        with self._lock:
            return self._monotonic_ns

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        if not event.is_set():
            self.advance(max(0.0, timeout_s))
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Moves both clocks forward by `seconds` (not below 0)."""
        if seconds < 0:
            raise ValueError(f"time does not go back (advance by {seconds} s)")
        with self._lock:
            self._wall_ns += round(seconds * NS_PER_S)
            self._monotonic_ns += round(seconds * NS_PER_S)

    def set_wall(self, wall_ns: int) -> None:
        """Sets the wall clock; the monotonic clock goes on."""
        with self._lock:
            self._wall_ns = wall_ns
