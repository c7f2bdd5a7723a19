"""Merges the records of a partition group by log time.

The topics of a partition group (`streams.kafka.assignor`) are read at different speeds, and a session's pictures, sound
and text must not drift apart by more than they did when they were written. So a group's records are merged by the time
at which the log says they were written. Records of one partition stay in the order of their offsets, whatever their
times. A record is ready when every other partition of its group has a later one waiting, or is known to be read to its
end. Else the group waits, and the partition that it waits for is starving.

Pure logic: the caller reads, and says when a partition is at its end. Owned by the source's thread.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from streams.coordinates import Partition
from streams.records import Record, RejectedRecord

LogItem = Record | RejectedRecord
"""A record with coordinates."""

_RECORD_BYTES = 1000  # what a record takes in memory beside its payload


class _Buffer:
    """The waiting records of one partition."""

    __slots__ = ("at_end", "items", "partition")

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.items: deque[LogItem] = deque()
        self.at_end = False

    @property
    def next_ns(self) -> int:
        """When the first waiting record was written."""
        return written_ns(self.items[0])


class Merge:
    """Merges each partition group that is read.

    Records of equal times go in the order in which partitions were given to `start`.
    """

    def __init__(self) -> None:
        self._buffers: dict[Partition, _Buffer] = {}
        self._groups: dict[int, list[_Buffer]] = {}
        self._waiting: dict[int, None] = {}  # groups with records, in the order in which they got them
        self.waiting_bytes = 0
        """The memory that waiting records take."""

    def start(self, number: int, partitions: Iterable[Partition]) -> None:
        """Begins a partition group with these partitions; its waiting records go."""
        self.stop([number])
        buffers = [_Buffer(partition) for partition in partitions]
        self._groups[number] = buffers
        self._buffers.update({buffer.partition: buffer for buffer in buffers})

    def stop(self, numbers: Iterable[int]) -> None:
        """Forgets partition groups and their waiting records; unknown ones are ignored."""
        for number in numbers:
            self._waiting.pop(number, None)
            for buffer in self._groups.pop(number, ()):
                self.waiting_bytes -= sum(map(size_bytes, buffer.items))
                del self._buffers[buffer.partition]

    def push(self, partition: Partition, records: Sequence[LogItem]) -> None:
        """Adds records of one partition, in the order of their offsets.

        KeyError if the partition is not read.
        """
        if records:
            buffer = self._buffers[partition]
            buffer.items.extend(records)
            buffer.at_end = False
            self.waiting_bytes += sum(map(size_bytes, records))
            self._waiting[partition.number] = None

    def set_at_end(self, partition: Partition, at_end: bool) -> None:
        """Says whether all records of a partition were pushed.

        KeyError if the partition is not read.
        """
        self._buffers[partition].at_end = at_end

    def pop_ready(self) -> list[LogItem]:
        """Removes and returns, in order, all records that are ready."""
        ready: list[LogItem] = []
        for number in list(self._waiting):
            buffers = self._groups[number]
            _pop_group(buffers, ready)
            if not any(buffer.items for buffer in buffers):
                del self._waiting[number]
        self.waiting_bytes -= sum(map(size_bytes, ready))
        return ready

    def buffered(self, partition: Partition) -> int:
        """How many records of a partition wait."""
        return len(self._buffers[partition].items)

    def starving(self) -> Iterator[Partition]:
        """The partitions that others wait for.

        Nothing of them waits, and they are not known to be at their end.
        """
        for number in self._waiting:
            for buffer in self._groups[number]:
                if not buffer.items and not buffer.at_end:
                    yield buffer.partition


def _pop_group(buffers: list[_Buffer], ready: list[LogItem]) -> None:
    """Moves records of one group in runs.

    A run is as many of one partition as come before the next record of the others.
    """
    while True:
        full = [buffer for buffer in buffers if buffer.items]
        if not full or any(not buffer.items and not buffer.at_end for buffer in buffers):
            return
        if len(full) == 1:
            ready.extend(full[0].items)
            full[0].items.clear()
            continue
        first = min(full, key=_next_ns)
        at = full.index(first)
        # Before a buffer that was started earlier only what is older goes, before a later one what is as old too.
        limit_ns = min(buffer.next_ns - (rank < at) for rank, buffer in enumerate(full) if buffer is not first)
        items = first.items
        while items and written_ns(items[0]) <= limit_ns:
            ready.append(items.popleft())


def _next_ns(buffer: _Buffer) -> int:
    return buffer.next_ns


def size_bytes(item: LogItem) -> int:
    """The memory that a record takes."""
    return len(item.payload) + _RECORD_BYTES


def written_ns(item: LogItem) -> int:
    """When the log says that a record was written; ValueError without coordinates."""
    coordinates = item.coordinates
    if coordinates is None:
        raise ValueError("only records of a log can be merged; this one has no coordinates")
    return coordinates.written_ns
