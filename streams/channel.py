"""Bounded queues between threads, each with a policy for when it is full, all read by one consumer.

A source writes to a channel of its own; the timeline thread reads whatever is there through the `Inlet`. Policies:
`block` holds the source back (files, logs, chat: nothing is dropped); `drop_oldest` lets the newest in and counts
what it drops (cameras, microphones: the present matters). Progress is never dropped, and a newer one replaces an
older of its stream.
"""

import threading
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

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

    def __init__(self, name: str, policy: Policy, capacity: int, live: bool, inlet: "Inlet[object]") -> None:
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
                    self._inlet.telemetry.dropped(item.modality, "stopped")
                    return
                self._records += 1
            elif isinstance(item, Progress) and self._items and _same_stream(self._items[-1][1], item):
                self._items.pop()
            self._items.append((self._inlet.clock.monotonic_ns(), item))
            self._inlet.changed.notify_all()

    def close(self) -> None:
        """Refuses further records; a blocked `put` returns. What is queued can still be taken."""
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
        if self.policy is Policy.DROP_OLDEST and self._records >= self.capacity:
            at = next(i for i, (_, queued) in enumerate(self._items) if isinstance(queued, Record))
            _, oldest = self._items[at]
            del self._items[at]
            self._records -= 1
            if isinstance(oldest, Record):
                self._inlet.telemetry.dropped(oldest.modality, "overrun")
        while self._records >= self.capacity and not self._closed:
            self._inlet.changed.wait()


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

    def channel(self, name: str, policy: Policy, capacity: int, live: bool) -> Channel:
        """Opens a channel; `live` marks a device, whose feeds are caught up whenever they are silent."""
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
            if not self._waiting(items):
                self.changed.wait_for(lambda: self._waiting(items), timeout_s)
            if self._messages:
                return self._messages.popleft()
            return self._next_item() if items else None

    def empty(self) -> bool:
        """Whether no item is queued in any channel."""
        with self.changed:
            return not any(channel._items for channel in self._channels)

    def _waiting(self, items: bool) -> bool:
        return bool(self._messages) or (items and any(channel._items for channel in self._channels))

    def _next_item(self) -> Delivery | None:
        for offset in range(len(self._channels)):
            channel = self._channels[(self._turn + offset) % len(self._channels)]
            item = channel.take()
            if item is not None:
                self._turn = (self._turn + offset + 1) % len(self._channels)
                self.changed.notify_all()
                return Delivery(item, channel)
        return None


def _same_stream(earlier: Item, later: Progress) -> bool:
    return isinstance(earlier, Progress) and (earlier.session, earlier.modality) == (later.session, later.modality)
