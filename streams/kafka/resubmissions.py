"""Remembers which dead letters of a partition were resubmitted.

Rule: the group that reads them commits the offset of the first letter that was not, and as its metadata those after it
that were, as ranges ("17-20,25"). So letters can be selected by reason or offset, and none is left behind or sent
twice. A broker keeps 4096 bytes of metadata: a selection too scattered for half of that is refused before anything is
sent, so that every state on the way fits too.
"""

import re
from collections.abc import Iterable

_LIMIT_BYTES = 2000
_METADATA = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*", re.ASCII)


class TooManyRanges(Exception):
    """A selection cannot be remembered; the message says what to do."""


class Resubmissions:
    """The resubmitted letters of one partition. Owned by one thread."""

    def __init__(self, offset: int = 0, metadata: str = "") -> None:
        """Reads what was committed; metadata of others counts as none."""
        self._before = offset
        self._resubmitted = set(_offsets(metadata))

    def __contains__(self, offset: int) -> bool:
        return offset < self._before or offset in self._resubmitted

    def add(self, offset: int) -> None:
        """The letter at an offset was resubmitted."""
        self._resubmitted.add(offset)

    def committable(self, letters: Iterable[int], end: int) -> tuple[int, str]:
        """The offset and metadata to commit.

        letters: the offsets of all letters from the committed one on. end: the offset after them. Offsets without a
        letter (marks of transactions) do not split a range.
        """
        ranges: list[list[int]] = []
        first, is_split = end, True
        for offset in sorted(letters):
            if offset not in self:
                first, is_split = min(first, offset), True
            elif first < end:
                if is_split:
                    ranges.append([offset, offset])
                ranges[-1][1], is_split = offset, False
        return first, ",".join(f"{start}-{last}" if start < last else str(start) for start, last in ranges)

    def check(self, letters: Iterable[int], selected: Iterable[int], end: int) -> None:
        """TooManyRanges if the metadata after a selection is too long."""
        after = Resubmissions(self._before)
        after._resubmitted = self._resubmitted | set(selected)
        _, metadata = after.committable(letters, end)
        if len(metadata) > _LIMIT_BYTES:
            raise TooManyRanges(
                "too many separate letters to remember: select fewer, or those before them too (nothing was sent)"
            )


def _offsets(metadata: str) -> Iterable[int]:
    if not _METADATA.fullmatch(metadata):
        return
    for part in metadata.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
