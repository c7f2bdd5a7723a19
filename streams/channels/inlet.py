"""Fan-in of all channels, where the timeline thread waits.

It hands on messages from the engine first, then items, channel by channel in turn.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from streams.channels.channel import Channel, ChannelConfig, ChannelItem, OverflowPolicy
from streams.clock import Clock
from streams.records import Item
from streams.telemetry import Telemetry

Message = TypeVar("Message")


def any_item(item: Item) -> bool:
    """Passes every item."""
    return True


class Inlet(Generic[Message]):
    """Queue of messages and channels, with one consumer: the timeline thread."""

    def __init__(self, clock: Clock, telemetry: Telemetry) -> None:
        self.clock = clock
        self.telemetry = telemetry
        self.changed = threading.Condition()
        self._channels: list[Channel] = []
        self._messages: deque[Message] = deque()
        self._turn = 0

    def channel(self, name: str, policy: OverflowPolicy, capacity: int | None, live: bool) -> Channel:
        """Opens a channel; see `ChannelConfig`."""
        channel = Channel(ChannelConfig(name, policy, capacity, live), self.changed, self.clock, self.telemetry)
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
        """The next message, else the next item; None after `timeout_s`.

        timeout_s: real time. items: whether items are taken at all.
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
        """Monotonic time until which all items were taken (of a session)."""
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
    """Clock for idleness: it stands still while an item waits.

    So no source whose items were not taken counts as idle. Wall time is the clock's own.
    """

    inlet: Inlet[Any]

    def wall_ns(self) -> int:
        return self.inlet.clock.wall_ns()

    def monotonic_ns(self) -> int:
        return self.inlet.taken_until_ns()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return self.inlet.clock.wait(event, timeout_s)
