"""Bounded queues between threads, each with a policy for when it is full, all read by one consumer.

A source writes to a channel of its own; the timeline thread reads whatever is there through the `Inlet`. Policies:
`block` holds the source back (files, chat: nothing is dropped); `drop_oldest` lets the newest in and counts
what it drops (cameras, microphones: the present matters). A log has no capacity here: it watches how much waits, and
stops reading by itself. Progress is never dropped; where no record lies between two
promises of one stream, the further one stands for both, so that promises cannot pile up.

A channel keeps the order of each session, and serves its sessions in turn: one that floods, or that the consumer holds
back for now, holds up no other. What was read from a log keeps the order of its partition number instead, since
silence is measured by the records of all sessions in it.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import Any, Generic, TypeVar

from streams.channels.fair_queue import FairQueue
from streams.clock import NS_PER_S, Clock
from streams.reasons import DropReason
from streams.records import Assigned, EndOfSession, Item, PartitionIdle, Progress, Record, RejectedRecord, Revoked
from streams.telemetry import Telemetry

Message = TypeVar("Message")


class OverflowPolicy(StrEnum):
    """What a full channel does with the next record."""

    BLOCK = "block"
    DROP_OLDEST = "drop_oldest"


@dataclass(frozen=True, slots=True)
class ChannelItem:
    """An item with the channel it came through."""

    item: Item
    channel: "Channel"


LaneKey = str | int
"""A session, or a partition number."""


@dataclass(slots=True, eq=False)
class _Entry:
    put_ns: int
    item: Item


def any_item(item: Item) -> bool:
    """Passes every item."""
    return True


class Channel:
    """One source's way in. Any thread may put; only the inlet takes."""

    def __init__(
        self, name: str, policy: OverflowPolicy, capacity: int | None, live: bool, inlet: "Inlet[object]"
    ) -> None:
        if capacity is not None and capacity < 1:
            raise ValueError(f"channel {name}: the capacity must be at least 1 (is {capacity})")
        self.name = name
        self.live = live
        self.policy = policy
        self.capacity = capacity
        self._inlet = inlet
        self._lanes: FairQueue[LaneKey, _Entry] = FairQueue()
        self._in_order: OrderedDict[_Entry, None] = OrderedDict()
        """What waits, as it was put."""
        self._records = 0
        self._closed = False

    def put(self, item: Item) -> None:
        """Hands on one item; blocks or drops when full, and drops everything once closed."""
        with self._inlet.changed:
            if isinstance(item, Record):
                self._make_room()
            if self._closed:
                self._count_dropped(item, DropReason.STOPPED)
                return
            if isinstance(item, Progress) and self._merge(item):
                return
            self._records += isinstance(item, Record)
            now_ns = self._inlet.clock.monotonic_ns()
            for key, part in _lanes_of(item):
                entry = _Entry(now_ns, part)
                self._lanes.put(key, entry)
                self._in_order[entry] = None
            self._inlet.changed.notify_all()

    def close(self) -> None:
        """Refuses further items; a blocked `put` returns. What is queued can still be taken."""
        with self._inlet.changed:
            self._closed = True
            self._inlet.changed.notify_all()

    def depth(self) -> int:
        """How many records are queued."""
        return self._records

    # For the inlet, which holds the lock.

    def take(self, passes: Callable[[Item], bool]) -> Item | None:
        """The oldest item of the first session in turn that `passes`, or None."""
        taken = self._lanes.take(lambda key, entry: passes(entry.item))
        if taken is None:
            return None
        entry = taken[1]
        del self._in_order[entry]
        if isinstance(entry.item, Record):
            self._records -= 1
            self._inlet.telemetry.channel_wait(
                f"source.{self.name}", (self._inlet.clock.monotonic_ns() - entry.put_ns) / NS_PER_S
            )
        return entry.item

    def empty(self) -> bool:
        """Whether nothing is queued."""
        return not len(self._lanes)

    def has(self, passes: Callable[[Item], bool]) -> bool:
        """Whether there is an item to take that `passes`."""
        return any(passes(entry.item) for _, entry in self._lanes.heads())

    def oldest_ns(self) -> int | None:
        """When the oldest item that waits was put; None if none does."""
        oldest = next(iter(self._in_order), None)
        return oldest.put_ns if oldest is not None else None

    def oldest_of_ns(self, session: str) -> int | None:
        """When the oldest item of a session that waits was put; None if none does."""
        lane = self._lanes.lane(session)
        return lane[0].put_ns if lane else None

    def _make_room(self) -> None:
        if self.capacity is None:
            return
        if self.policy is OverflowPolicy.DROP_OLDEST and self._records >= self.capacity and not self._closed:
            self._drop_oldest()
        while self._records >= self.capacity and not self._closed:
            self._inlet.changed.wait()

    def _drop_oldest(self) -> None:
        """Takes out the oldest record; of the promises now side by side the earlier ones go, if the later say more."""
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
        covered = [entry for entry in before if any(_says_more(later, entry.item) for later in after)]
        for entry in covered:
            del self._in_order[entry]
        self._lanes.put_back(key, [entry for entry in before if entry not in covered])

    def _merge(self, progress: Progress) -> bool:
        """Lets a promise stand for an earlier one that no record or end separates from it."""
        for entry in reversed(self._lanes.lane(progress.session) or ()):
            queued = entry.item
            if not isinstance(queued, Progress):
                return False
            if queued.modality == progress.modality:
                if _says_more(progress, queued):
                    entry.item = progress
                return True
        return False

    def _count_dropped(self, item: Item, reason: DropReason) -> None:
        if isinstance(item, Record):
            self._inlet.telemetry.dropped(item.modality, reason)


