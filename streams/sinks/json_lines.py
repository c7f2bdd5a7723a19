"""Predictions as JSON lines, to standard output or appended to a file."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from streams.predictions import Prediction
from streams.sinks.base import SinkError


class JsonLines:
    """One line of JSON a prediction, flushed as it is written. Owned by the publish thread."""

    def __init__(self, name: str, stream: BinaryIO) -> None:
        self.name = name
        self._stream = stream

    @classmethod
    def stdout(cls) -> "JsonLines":
        """Writes to standard output."""
        return cls("stdout", sys.stdout.buffer)

    @classmethod
    def file(cls, path: Path, *, append: bool = True) -> "JsonLines":
        """Appends to a file, or replaces it; made with its folder if it is not there. SinkError if it cannot be."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return cls(str(path), path.open("ab" if append else "wb"))
        except OSError as error:
            raise SinkError(f"{path}: cannot be written: {error.strerror}") from error

    def publish(self, prediction: Prediction, line: bytes) -> None:
        with self._errors_named():
            self._stream.write(line + b"\n")
            self._stream.flush()

    def flush(self, timeout_s: float) -> bool:
        """True: every line was flushed as it was written, or refused."""
        return True

    def close(self) -> None:
        if self._stream is not sys.stdout.buffer:
            with self._errors_named():
                self._stream.close()

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SinkError(f"{self.name}: cannot be written: {error.strerror}") from error
