"""Chat that is posted to the service's own HTTP port: the application calls `post`, this source hands it on.

A message happens when it is posted. When messages are not taken, `post` refuses more, so that the poster is told to
come again (HTTP 503) instead of holding a connection open.
"""

import json
import queue
import threading
from typing import NamedTuple

from streams.clock import Clock
from streams.records import Modality, Progress
from streams.sources.base import Emit
from streams.sources.chat import TICK_S, ChatReceiver, Ticker, is_session_name
from streams.sources.lines import LINE_LIMIT_BYTES
from streams.telemetry import Telemetry

_QUEUED_MESSAGES = 1024


class ChatFull(RuntimeError):
    """Messages are not being taken; post again later."""


class _Posted(NamedTuple):
    session: str
    payload: bytes
    at_ns: int


class PostedChat:
    """A live source of messages. `post` may be called from any thread; the rest is its runner's thread's."""

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

    def post(self, session: str, text: str, author: str | None = None, lang: str | None = None) -> None:
        """Takes one message; ValueError if it cannot be one, ChatFull if it must be posted again later."""
        if not is_session_name(session):
            raise ValueError("a session is named by 1 to 256 printable characters")
        message = {"text": text, "author": author, "lang": lang}
        known = {key: value for key, value in message.items() if value is not None}
        payload = json.dumps(known, ensure_ascii=False).encode("utf-8", "replace")
        if len(payload) > LINE_LIMIT_BYTES:
            raise ValueError(f"a message of {len(payload)} bytes (at most {LINE_LIMIT_BYTES})")
        try:
            with self._stamping:
                self._posted.put_nowait(_Posted(session, payload, self._clock.wall_ns()))
        except queue.Full:
            raise ChatFull(f"{self._posted.maxsize} messages are waiting") from None

    def open(self) -> None:
        """Always open: the port is the HTTP server's."""

    def read(self, emit: Emit, stop: threading.Event) -> None:
        while not stop.is_set() or not self._posted.empty():  # what was accepted is handed on
            try:
                posted = self._posted.get(timeout=TICK_S)
            except queue.Empty:
                pass
            else:
                record = self._receiver.message(posted.session, posted.payload, "application/json", posted.at_ns)
                if record is not None:
                    emit(record)
            if self._ticker.is_due():
                for progress in self._silence():
                    emit(progress)

    def close(self) -> None:
        """Nothing to release."""

    def _silence(self) -> list[Progress]:
        """What may be said of silence: nothing while a message of the past still waits."""
        with self._stamping:
            return list(self._receiver.silence()) if self._posted.empty() else []
