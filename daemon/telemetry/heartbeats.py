"""Heartbeats of the threads, by which liveness is judged.

A thread beats each time it has done something or has nothing to do; while it is stuck in one call it does not. Liveness
(`/livez`, the systemd watchdog) asks which threads are overdue.
"""

import threading
from collections.abc import Callable

from streams.clock import NS_PER_S, Clock

OVERDUE_S = 30.0  # ten times the slowest call seen (a cold batch of sound on one core, 3 s)


class Heartbeats:
    """Ages of the workers' last signs of progress. Callable from any thread."""

    def __init__(self, clock: Clock, watch: Callable[[str, Callable[[], float]], None] | None = None) -> None:
        """watch: called with each new worker and a reader of its age.

        Ages are in seconds.
        """
        self._clock = clock
        self._watch = watch
        self._lock = threading.Lock()
        self._last_ns: dict[str, int] = {}

    def worker(self, name: str) -> Callable[[], None]:
        """Registers a worker; returns what it calls to beat."""

        def beat() -> None:
            with self._lock:
                if name in self._last_ns:
                    self._last_ns[name] = self._clock.monotonic_ns()

        with self._lock:
            self._last_ns[name] = self._clock.monotonic_ns()
        if self._watch is not None:
            self._watch(name, lambda: self.age_s(name))
        return beat

    def retire(self, name: str) -> None:
        """Ends a worker: no beat is expected any more."""
        with self._lock:
            self._last_ns.pop(name, None)

    def age_s(self, name: str) -> float:
        """Seconds since the worker last beat; 0 for one that has retired."""
        with self._lock:
            last_ns = self._last_ns.get(name)
        return 0.0 if last_ns is None else (self._clock.monotonic_ns() - last_ns) / NS_PER_S

    def names(self) -> list[str]:
        """The workers a beat is expected of."""
        with self._lock:
            return list(self._last_ns)

    def overdue(self) -> list[str]:
        """Workers that have not beaten for `OVERDUE_S`."""
        return [name for name in self.names() if self.age_s(name) >= OVERDUE_S]
