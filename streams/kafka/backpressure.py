"""Which partitions are paused: all of them while too much waits for the timeline, but for those that others wait for.

Reading stops at the high mark and goes on at the low mark. What was read and waits to be merged counts too, and nothing
of it can be taken while a partition that it waits for is paused. So that one is read on above the mark, unless the
timeline has enough to take without it. In memory are then the high mark and one fetch of every partition at most.

Polling goes on all the time, so the group does not take a full instance for a dead one. kafka-python keeps the pauses
of partitions that stay in a rebalance, and forgets those of partitions that come.
"""

from collections.abc import Iterable
from typing import Any

from kafka import TopicPartition

from streams.coordinates import Partition


class Backpressure:
    """Owned by the source's thread; the listener's calls fall into its polls."""

    def __init__(self, consumer: Any, high_bytes: int, low_bytes: int) -> None:
        self._consumer = consumer
        self._high_bytes = high_bytes
        self._low_bytes = low_bytes
        self._paused: set[Partition] = set()
        self.full = False
        """Whether the high mark was reached, and the low mark not since."""
        self._dry = True

    def hold(self, partitions: Iterable[Partition]) -> None:
        """Pauses at once partitions that have just been assigned."""
        held = set(partitions)
        self._paused |= held
        self._consumer.pause(*_topic_partitions(held))

    def drop(self, partitions: Iterable[Partition]) -> None:
        """These partitions are not assigned any more."""
        self._paused -= set(partitions)

    def paused(self, partitions: set[Partition]) -> int:
        """How many of these are paused."""
        return len(self._paused & partitions)

    def weigh(self, waiting_bytes: int, merging_bytes: int) -> None:
        """Takes note of how much was read and not taken, and how much of that waits to be merged."""
        self.full = waiting_bytes > self._low_bytes if self.full else waiting_bytes >= self._high_bytes
        self._dry = waiting_bytes - merging_bytes < self._low_bytes

    def apply(self, read: set[Partition], starving: set[Partition]) -> None:
        """Pauses and resumes those that are read, as it should be; others wait for those that are starving."""
        wanted = self._to_pause(read, starving)
        pause, resume = wanted - self._paused, (self._paused & read) - wanted
        if pause:
            self._consumer.pause(*_topic_partitions(pause))
        if resume:
            self._consumer.resume(*_topic_partitions(resume))
        self._paused = (self._paused | pause) - resume

    def _to_pause(self, read: set[Partition], starving: set[Partition]) -> set[Partition]:
        if not self.full:
            return set()
        return read - starving if self._dry else read


def _topic_partitions(partitions: Iterable[Partition]) -> list[TopicPartition]:
    return [TopicPartition(*partition) for partition in partitions]
