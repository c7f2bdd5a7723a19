"""The deadline of a shutdown: drain, then close.

Asked to stop, a service has `lifecycle.drain_timeout_s` to drain, since whoever asked waits, and `CLOSING_S` after that
to close what is open. Where the input has ended by itself, nobody waits: what was read is finished, however long that
takes, while there is progress. A blocked sink, as by the reader of a pipe who pauses, is no lack of progress: it goes
on by itself.
"""

import threading
from collections.abc import Hashable

from daemon.telemetry.heartbeats import OVERDUE_S
from streams.clock import Clock
from streams.deadline import Deadline

CLOSING_S = 10.0  # sinks give up what is not acknowledged, logs commit and leave their group, HTTP ends its streams
EXIT_S = 10.0  # from the signal to the drain, and for the interpreter to end: a margin of the supervisor's timeout
_STALLED_S = 2 * OVERDUE_S  # by then a thread that is stuck counts as overdue as well


class ShutdownDeadline:
    """Moves with progress until a stop is requested, and never after.

    Owned by the main thread.
    """

    def __init__(self, clock: Clock, drain_timeout_s: float, stop_requested: threading.Event) -> None:
        self._clock = clock
        self._timeout_s = drain_timeout_s + CLOSING_S
        self._stop_requested = stop_requested
        self._stop: Deadline | None = None
        self._progress: Hashable = None
        self._stalled = Deadline.after(clock, _STALLED_S)

    def drain(self, progress: Hashable = None, blocked: bool = False) -> Deadline:
        """By when work must be finished, as it is now.

        progress: anything that changes as work is done. blocked: whether a sink delivers nothing now.
        """
        if (stop := self.stop) is not None:
            return stop.earlier_by(CLOSING_S)
        if blocked or progress != self._progress:
            self._progress, self._stalled = progress, Deadline.after(self._clock, _STALLED_S)
        return self._stalled

    def close(self) -> Deadline:
        """By when all must be closed; called when the drain has ended."""
        closing = Deadline.after(self._clock, CLOSING_S)
        return closing if self.stop is None else self.stop.at_most(CLOSING_S)

    @property
    def stop(self) -> Deadline | None:
        """By when the service must be stopped; None until requested."""
        if self._stop is None and self._stop_requested.is_set():
            self._stop = Deadline.after(self._clock, self._timeout_s)
        return self._stop
