"""Which dead letters of a partition were sent once more: what the group that reads them commits.

Rule: the committed offset is that of the first letter which was not, and its metadata names those after it which were,
as ranges ("17-20,25"). So letters can be picked by reason or offset, and neither is one left behind nor sent twice.
A broker keeps 4096 bytes of metadata: a pick too scattered for half of that is refused before anything is sent, so that
every state between the one before and the one after fits too.
"""

import re
from collections.abc import Iterable

_LIMIT_BYTES = 2000
_METADATA = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*", re.ASCII)


class TooManyRanges(Exception):
    """The letters that were picked cannot be remembered; the message says what to do."""


class Resubmissions:
    """The letters of one partition that were sent once more. Owned by one thread."""

    def __init__(self, offset: int = 0, metadata: str = "") -> None:
        """From what was committed; metadata that is not ours counts as none."""
        self._before = offset
        self._picked = set(_offsets(metadata))

    def __contains__(self, offset: int) -> bool:
        return offset < self._before or offset in self._picked

    def add(self, offset: int) -> None:
        self._picked.add(offset)

    def committable(self, letters: Iterable[int], end: int) -> tuple[int, str]:
        """Offset and metadata to commit, given the offsets of all `letters` there are from the last one committed on.

        end: the offset after them. Offsets that hold no letter (ends of transactions) do not part a range.
        """
        ranges: list[list[int]] = []
        first, parted = end, True
        for offset in sorted(letters):
            if offset not in self:
                first, parted = min(first, offset), True
            elif first < end:
                if parted:
                    ranges.append([offset, offset])
                ranges[-1][1], parted = offset, False
        return first, ",".join(f"{start}-{last}" if start < last else str(start) for start, last in ranges)

    def check(self, letters: Iterable[int], picked: Iterable[int], end: int) -> None:
        """TooManyRanges if what will be committed after `picked` is too long."""
        after = Resubmissions(self._before)
        after._picked = self._picked | set(picked)
        _, metadata = after.committable(letters, end)
        if len(metadata) > _LIMIT_BYTES:
            raise TooManyRanges(
                "too many separate letters to remember: pick fewer, or those before them too (nothing was sent)"
            )


def _offsets(metadata: str) -> Iterable[int]:
    if not _METADATA.fullmatch(metadata):
        return
    for part in metadata.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
