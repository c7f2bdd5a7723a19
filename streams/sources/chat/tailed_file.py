"""Chat from a file that another program appends to.

A message is a line. The file is followed through rotation and truncation. Reading begins at its end, since earlier
lines did not happen now. A file that takes its place, or one that is truncated, is read from its beginning, after the
rest of the old one. Left out: what a program still writes to the old file once the new one was read.
"""

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from streams.clock import Clock
from streams.formats.lines import LineBuffer
from streams.formats.text_files import FileError, open_file
from streams.records import Modality
from streams.sources.base import Emit, SourceError
from streams.sources.chat.receiver import TICK_S, ChatReceiver
from streams.telemetry import Telemetry

_CHUNK_BYTES = 64 * 1024
_ABSENT_TICKS = 25  # five seconds: log rotation renames and makes anew within one


class TailedChat:
    """Live source of messages from a file. Owned by its runner's thread."""

    live = True
    modalities = frozenset({Modality.TEXT})

    def __init__(
        self,
        path: Path,
        session: str,
        clock: Clock,
        telemetry: Telemetry,
        *,
        from_start: bool = False,
        name: str = "chat",
    ) -> None:
        self.name = name
        self._path = path
        self._clock = clock
        self._receiver = ChatReceiver(session, clock, telemetry)
        self._from_start = from_start
        self._file: BinaryIO | None = None

    def open(self) -> None:
        self._file = self._opened()
        if not self._from_start:
            self._file.seek(0, os.SEEK_END)
        self._from_start = True  # a later file is followed from its first byte

    def read(self, emit: Emit, stop: threading.Event) -> None:
        lines = LineBuffer()
        absent_ticks = 0
        while not stop.is_set():
            is_replaced = self._is_replaced()
            self._emit_rest(lines, emit)
            for progress in self._receiver.progress():
                emit(progress)
            if is_replaced:
                self._emit_lines(lines.flush(), emit)
                self.close()
                self._file = self._opened()
                continue
            absent_ticks = 0 if self._path.exists() else absent_ticks + 1
            if absent_ticks > _ABSENT_TICKS:
                raise SourceError(f"{self._path}: the file is gone")
            self._clock.wait(stop, TICK_S)
        self._emit_rest(lines, emit)  # what was written before the stop

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _emit_rest(self, lines: LineBuffer, emit: Emit) -> None:
        while data := self._read_some():
            self._emit_lines(lines.feed(data), emit)

    def _emit_lines(self, lines: Iterable[bytes | None], emit: Emit) -> None:
        for line in lines:
            record = self._receiver.line(line)
            if record is not None:
                emit(record)

    def _opened(self) -> BinaryIO:
        try:
            return open_file(self._path)
        except FileError as problem:
            raise SourceError(f"{self._path}: {problem}") from problem

    def _read_some(self) -> bytes:
        if self._file is None:
            raise SourceError(f"{self._path}: is closed")
        try:
            return self._file.read(_CHUNK_BYTES) or b""
        except OSError as error:
            raise SourceError(f"{self._path}: cannot be read: {error.strerror}") from error

    def _is_replaced(self) -> bool:
        """Whether the file was replaced, or cut to before our position."""
        if self._file is None:
            return False
        try:
            there, held = self._path.stat(), os.fstat(self._file.fileno())
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino) or held.st_size < self._file.tell()
