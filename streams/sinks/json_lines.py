"""Predictions as JSON lines, to standard output or appended to a file.

A line goes to the descriptor as it is, so that what is delivered can be read at once, and what was refused is not
written later. What could be written only in part is taken back, or ended, so that the next line stands alone. A pipe
that is full holds back what comes after (`flush` says so) without holding up the thread. A file that was renamed or
removed, as log rotation does, is made anew.
"""

import errno
import os
import select
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.predictions import Prediction
from streams.sinks.base import SinkError

_MODE = 0o600  # predictions are about people; who wants others to read them makes the file beforehand
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe without a reader is refused


class JsonLines:
    """One line of JSON a prediction. Owned by the publish thread."""

    def __init__(
        self, name: str, descriptor: int, path: Path | None = None, reader_left: Callable[[], None] | None = None
    ) -> None:
        """path: of the file behind `descriptor`, which is then ours to close.

        reader_left: called once when nobody reads the pipe any more; what comes then is passed over in silence. Without
        it, every line is refused.
        """
        self.name = name
        self._descriptor = descriptor
        self._path = path
        self._reader_left = reader_left
        self._unread = False
        self._lines: deque[bytes] = deque()
        self._written_bytes = 0
        """Of the first line."""
        self._torn = False
        """Whether the last thing written is a part of a line."""

    @classmethod
    def stdout(cls, reader_left: Callable[[], None] | None = None) -> "JsonLines":
        """Writes to standard output. SinkError if it is closed."""
        if sys.stdout is None:
            raise SinkError("stdout: is closed; open it, or configure another sink")
        sys.stdout.flush()
        return cls("stdout", sys.stdout.fileno(), reader_left=reader_left)

    @classmethod
    def file(cls, path: Path, *, append: bool = True, reader_left: Callable[[], None] | None = None) -> "JsonLines":
        """Appends to a file, or replaces it; made with its folder if it is not there. SinkError if it cannot be."""
        with _errors_named(str(path)):
            return cls(str(path), _opened(path, 0 if append else os.O_TRUNC), path, reader_left)

    def publish(self, prediction: Prediction, line: bytes) -> None:
        if self._unread:
            return
        with _errors_named(self.name):
            self._follow()
            self._lines.append(line + b"\n")
            self._write()

    def flush(self, timeout_s: float) -> bool:
        """Whether all is written; waits at most `timeout_s` for a full pipe. SinkError for a line that cannot be."""
        with _errors_named(self.name):
            if self._lines and self._has_room(timeout_s):
                self._write()
        return not self._lines

    def close(self) -> None:
        lost = len(self._lines)
        with _errors_named(self.name):
            if self._path is not None:
                os.close(self._descriptor)
        if lost:
            raise SinkError(f"{self.name}: {lost} predictions were not taken before the end")

    def _write(self) -> None:
        """Writes what waits, as far as it is taken; on OSError the first line is given up."""
        while self._lines and self._has_room(0.0):
            line = self._lines[0]
            try:
                self._write_some(line)
            except BlockingIOError:
                return
            except OSError as error:
                self._lines.popleft()
                self._take_back()
                if error.errno != errno.EPIPE or self._reader_left is None:
                    raise
                self._unread = True
                self._lines.clear()
                self._reader_left()
            if self._written_bytes == len(line):
                self._lines.popleft()
                self._written_bytes = 0

    def _write_some(self, line: bytes) -> None:
        if self._torn:
            os.write(self._descriptor, b"\n")
            self._torn = False
        end = len(line) if self._is_file() else self._written_bytes + select.PIPE_BUF  # of which there is room
        self._written_bytes += os.write(self._descriptor, line[self._written_bytes : end])

    def _take_back(self) -> None:
        """Removes the part of a line that was written, where that can be done."""
        if self._written_bytes:
            try:
                os.ftruncate(self._descriptor, os.lseek(self._descriptor, -self._written_bytes, os.SEEK_CUR))
            except OSError:
                self._torn = True
        self._written_bytes = 0

    def _has_room(self, timeout_s: float) -> bool:
        if self._is_file():
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(timeout_s * 1000))

    def _is_file(self) -> bool:
        return stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def _follow(self) -> None:
        """Opens the file anew where its name stands for another, or for none; it keeps the mode that it had."""
        if self._path is None:
            return
        held = os.fstat(self._descriptor)
        try:
            there = os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            pass
        else:
            if (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino):
                return
        replaced, self._descriptor = self._descriptor, _opened(self._path, mode=stat.S_IMODE(held.st_mode))
        os.close(replaced)
        self._written_bytes, self._torn = 0, False


def _opened(path: Path, flags: int = 0, mode: int = _MODE) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, _FLAGS | flags, mode)


@contextmanager
def _errors_named(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = "nobody reads the pipe" if error.errno in (errno.ENXIO, errno.EPIPE) else error.strerror
        raise SinkError(f"{name}: cannot be written: {why}") from error
