"""Chat posted over HTTP.

The HTTP application calls `offer`, and this source hands the message on. A message happens when it is posted. While too
many wait, `offer` refuses more, of one session sooner than of all: the client is to post again (HTTP 429), and holds no
connection open. Before the source is open, and after it stopped, all are refused. What was accepted is always handed
on.
"""

import threading

from streams.clock import Clock
from streams.records import Modality, Record
from streams.sources.base import Emit
from streams.sources.chat.message_queue import ChatMessageQueue
from streams.sources.chat.receiver import TICK_S, ChatReceiver, Ticker
from streams.telemetry import Telemetry

_QUEUED_MESSAGES = 1024
_QUEUED_OF_SESSION = 128  # half a second of one that floods, on one core


class PostedChat:
    """Live source of posted messages.

    `offer` and `is_open` are for any thread; the rest is owned by its runner's thread.
    """

    live = True
    modalities = frozenset({Modality.TEXT})

    def __init__(
        self, clock: Clock, telemetry: Telemetry, *, capacity_messages: int = _QUEUED_MESSAGES, name: str = "chat"
    ) -> None:
        self.name = name
        self._ticker = Ticker(clock)
        self._capacity = capacity_messages
        self._posted = ChatMessageQueue(ChatReceiver("", clock, telemetry), min(capacity_messages, _QUEUED_OF_SESSION))
        self._opening = threading.Lock()  # between whether it is open and what is put in
        self._open = False

    @property
    def is_open(self) -> bool:
        """Whether messages are accepted at all."""
        return self._open

    def offer(self, message: Record) -> bool:
        """Accepts a message, which happens now; False to post it again."""
        with self._opening:
            if not self._open or len(self._posted) >= self._capacity or self._posted.is_full(message.session):
                return False
            self._posted.put(
                message.session,
                lambda receiver: receiver.message(message.session, message.payload, message.content_type),
            )
        return True

    def open(self) -> None:
        """Accepts messages from now on; the port is the HTTP server's."""
        with self._opening:
            self._open = True

    def read(self, emit: Emit, stop: threading.Event) -> None:
        while not (stop.is_set() and self._has_drained()):
            record = self._posted.take(TICK_S)
            if record is not None:
                emit(record)
            if self._ticker.is_due():
                for progress in self._posted.progress():
                    emit(progress)

    def close(self) -> None:
        """Accepts no more messages; those that wait are read when opened again."""
        with self._opening:
            self._open = False

    def _has_drained(self) -> bool:
        """Accepts no more messages; whether none waits."""
        with self._opening:
            self._open = False
            return not len(self._posted)
