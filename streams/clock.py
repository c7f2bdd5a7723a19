"""The one place that reads time.

Everything else is handed a `Clock`, so that tests run in virtual time. Wall time is integer nanoseconds since the Unix
epoch, UTC, and is what events are stamped with; monotonic time is for measuring how long something took.
"""

import threading
import time
from typing import Protocol

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class Clock(Protocol):
    """What a component may know about time."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; never goes back."""
        ...

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Waits until `event` is set or `timeout_s` of this clock has passed; True if it is set."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def wall_ns(self) -> int:
        return time.time_ns()

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
            raise ValueError(f"time does not go back (asked to advance by {seconds} s)")
        with self._lock:
            self._wall_ns += round(seconds * NS_PER_S)
            self._monotonic_ns += round(seconds * NS_PER_S)
