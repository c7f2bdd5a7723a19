"""Bounded queue of one source, with an overflow policy.

`block` holds the source back (files, chat): nothing is dropped. `drop_oldest` lets the newest in and counts what it
drops (cameras, microphones): the present matters. A log has no capacity here. It watches how much waits, and pauses
its partitions by itself. Progress is never dropped. Where no record lies between two reports of progress of one stream,
the further one stands for both, so that they cannot pile up.

A channel keeps the order of each session, and serves its sessions in turn: one that floods, or that the consumer holds
back for now, holds up no other. What was read from a log keeps the order of its partition number instead, since
idleness is measured by the records of all sessions in it.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile

from streams.channels.fair_queue import FairQueue
from streams.clock import NS_PER_S, Clock
from streams.reasons import DropReason
from streams.records import Assigned, EndOfSession, Item, PartitionIdle, Progress, Record, RejectedRecord, Revoked
from streams.telemetry import Telemetry


class OverflowPolicy(StrEnum):
    """What a full channel does with the next record."""

    BLOCK = "block"
    DROP_OLDEST = "drop_oldest"


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """Name, overflow policy and capacity of a channel.

    capacity: records that may wait; None where the source limits itself. `live` marks a device: what it sends happens
    now, and when it sends nothing, nothing happens.
    """

    name: str
    policy: OverflowPolicy
    capacity: int | None
    live: bool

    def __post_init__(self) -> None:
        if self.capacity is not None and self.capacity < 1:
            raise ValueError(f"channel {self.name}: the capacity must be at least 1 (is {self.capacity})")


@dataclass(frozen=True, slots=True)
class ChannelItem:
    """An item with the channel that it came through."""

    item: Item
    channel: "Channel"


LaneKey = str | int
"""A session, or a partition number."""


@dataclass(slots=True, eq=False)
class _Entry:
    put_ns: int
    item: Item


class Channel:
    """Queue of one source. Any thread puts; only the inlet takes."""

    def __init__(self, config: ChannelConfig, changed: threading.Condition, clock: Clock, telemetry: Telemetry) -> None:
        """changed: the inlet's condition, notified of what changes here.

        The inlet holds it while it takes.
        """
        self.name = config.name
        self.live = config.live
        self.policy = config.policy
        self.capacity = config.capacity
        self._changed = changed
        self._clock = clock
        self._telemetry = telemetry
        self._lanes: FairQueue[LaneKey, _Entry] = FairQueue()
        self._in_order: OrderedDict[_Entry, None] = OrderedDict()
        """What waits, as it was put."""
        self._records = 0
        self._closed = False

    def put(self, item: Item) -> None:
        """Queues one item; blocks or drops when full, drops once closed."""
        with self._changed:
            if isinstance(item, Record):
                self._make_room()
            if self._closed:
                self._count_dropped(item, DropReason.STOPPED)
                return
            if isinstance(item, Progress) and self._merge(item):
                return
            self._records += isinstance(item, Record)
            now_ns = self._clock.monotonic_ns()
            for key, part in _lanes_of(item):
                entry = _Entry(now_ns, part)
                self._lanes.put(key, entry)
                self._in_order[entry] = None
            self._changed.notify_all()

    def close(self) -> None:
        """Refuses further items; what is queued can still be taken.

        A blocked `put` returns.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def depth(self) -> int:
        """How many records are queued."""
        return self._records

    # For the inlet, which holds the lock.

    def take(self, passes: Callable[[Item], bool]) -> Item | None:
        """The oldest item that `passes`, sessions in turn; None without one."""
        taken = self._lanes.take(lambda key, entry: passes(entry.item))
        if taken is None:
            return None
        entry = taken[1]
        del self._in_order[entry]
        if isinstance(entry.item, Record):
            self._records -= 1
            self._telemetry.channel_wait(f"source.{self.name}", (self._clock.monotonic_ns() - entry.put_ns) / NS_PER_S)
        return entry.item

    def empty(self) -> bool:
        """Whether nothing is queued."""
        return not len(self._lanes)

    def has(self, passes: Callable[[Item], bool]) -> bool:
        """Whether there is an item to take that `passes`."""
        return any(passes(entry.item) for _, entry in self._lanes.heads())

    def oldest_ns(self) -> int | None:
        """When the oldest queued item was put; None without one."""
        oldest = next(iter(self._in_order), None)
        return oldest.put_ns if oldest is not None else None

    def oldest_of_ns(self, session: str) -> int | None:
        """When a session's oldest queued item was put; None without one."""
        lane = self._lanes.lane(session)
        return lane[0].put_ns if lane else None

    def _make_room(self) -> None:
        if self.capacity is None:
            return
        if self.policy is OverflowPolicy.DROP_OLDEST and self._records >= self.capacity and not self._closed:
            self._drop_oldest()
        while self._records >= self.capacity and not self._closed:
            self._changed.wait()

    def _drop_oldest(self) -> None:
        """Takes out the oldest record, and progress that is covered now.

        That is the progress before it which later progress covers.
        """
        oldest = next(entry for entry in self._in_order if isinstance(entry.item, Record))
        ((key, item),) = _lanes_of(oldest.item)
        lane = self._lanes.lane(key) or deque()
        before: list[_Entry] = []
        while lane[0] is not oldest:
            before.append(self._lanes.pop(key))
        del self._in_order[self._lanes.pop(key)]
        self._count_dropped(item, DropReason.OVERRUN)
        self._records -= 1
        after = [entry.item for entry in takewhile(lambda entry: isinstance(entry.item, Progress), lane)]
        covered = [entry for entry in before if any(_covers(later, entry.item) for later in after)]
        for entry in covered:
            del self._in_order[entry]
        self._lanes.put_back(key, [entry for entry in before if entry not in covered])

    def _merge(self, progress: Progress) -> bool:
        """Replaces the stream's earlier progress that nothing separates from this.

        A record or an end would separate them.
        """
        for entry in reversed(self._lanes.lane(progress.session) or ()):
            queued = entry.item
            if not isinstance(queued, Progress):
                return False
            if queued.modality == progress.modality:
                if _covers(progress, queued):
                    entry.item = progress
                return True
        return False

    def _count_dropped(self, item: Item, reason: DropReason) -> None:
        if isinstance(item, Record):
            self._telemetry.dropped(item.modality, reason)


def _lanes_of(item: Item) -> Iterator[tuple[LaneKey, Item]]:
    """The lanes that an item goes to.

    One that is of several partition numbers goes to each.
    """
    match item:
        case Record(coordinates=None, session=session):
            yield session, item
        case Record(coordinates=at) | RejectedRecord(coordinates=at) if at is not None:
            yield at.partition.number, item
        case PartitionIdle(partition=partition):
            yield partition.number, item
        case Assigned(number=number):
            yield number, item
        case Revoked(numbers=numbers):
            yield from ((number, Revoked(frozenset({number}))) for number in sorted(numbers))
        case Progress(session=session) | EndOfSession(session=session):
            yield session, item


def _covers(later: Item, earlier: Item) -> bool:
    """Whether progress covers that of the same stream before it."""
    if not (isinstance(later, Progress) and isinstance(earlier, Progress)):
        return False
    return (later.session, later.modality) == (earlier.session, earlier.modality) and (
        later.through_ns >= earlier.through_ns
    )
