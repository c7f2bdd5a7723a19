"""Knows which partitions were read to their end, and for how long.

While nothing is written, nothing comes, so the end offsets are requested. When the broker answers that the log
ends where it was read to, then nothing was written since the last record or the last such answer. An answer holds for
two seconds, and stands for half a second of idleness at most: while the broker is away, nothing is known and no idle
time passes.

Pure logic in monotonic time. Owned by the source's thread.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from streams.clock import NS_PER_MS, NS_PER_S
from streams.coordinates import Partition

_VALID_NS = 2 * NS_PER_S
_MOST_IDLE_NS = 500 * NS_PER_MS


@dataclass(slots=True)
class _EndOffset:
    next_offset: int
    """What is to be read next."""
    confirmed_ns: int
    """When the last record was read, or the last answer requested."""
    at_end_ns: int | None = None
    """When it was last known to be read to its end; None where it is not, or not any more."""


class EndOffsets:
    """The end of every partition that is read."""

    def __init__(self) -> None:
        self._ends: dict[Partition, _EndOffset] = {}

    def start(self, offsets: Mapping[Partition, int], now_ns: int) -> None:
        """These partitions are read from now on, from these offsets."""
        self._ends.update({partition: _EndOffset(offset, now_ns) for partition, offset in offsets.items()})

    def stop(self, partitions: Iterable[Partition]) -> None:
        """These partitions are not read any more; unknown ones are ignored."""
        for partition in partitions:
            self._ends.pop(partition, None)

    def advance(self, partition: Partition, next_offset: int, end_offset: int | None, now_ns: int) -> bool:
        """Records were read: whether they reach to the end.

        end_offset: as it came with the records. KeyError if the partition is not read.
        """
        end = self._ends[partition]
        at_end = end_offset is not None and next_offset >= end_offset
        end.next_offset, end.confirmed_ns, end.at_end_ns = next_offset, now_ns, now_ns if at_end else None
        return at_end

    def seek(self, partition: Partition, next_offset: int) -> None:
        """Reading continues at another offset."""
        self._ends[partition].next_offset = next_offset

    def lag(self, partition: Partition, end_offset: int) -> int:
        """How many offsets lie before the end."""
        return end_offset - self._ends[partition].next_offset

    def confirm_end(self, partition: Partition, requested_ns: int) -> int:
        """The broker confirms the end: returns how long it held (ns)."""
        end = self._ends[partition]
        idle_ns = min(requested_ns - end.confirmed_ns, _MOST_IDLE_NS)
        end.confirmed_ns = end.at_end_ns = requested_ns
        return idle_ns

    def not_at_end(self, partition: Partition) -> None:
        """The broker says that there is more than was read."""
        self._ends[partition].at_end_ns = None

    def expire(self, now_ns: int) -> list[Partition]:
        """The partitions whose end was confirmed too long ago, each once."""
        expired = [
            partition
            for partition, end in self._ends.items()
            if end.at_end_ns is not None and now_ns - end.at_end_ns > _VALID_NS
        ]
        for partition in expired:
            self._ends[partition].at_end_ns = None
        return expired
