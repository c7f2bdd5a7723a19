"""Chat that is posted to the service's own HTTP port: the application calls `offer`, this source hands it on.

A message happens when it is posted. When messages are not taken, `offer` refuses more, of a session sooner than of all,
so that the poster is told to come again (HTTP 429) instead of holding a connection open. So it is before the source is
open and once it has left: what was accepted is handed on, always.
"""

import threading

from streams.clock import Clock
from streams.records import Modality, Record
from streams.sources.base import Emit
from streams.sources.chat.message_queue import ChatQueue
from streams.sources.chat.receiver import TICK_S, ChatReceiver, Ticker
from streams.telemetry import Telemetry

_QUEUED_MESSAGES = 1024
_QUEUED_OF_SESSION = 128  # half a second of one that floods, on one core


class PostedChat:
    """A live source of messages. `offer` and `is_open` are for any thread; the rest is its runner's thread's."""

    live = True
    modalities = frozenset({Modality.TEXT})

    def __init__(
        self, clock: Clock, telemetry: Telemetry, *, capacity_messages: int = _QUEUED_MESSAGES, name: str = "chat"
    ) -> None:
        self.name = name
        self._ticker = Ticker(clock)
        self._capacity = capacity_messages
        self._posted = ChatQueue(ChatReceiver("", clock, telemetry), min(capacity_messages, _QUEUED_OF_SESSION))
        self._opening = threading.Lock()  # between whether it is open and what is put in
        self._open = False

    @property
    def is_open(self) -> bool:
        """Whether messages are taken at all."""
        return self._open

    def offer(self, message: Record) -> bool:
        """Takes one message, which happens now; False if it must be posted again later."""
        with self._opening:
            if not self._open or len(self._posted) >= self._capacity or self._posted.is_full(message.session):
                return False
            self._posted.put(
                message.session,
                lambda receiver: receiver.message(message.session, message.payload, message.content_type),
            )
        return True

    def open(self) -> None:
        """Takes messages from now on; the port is the HTTP server's."""
        with self._opening:
            self._open = True

    def read(self, emit: Emit, stop: threading.Event) -> None:
        while not (stop.is_set() and self._has_left()):
            record = self._posted.take(TICK_S)
            if record is not None:
                emit(record)
            if self._ticker.is_due():
                for progress in self._posted.silence():
                    emit(progress)

    def close(self) -> None:
        """Takes no more messages; those that wait are for the next life of the source."""
        with self._opening:
            self._open = False

    def _has_left(self) -> bool:
        """Takes no more messages; whether none waits."""
        with self._opening:
            self._open = False
            return not len(self._posted)
