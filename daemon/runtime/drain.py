"""How long a drain may take.

Asked to stop, a service has `lifecycle.drain_timeout_s`: whoever asked waits. Where the input has ended by itself,
nobody waits: what has been read is finished, however long that takes, while there is progress. That a sink is blocked,
as by the reader of a pipe who pauses, is no lack of it: the sink goes on by itself.
"""

import threading
from collections.abc import Hashable

from daemon.runtime.heartbeats import OVERDUE_S
from streams.clock import NS_PER_S, Clock

_STALLED_S = 2 * OVERDUE_S  # by then a thread that is stuck has been told as well


class DrainDeadline:
    """Owned by the main thread. `hurry` is set as soon as somebody has asked the service to stop."""

    def __init__(self, clock: Clock, timeout_s: float, hurry: threading.Event) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._hurry = hurry
        self._hurried_ns: int | None = None
        self._progress: Hashable = None
        self._progressed_ns = clock.monotonic_ns()

    def left_s(self, progress: Hashable = None, blocked: bool = False) -> float:
        """Seconds left, 0 when it has passed.

        progress: anything that changes as work is done. blocked: whether a sink delivers nothing now.
        """
        now_ns = self._clock.monotonic_ns()
        if self._hurry.is_set():
            self._hurried_ns = now_ns if self._hurried_ns is None else self._hurried_ns
            return max(0.0, self._timeout_s - (now_ns - self._hurried_ns) / NS_PER_S)
        if blocked or progress != self._progress:
            self._progress, self._progressed_ns = progress, now_ns
        return max(0.0, _STALLED_S - (now_ns - self._progressed_ns) / NS_PER_S)
