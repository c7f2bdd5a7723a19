"""Writes predictions as JSON lines to standard output or a file.

A line goes to the descriptor unbuffered, so that what is delivered can be read at once, and what was refused is not
written later. A line that could be written only in part is truncated, or ended, so that the next line stands alone. A
full pipe holds back what comes after (`flush` says so) without blocking the thread. A file that was renamed or removed,
as log rotation does, is created again.
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
    """Implements `streams.sinks.base.Sink`. Owned by the publish thread."""

    def __init__(
        self, name: str, descriptor: int, path: Path | None = None, reader_left: Callable[[], None] | None = None
    ) -> None:
        """path: of the file behind `descriptor`, which is then closed here.

        reader_left: called once when nobody reads the pipe any more; what comes then is ignored. Without it, every line
        is refused.
        """
        self.name = name
        self._descriptor = descriptor
        self._path = path
        self._reader_left = reader_left
        self._has_no_reader = False
        self._lines: deque[bytes] = deque()
        self._written_bytes = 0
        """Of the first waiting line."""
        self._is_torn = False
        """Whether the file ends in a part of a line."""

    @classmethod
    def stdout(cls, reader_left: Callable[[], None] | None = None) -> "JsonLines":
        """Writes to standard output; SinkError if it is closed."""
        if sys.stdout is None:
            raise SinkError("stdout: is closed; open it, or configure another sink")
        sys.stdout.flush()
        return cls("stdout", sys.stdout.fileno(), reader_left=reader_left)

    @classmethod
    def file(cls, path: Path, *, append: bool = True, reader_left: Callable[[], None] | None = None) -> "JsonLines":
        """Appends to a file, or replaces it; SinkError if it cannot.

        The file and its folder are created where they are missing.
        """
        with _named_errors(str(path)):
            return cls(str(path), _open(path, 0 if append else os.O_TRUNC), path, reader_left)

    def publish(self, prediction: Prediction, line: bytes) -> None:
        """Writes a line as far as there is room for it."""
        if self._has_no_reader:
            return
        with _named_errors(self.name):
            self._reopen_if_moved()
            self._lines.append(line + b"\n")
            self._write()

    def flush(self, timeout_s: float) -> bool:
        """Whether all is written; waits `timeout_s` for a full pipe at most.

        SinkError for a line that cannot be written.
        """
        with _named_errors(self.name):
            if self._lines and self._has_room(timeout_s):
                self._write()
        return not self._lines

    def close(self) -> None:
        """Closes a file; SinkError if lines were lost."""
        lost = len(self._lines)
        with _named_errors(self.name):
            if self._path is not None:
                os.close(self._descriptor)
        if lost:
            raise SinkError(f"{self.name}: {lost} predictions were not taken before the end")

    def _write(self) -> None:
        """Writes what there is room for; OSError gives the first line up."""
        while self._lines and self._has_room(0.0):
            line = self._lines[0]
            try:
                self._write_some(line)
            except BlockingIOError:
                return
            except OSError as error:
                self._lines.popleft()
                self._truncate()
                if error.errno != errno.EPIPE or self._reader_left is None:
                    raise
                self._has_no_reader = True
                self._lines.clear()
                self._reader_left()
            if self._written_bytes == len(line):
                self._lines.popleft()
                self._written_bytes = 0

    def _write_some(self, line: bytes) -> None:
        if self._is_torn:
            os.write(self._descriptor, b"\n")
            self._is_torn = False
        end = len(line) if self._is_file() else self._written_bytes + select.PIPE_BUF  # of which there is room
        self._written_bytes += os.write(self._descriptor, line[self._written_bytes : end])

    def _truncate(self) -> None:
        """Removes a part of a line, where the file allows."""
        if self._written_bytes:
            try:
                os.ftruncate(self._descriptor, os.lseek(self._descriptor, -self._written_bytes, os.SEEK_CUR))
            except OSError:
                self._is_torn = True
        self._written_bytes = 0

    def _has_room(self, timeout_s: float) -> bool:
        if self._is_file():
            return True
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        return bool(poll.poll(timeout_s * 1000))

    def _is_file(self) -> bool:
        return stat.S_ISREG(os.fstat(self._descriptor).st_mode)

    def _reopen_if_moved(self) -> None:
        """Opens the file again if its name is another's, or nobody's.

        It keeps the mode that it had.
        """
        if self._path is None:
            return
        current = os.fstat(self._descriptor)
        try:
            named = os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            pass
        else:
            if (named.st_dev, named.st_ino) == (current.st_dev, current.st_ino):
                return
        replaced, self._descriptor = self._descriptor, _open(self._path, mode=stat.S_IMODE(current.st_mode))
        os.close(replaced)
        self._written_bytes, self._is_torn = 0, False


def _open(path: Path, flags: int = 0, mode: int = _MODE) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, _FLAGS | flags, mode)


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = "nobody reads the pipe" if error.errno in (errno.ENXIO, errno.EPIPE) else error.strerror
        raise SinkError(f"{name}: cannot be written: {why}") from error
