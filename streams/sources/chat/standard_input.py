"""Chat from standard input, one message a line, until it ends."""

import os
import select
import threading

from streams.clock import Clock
from streams.formats.lines import LineBuffer
from streams.records import Modality
from streams.sources.base import Emit, SourceError
from streams.sources.chat.receiver import TICK_S, ChatReceiver, Ticker
from streams.telemetry import Telemetry

_CHUNK_BYTES = 64 * 1024


class StdinChat:
    """Live source of messages from a file descriptor.

    A message happens when it is read. Recent sessions end when the input does. Owned by its runner's thread.
    """

    live = True
    modalities = frozenset({Modality.TEXT})

    def __init__(self, session: str, clock: Clock, telemetry: Telemetry, *, fd: int = 0, name: str = "chat") -> None:
        self.name = name
        self._receiver = ChatReceiver(session, clock, telemetry)
        self._ticker = Ticker(clock)
        self._fd = fd

    def open(self) -> None:
        try:
            os.fstat(self._fd)
        except OSError as error:
            raise SourceError("standard input is closed") from error

    def read(self, emit: Emit, stop: threading.Event) -> None:
        lines = LineBuffer()
        ended = False
        last = False
        while not ended and not last:
            last = stop.is_set()  # one last read: what was written before the stop
            data = self._read_some(0.0 if last else TICK_S)
            ended = data == b""
            for line in lines.flush() if ended else lines.feed(data or b""):
                record = self._receiver.line(line)
                if record is not None:
                    emit(record)
            if self._ticker.is_due():
                for progress in self._receiver.progress():
                    emit(progress)
        if ended:
            for end in self._receiver.session_ends():
                emit(end)

    def close(self) -> None:
        """Leaves standard input as it is: it is not ours."""

    def _read_some(self, wait_s: float) -> bytes | None:
        """What is there; None if nothing yet; b"" at the end."""
        try:
            ready, _, _ = select.select([self._fd], [], [], wait_s)
            return os.read(self._fd, _CHUNK_BYTES) if ready else None
        except OSError as error:
            raise SourceError(f"standard input: {error.strerror}") from error
