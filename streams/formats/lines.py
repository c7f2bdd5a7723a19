"""Cuts a stream of bytes into lines of bounded length.

A line longer than the limit is passed over up to its end, so that neither memory nor the lines after it pay for it.
"""

import io
from collections.abc import Iterator

LINE_LIMIT_BYTES = 64 * 1024
"""A longer chat line is a mistake or an attack: the longest message of the large chat services is a tenth of it."""


class LineBuffer:
    """Owned by one connection; no lock."""

    def __init__(self, limit_bytes: int = LINE_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._partial = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """The lines that `data` completes, without their ends, empty ones left out; None for one that was too long."""
        *complete, rest = data.split(b"\n")
        for piece in complete:
            yield from self._completed(piece)
        self._keep(rest)

    def flush(self) -> Iterator[bytes | None]:
        """What is left when no more comes: a last line without an end is a line."""
        yield from self._completed(b"")

    def _completed(self, piece: bytes) -> Iterator[bytes | None]:
        self._keep(piece)
        line, skipped = bytes(self._partial).removesuffix(b"\r"), self._skipping
        self._partial.clear()
        self._skipping = False
        if skipped:
            yield None
        elif line.strip():
            yield line

    def _keep(self, piece: bytes) -> None:
        if self._skipping or len(self._partial) + len(piece) > self._limit_bytes:
            self._skipping = True
            self._partial.clear()
        else:
            self._partial += piece


def numbered_lines(file: io.FileIO, limit_bytes: int = LINE_LIMIT_BYTES) -> Iterator[tuple[int, bytes | None]]:
    """The lines of `file` with their numbers from 1, however they end; None for one that is too long."""
    text = io.TextIOWrapper(io.BufferedReader(file), encoding="latin-1")  # a byte is a character, and back
    number = 0
    while line := text.readline(limit_bytes + 1):
        number += 1
        too_long = len(line) > limit_bytes
        while not line.endswith("\n") and (more := text.readline(limit_bytes)):
            line, too_long = more, True
        yield number, None if too_long else line.encode("latin-1")
