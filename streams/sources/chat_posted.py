"""Chat that is posted to the service's own HTTP port: the application calls `offer`, this source hands it on.

A message happens when it is posted. When messages are not taken, `offer` refuses more, so that the poster is told to
come again (HTTP 429) instead of holding a connection open. So it is before the source is open and once it has left:
what was accepted is handed on, always.
"""

import queue
import threading
from typing import NamedTuple

from streams.clock import Clock
from streams.records import Modality, Progress, Record
from streams.sources.base import Emit
from streams.sources.chat import TICK_S, ChatReceiver, Ticker
from streams.telemetry import Telemetry

_QUEUED_MESSAGES = 1024


class _Posted(NamedTuple):
    session: str
    payload: bytes
    content_type: str
    at_ns: int


class PostedChat:
    """A live source of messages. `offer` and `is_open` are for any thread; the rest is its runner's thread's."""

    live = True
    modalities = frozenset({Modality.TEXT})

    def __init__(
        self, clock: Clock, telemetry: Telemetry, *, capacity_messages: int = _QUEUED_MESSAGES, name: str = "chat"
    ) -> None:
        self.name = name
        self._clock = clock
        self._receiver = ChatReceiver("", clock, telemetry)
        self._ticker = Ticker(clock)
        self._posted: queue.Queue[_Posted] = queue.Queue(capacity_messages)
        self._stamping = threading.Lock()  # messages are queued in the order of their times
        self._open = False

    @property
    def is_open(self) -> bool:
        """Whether messages are taken at all."""
        return self._open

    def offer(self, message: Record) -> bool:
        """Takes one message, which happens now; False if it must be posted again later."""
        try:
            with self._stamping:
                if not self._open:
                    return False
                now_ns = self._clock.wall_ns()
                self._posted.put_nowait(_Posted(message.session, message.payload, message.content_type, now_ns))
        except queue.Full:
            return False
        return True

    def open(self) -> None:
        """Takes messages from now on; the port is the HTTP server's."""
        with self._stamping:
            self._open = True

    def read(self, emit: Emit, stop: threading.Event) -> None:
        while not (stop.is_set() and self._has_left()):
            try:
                posted = self._posted.get(timeout=TICK_S)
            except queue.Empty:
                pass
            else:
                record = self._receiver.message(posted.session, posted.payload, posted.content_type, posted.at_ns)
                if record is not None:
                    emit(record)
            if self._ticker.is_due():
                for progress in self._silence():
                    emit(progress)

    def close(self) -> None:
        """Takes no more messages; those that wait are for the next life of the source."""
        with self._stamping:
            self._open = False

    def _has_left(self) -> bool:
        """Takes no more messages, if none waits; whether that is so."""
        with self._stamping:
            self._open = not self._posted.empty()
            return not self._open

    def _silence(self) -> list[Progress]:
        """What may be said of silence: nothing while a message of the past still waits."""
        with self._stamping:
            return list(self._receiver.silence()) if self._posted.empty() else []
