"""Pauses partitions while too many bytes wait for the timeline.

Reading stops at the high mark and continues at the low mark. Records that wait to be merged count too, and none of them
can be taken while the partition that they wait for is paused. So that partition is read above the mark, unless the
timeline has enough to take without it. Memory then holds the high mark and one fetch of every partition at most.

Polling never stops, so the group does not take a full instance for a dead one. kafka-python keeps the pauses of
partitions that stay in a rebalance, and forgets those of partitions that are assigned.
"""

from collections.abc import Iterable
from typing import Any

from kafka import TopicPartition

from streams.coordinates import Partition


class Backpressure:
    """Owns the pauses of one consumer.

    Owned by the source's thread; the rebalance listener calls it during polls.
    """

    def __init__(self, consumer: Any, high_bytes: int, low_bytes: int) -> None:
        self._consumer = consumer
        self._high_bytes = high_bytes
        self._low_bytes = low_bytes
        self._paused: set[Partition] = set()
        self.is_full = False
        """Whether the high mark was reached, and the low mark not since."""
        self._is_starved = True
        """Whether less than the low mark can be taken now."""

    def pause(self, partitions: Iterable[Partition]) -> None:
        """Pauses partitions at once, as those that were just assigned."""
        to_pause = set(partitions)
        self._paused |= to_pause
        self._consumer.pause(*_topic_partitions(to_pause))

    def forget(self, partitions: Iterable[Partition]) -> None:
        """These partitions are not assigned any more."""
        self._paused -= set(partitions)

    def paused_count(self, partitions: set[Partition]) -> int:
        """How many of these partitions are paused."""
        return len(self._paused & partitions)

    def measure(self, waiting_bytes: int, merging_bytes: int) -> None:
        """Updates the state by the bytes that wait.

        waiting_bytes: read and not taken by the timeline. merging_bytes: those of them that wait to be merged.
        """
        self.is_full = waiting_bytes > self._low_bytes if self.is_full else waiting_bytes >= self._high_bytes
        self._is_starved = waiting_bytes - merging_bytes < self._low_bytes

    def apply(self, reading: set[Partition], starving: set[Partition]) -> None:
        """Pauses and resumes the partitions that are read.

        starving: those that others wait for.
        """
        paused = self._to_pause(reading, starving)
        pause, resume = paused - self._paused, (self._paused & reading) - paused
        if pause:
            self._consumer.pause(*_topic_partitions(pause))
        if resume:
            self._consumer.resume(*_topic_partitions(resume))
        self._paused = (self._paused | pause) - resume

    def _to_pause(self, reading: set[Partition], starving: set[Partition]) -> set[Partition]:
        if not self.is_full:
            return set()
        return reading - starving if self._is_starved else reading


def _topic_partitions(partitions: Iterable[Partition]) -> list[TopicPartition]:
    return [TopicPartition(*partition) for partition in partitions]
