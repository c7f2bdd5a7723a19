"""Bounded queues between threads, each with a policy for when it is full, all read by one consumer.

A source writes to a channel of its own; the timeline thread reads whatever is there through the `Inlet`. Policies:
`block` holds the source back (files, chat: nothing is dropped); `drop_oldest` lets the newest in and counts
what it drops (cameras, microphones: the present matters). A log has no capacity here: it watches how much waits, and
stops reading by itself. Progress is never dropped; where no record lies between two
promises of one stream, the further one stands for both, so that promises cannot pile up. A channel keeps its order.
"""

import threading
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import Any, Generic, TypeVar

from streams.clock import NS_PER_S, Clock
from streams.records import Item, Progress, Record
from streams.telemetry import Telemetry

Message = TypeVar("Message")


class Policy(StrEnum):
    """What a full channel does with the next record."""

    BLOCK = "block"
    DROP_OLDEST = "drop_oldest"


@dataclass(frozen=True, slots=True)
class Delivery:
    """An item with the channel it came through."""

    item: Item
    channel: "Channel"


class Channel:
    """One source's way in. Any thread may put; only the inlet takes."""

    def __init__(self, name: str, policy: Policy, capacity: int | None, live: bool, inlet: "Inlet[object]") -> None:
        if capacity is not None and capacity < 1:
            raise ValueError(f"channel {name}: the capacity must be at least 1 (is {capacity})")
        self.name = name
        self.live = live
        self.policy = policy
        self.capacity = capacity
        self._inlet = inlet
        self._items: deque[tuple[int, Item]] = deque()
        self._records = 0
        self._closed = False

    def put(self, item: Item) -> None:
        """Hands on one item; blocks or drops when full, and drops everything once closed."""
        with self._inlet.changed:
            if isinstance(item, Record):
                self._make_room()
            if self._closed:
                self._count_dropped(item, "stopped")
                return
            if isinstance(item, Progress) and self._merge(item):
                return
            self._records += isinstance(item, Record)
            self._items.append((self._inlet.clock.monotonic_ns(), item))
            self._inlet.changed.notify_all()

    def close(self) -> None:
        """Refuses further items; a blocked `put` returns. What is queued can still be taken."""
        with self._inlet.changed:
            self._closed = True
            self._inlet.changed.notify_all()

    def depth(self) -> int:
        """How many records are queued."""
        return self._records

    def take(self) -> Item | None:
        """The oldest item, or None. For the inlet, which holds the lock."""
        if not self._items:
            return None
        put_ns, item = self._items.popleft()
        if isinstance(item, Record):
            self._records -= 1
            self._inlet.telemetry.channel_wait(
                f"source.{self.name}", (self._inlet.clock.monotonic_ns() - put_ns) / NS_PER_S
            )
        return item

    def _make_room(self) -> None:
        if self.capacity is None:
            return
        if self.policy is Policy.DROP_OLDEST and self._records >= self.capacity and not self._closed:
            self._drop_oldest()
        while self._records >= self.capacity and not self._closed:
            self._inlet.changed.wait()

    def _drop_oldest(self) -> None:
        """Takes out the oldest record; of the promises now side by side the earlier ones go, if the later say more."""
        before: list[tuple[int, Item]] = []
        while not isinstance(self._items[0][1], Record):
            before.append(self._items.popleft())
        self._count_dropped(self._items.popleft()[1], "overrun")
        self._records -= 1
        after = list(takewhile(lambda entry: isinstance(entry[1], Progress), self._items))
        kept = [entry for entry in before if not any(_says_more(later, entry[1]) for _, later in after)]
        self._items.extendleft(reversed(kept))

    def _merge(self, progress: Progress) -> bool:
        """Lets a promise stand for an earlier one that no record or end separates from it."""
        for at in range(len(self._items) - 1, -1, -1):
            put_ns, queued = self._items[at]
            if not isinstance(queued, Progress):
                return False
            if (queued.session, queued.modality) == (progress.session, progress.modality):
                if _says_more(progress, queued):
                    self._items[at] = put_ns, progress
                return True
        return False

    def _count_dropped(self, item: Item, reason: str) -> None:
        if isinstance(item, Record):
            self._inlet.telemetry.dropped(item.modality, reason)


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

    def channel(self, name: str, policy: Policy, capacity: int | None, live: bool) -> Channel:
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

    def take(self, timeout_s: float, items: bool = True) -> Message | Delivery | None:
        """The next message, else (if `items`) the next item; None when there is none for `timeout_s` (real time)."""
        with self.changed:
            taken = self._next(items)
            if taken is None:
                self.changed.wait_for(lambda: self._waiting(items), timeout_s)
                taken = self._next(items)
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
            return not any(channel._items for channel in self._channels)

    def taken_until_ns(self) -> int:
        """Monotonic time until which everything that sources handed on has been taken; never goes back."""
        with self.changed:
            waiting = [channel._items[0][0] for channel in self._channels if channel._items]
            return min(waiting, default=self.clock.monotonic_ns())

    def _waiting(self, items: bool) -> bool:
        return bool(self._messages) or (items and any(channel._items for channel in self._channels))

    def _next(self, items: bool) -> Message | Delivery | None:
        if self._messages:
            return self._messages.popleft()
        return self._next_item() if items else None

    def _next_item(self) -> Delivery | None:
        for offset in range(len(self._channels)):
            channel = self._channels[(self._turn + offset) % len(self._channels)]
            item = channel.take()
            if item is not None:
                self._turn = (self._turn + offset + 1) % len(self._channels)
                if channel.capacity is not None:  # somebody may wait for room
                    self.changed.notify_all()
                return Delivery(item, channel)
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