def _lanes_of(item: Item) -> Iterator[tuple[LaneKey, Item]]:
    """The lane that an item goes to; one that is of several partition numbers goes to each."""
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


class Inlet(Generic[Message]):
    """Where the timeline thread waits: for messages from the engine first, then for items, channel by channel in
    turn.
    """

    def __init__(self, clock: Clock, telemetry: Telemetry) -> None:
        self.clock = clock
        self.telemetry = telemetry
        self.changed = threading.Condition()
        self._channels: list[Channel] = []
        self._messages: deque[Message] = deque()
        self._turn = 0

    def channel(self, name: str, policy: OverflowPolicy, capacity: int | None, live: bool) -> Channel:
        """Opens a channel for so many records (None: the source sees to it that they are not too many).

        `live` marks a device: what it sends happens now, and its silence means that nothing does.
        """
        channel = Channel(name, policy, capacity, live, self)  # type: ignore[arg-type]
        with self.changed:
            self._channels.append(channel)
        return channel

    def post(self, message: Message) -> None:
        """Hands the consumer a message; never blocks."""
        with self.changed:
            self._messages.append(message)
            self.changed.notify_all()

    def take(
        self, timeout_s: float, items: bool = True, passes: Callable[[Item], bool] = any_item
    ) -> Message | ChannelItem | None:
        """The next message, else (if `items`) the next item; None when there is none for `timeout_s` (real time).

        passes: whether an item may be taken now; if not, it and what comes after it of its session wait.
        """
        passing = passes if items else None
        with self.changed:
            taken = self._next(passing)
            if taken is None:
                self.changed.wait_for(lambda: self._waiting(passing), timeout_s)
                taken = self._next(passing)
            return taken

    def take_messages(self) -> list[Message]:
        """The messages that are there now; does not wait."""
        if not self._messages:
            return []
        with self.changed:
            messages = list(self._messages)
            self._messages.clear()
        return messages

    def empty(self) -> bool:
        """Whether no item is queued in any channel."""
        with self.changed:
            return all(channel.empty() for channel in self._channels)

    def taken_until_ns(self, session: str | None = None) -> int:
        """Monotonic time until which everything that sources handed on (of a session) has been taken."""
        with self.changed:
            oldest = (c.oldest_ns() if session is None else c.oldest_of_ns(session) for c in self._channels)
            return min((put_ns for put_ns in oldest if put_ns is not None), default=self.clock.monotonic_ns())

    def _waiting(self, passing: Callable[[Item], bool] | None) -> bool:
        if self._messages:
            return True
        return passing is not None and any(channel.has(passing) for channel in self._channels)

    def _next(self, passing: Callable[[Item], bool] | None) -> Message | ChannelItem | None:
        if self._messages:
            return self._messages.popleft()
        return None if passing is None else self._next_item(passing)

    def _next_item(self, passing: Callable[[Item], bool]) -> ChannelItem | None:
        for offset in range(len(self._channels)):
            channel = self._channels[(self._turn + offset) % len(self._channels)]
            item = channel.take(passing)
            if item is not None:
                self._turn = (self._turn + offset + 1) % len(self._channels)
                if channel.capacity is not None:  # somebody may wait for room
                    self.changed.notify_all()
                return ChannelItem(item, channel)
        return None


@dataclass(frozen=True, slots=True)
class InletClock:
    """The clock by which silence is judged: it stands still while an item waits, so that no source that was not
    listened to counts as silent. Wall time is the clock's own.
    """

    inlet: Inlet[Any]

    def wall_ns(self) -> int:
        return self.inlet.clock.wall_ns()

    def monotonic_ns(self) -> int:
        return self.inlet.taken_until_ns()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return self.inlet.clock.wait(event, timeout_s)


def _says_more(later: Item, earlier: Item) -> bool:
    """Whether a promise covers that of the same stream before it."""
    if not (isinstance(later, Progress) and isinstance(earlier, Progress)):
        return False
    return (later.session, later.modality) == (earlier.session, earlier.modality) and (
        later.through_ns >= earlier.through_ns
    )
