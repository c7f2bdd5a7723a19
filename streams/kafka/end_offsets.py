"""What is known of the ends of partitions: whether one was read to its end, and how long it has been silent.

A log says nothing while nothing is written, so silence has to be asked for: when the broker answers that the log ends
where we have read to, then nothing was written since the last record or the last such answer. An answer holds for
two seconds, and stands for half a second of silence at most: while the broker is away, nothing is known and no time
passes.

Pure logic in monotonic time. Owned by the source's thread.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from streams.clock import NS_PER_MS, NS_PER_S
from streams.coordinates import Partition

_HOLDS_NS = 2 * NS_PER_S
_MOST_SILENCE_NS = 500 * NS_PER_MS


@dataclass(slots=True)
class _End:
    next_offset: int
    """What is to be read next."""
    heard_ns: int
    """When the last record was read, or the last answer asked for."""
    at_end_ns: int | None = None
    """When it was last known to be read to its end; None where it is not, or not any more."""


class EndOffsets:
    """One `_End` for every partition that is read."""

    def __init__(self) -> None:
        self._ends: dict[Partition, _End] = {}

    def place(self, offsets: Mapping[Partition, int], now_ns: int) -> None:
        """These partitions are read from now on, from these offsets."""
        self._ends.update({partition: _End(offset, now_ns) for partition, offset in offsets.items()})

    def drop(self, partitions: Iterable[Partition]) -> None:
        """These partitions are read no more; unknown ones are passed over."""
        for partition in partitions:
            self._ends.pop(partition, None)

    def read(self, partition: Partition, next_offset: int, end_offset: int | None, now_ns: int) -> bool:
        """Records were read; whether they reach to the end that was told with them. KeyError if it was not placed."""
        end = self._ends[partition]
        at_end = end_offset is not None and next_offset >= end_offset
        end.next_offset, end.heard_ns, end.at_end_ns = next_offset, now_ns, now_ns if at_end else None
        return at_end

    def moved(self, partition: Partition, next_offset: int) -> None:
        """Reading goes on at another offset."""
        self._ends[partition].next_offset = next_offset

    def unread(self, partition: Partition, end_offset: int) -> int:
        """How many offsets lie before the end."""
        return end_offset - self._ends[partition].next_offset

    def confirmed(self, partition: Partition, asked_ns: int) -> int:
        """The broker says that nothing follows what was read; returns for how long there had been nothing (ns)."""
        end = self._ends[partition]
        silent_ns = min(asked_ns - end.heard_ns, _MOST_SILENCE_NS)
        end.heard_ns = end.at_end_ns = asked_ns
        return silent_ns

    def behind(self, partition: Partition) -> None:
        """The broker says that there is more than was read."""
        self._ends[partition].at_end_ns = None

    def lapsed(self, now_ns: int) -> list[Partition]:
        """Partitions that were known to be at their end too long ago for it to count still; told once."""
        lapsed = [
            partition
            for partition, end in self._ends.items()
            if end.at_end_ns is not None and now_ns - end.at_end_ns > _HOLDS_NS
        ]
        for partition in lapsed:
            self._ends[partition].at_end_ns = None
        return lapsed
