"""Splits bytes into lines of bounded length.

A line longer than the limit is skipped up to its end, so that neither memory nor the lines after it suffer.
"""

import io
from collections.abc import Iterator

LINE_LIMIT_BYTES = 64 * 1024
"""A longer chat line is a mistake or an attack: the longest message of the large chat services is a tenth of it."""


class LineBuffer:
    """Incremental line splitter. Owned by one connection; no lock."""

    def __init__(self, limit_bytes: int = LINE_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._partial = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """The lines that `data` completes; None for one too long.

        Lines come without their ends; empty ones are left out.
        """
        *complete, rest = data.split(b"\n")
        for piece in complete:
            yield from self._completed(piece)
        self._keep(rest)

    def flush(self) -> Iterator[bytes | None]:
        """The last line, which has no end."""
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
    """Lines of a file, numbered from 1; None for one too long.

    They may end as on any system.
    """
    text = io.TextIOWrapper(io.BufferedReader(file), encoding="latin-1")  # a byte is a character, and back
    number = 0
    while line := text.readline(limit_bytes + 1):
        number += 1
        too_long = len(line) > limit_bytes
        while not line.endswith("\n") and (more := text.readline(limit_bytes)):
            line, too_long = more, True
        yield number, None if too_long else line.encode("latin-1")
