"""In what order records of several partitions are handed on: by the time at which they were written.

The topics of one number are read at different speeds, and a session's pictures, sound and text must not drift apart by
more than they did when they were written. So the partitions of a number are merged by the log's own time (Kafka's
records of one partition stay in the order of their offsets, whatever their times say). A record goes on when every
other partition of its number has a later one waiting, or is known to be read to its end; else the number waits, and
the partition that it waits for is starving.

Pure logic: who reads, and how the end of a partition is known, is told from outside. Owned by the source's thread.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from streams.coordinates import Partition
from streams.records import Record, RejectedRecord

LogItem = Record | RejectedRecord
"""A record with coordinates."""

_RECORD_BYTES = 1000  # what a record takes in memory beside its payload


class _Lane:
    """One partition."""

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
    """The partitions that are read, by number. Equal times go in the order in which partitions were placed."""

    def __init__(self) -> None:
        self._lanes: dict[Partition, _Lane] = {}
        self._numbers: dict[int, list[_Lane]] = {}
        self._waiting: dict[int, None] = {}  # numbers with records, in the order in which they got them
        self.waiting_bytes = 0
        """What waits here takes so much memory."""

    def place(self, number: int, partitions: Iterable[Partition]) -> None:
        """The partitions of `number` are these from now on; records that waited for it are gone."""
        self.drop([number])
        lanes = [_Lane(partition) for partition in partitions]
        self._numbers[number] = lanes
        self._lanes.update({lane.partition: lane for lane in lanes})

    def drop(self, numbers: Iterable[int]) -> None:
        """Forgets these numbers and what waits of them; unknown numbers are passed over."""
        for number in numbers:
            self._waiting.pop(number, None)
            for lane in self._numbers.pop(number, ()):
                self.waiting_bytes -= sum(map(size_bytes, lane.items))
                del self._lanes[lane.partition]

    def push(self, partition: Partition, records: Sequence[LogItem]) -> None:
        """Takes records of one partition, in the order of their offsets; KeyError if it was not placed."""
        if records:
            lane = self._lanes[partition]
            lane.items.extend(records)
            lane.at_end = False
            self.waiting_bytes += sum(map(size_bytes, records))
            self._waiting[partition.number] = None

    def at_end(self, partition: Partition, at_end: bool) -> None:
        """Tells whether everything that is in the log of `partition` has been pushed; KeyError if it was not placed."""
        self._lanes[partition].at_end = at_end

    def pop_ready(self) -> list[LogItem]:
        """Takes out, in order, everything that waits for no other partition any more."""
        ready: list[LogItem] = []
        for number in list(self._waiting):
            lanes = self._numbers[number]
            _pop_number(lanes, ready)
            if not any(lane.items for lane in lanes):
                del self._waiting[number]
        self.waiting_bytes -= sum(map(size_bytes, ready))
        return ready

    def buffered(self, partition: Partition) -> int:
        """How many records of `partition` wait."""
        return len(self._lanes[partition].items)

    def starving(self) -> Iterator[Partition]:
        """The partitions that others wait for: nothing waits of them, and they are not known to be at their end."""
        for number in self._waiting:
            for lane in self._numbers[number]:
                if not lane.items and not lane.at_end:
                    yield lane.partition


def _pop_number(lanes: list[_Lane], ready: list[LogItem]) -> None:
    """Moves records of one number in runs: as many of one partition as come before the next record of the others."""
    while True:
        full = [lane for lane in lanes if lane.items]
        if not full or any(not lane.items and not lane.at_end for lane in lanes):
            return
        if len(full) == 1:
            ready.extend(full[0].items)
            full[0].items.clear()
            continue
        first = min(full, key=_next_ns)
        at = full.index(first)
        # Before a lane that was placed earlier only what is older goes, before a later one what is as old too.
        limit_ns = min(lane.next_ns - (rank < at) for rank, lane in enumerate(full) if lane is not first)
        items = first.items
        while items and written_ns(items[0]) <= limit_ns:
            ready.append(items.popleft())


def _next_ns(lane: _Lane) -> int:
    return lane.next_ns


def size_bytes(item: LogItem) -> int:
    """What a record takes in memory."""
    return len(item.payload) + _RECORD_BYTES


def written_ns(item: LogItem) -> int:
    """The log's own time of a record."""
    coordinates = item.coordinates
    if coordinates is None:
        raise ValueError("only records of a log can be merged; this one has no coordinates")
    return coordinates.written_ns
