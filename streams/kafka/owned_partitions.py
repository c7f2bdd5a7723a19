"""Tracks the partitions that this instance owns, from assignment to revocation.

A partition group (`streams.kafka.assignor`) is unpositioned at first: its partitions are paused until their start
offsets are known. Then it is positioned, and read. Whenever a partition of it comes or goes, all that is known of the
group is forgotten, and it is positioned again if anything of it is left.

kafka-python calls the rebalance listener on its IO thread, always while the source's thread is inside `poll` or
`close`, so what is here needs no lock. Changes are kept for the source's thread, which emits them to the timeline.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import structlog
from kafka import TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener

from streams.coordinates import Partition
from streams.delivery.ledger import Ledger, Position
from streams.kafka.assignor import CoPartitionedAssignor
from streams.kafka.backpressure import Backpressure
from streams.kafka.commits import OffsetCommits
from streams.kafka.end_offsets import EndOffsets
from streams.kafka.merge import Merge
from streams.records import Assigned, Item, Revoked

log = structlog.get_logger(__name__)


class OwnedPartitions:
    """The partitions of one consumer, by partition group.

    Owned by the source's thread; the rebalance listener calls it during polls.
    """

    def __init__(
        self, topics: Iterable[str], ledger: Ledger, merge: Merge, ends: EndOffsets, backpressure: Backpressure
    ) -> None:
        self._rank = {topic: rank for rank, topic in enumerate(topics)}
        self._ledger = ledger
        self._merge = merge
        self._ends = ends
        self._backpressure = backpressure
        self._assigned: set[Partition] = set()
        self.unpositioned: dict[int, tuple[Partition, ...]] = {}
        self.positioned: dict[int, tuple[Partition, ...]] = {}
        self.reading: set[Partition] = set()
        """The partitions of `positioned`."""
        self.changes: list[Item] = []
        """To be emitted to the timeline; whoever emits them takes them out."""

    def add(self, partitions: Iterable[Partition]) -> None:
        """These partitions were assigned; they are paused until they are positioned."""
        added = set(partitions)
        self._backpressure.pause(added)
        self._assigned |= added
        self.reset({partition.number for partition in added})

    def remove(self, partitions: Iterable[Partition]) -> None:
        """These partitions were revoked or lost."""
        removed = set(partitions)
        self._backpressure.forget(removed)
        self._assigned -= removed
        self.reset({partition.number for partition in removed})

    def reset(self, numbers: set[int]) -> None:
        """Forgets partition groups; what is owned of them is positioned again."""
        known = frozenset(numbers & self.positioned.keys())
        self._ledger.revoked(known)
        self._merge.stop(known)
        for number in known:
            partitions = self.positioned.pop(number)
            self._ends.stop(partitions)
            self.reading -= set(partitions)
        if known:
            self.changes.append(Revoked(known))
        for number in numbers:
            left = sorted((p for p in self._assigned if p.number == number), key=lambda p: self._rank[p.topic])
            self._backpressure.pause(left)
            self.unpositioned[number] = tuple(left)
            if not left:
                del self.unpositioned[number]

    def clear(self) -> None:
        """Nothing is owned any more."""
        self.remove(set(self._assigned))

    def start(
        self, number: int, starts: Mapping[Partition, int], emitted_through: Mapping[bytes, int], now_ns: int
    ) -> None:
        """The start offsets of a partition group are known: it is read."""
        partitions = self.positioned[number] = self.unpositioned.pop(number)
        self._merge.start(number, partitions)
        self._ends.start(starts, now_ns)
        self.reading.update(partitions)
        self.changes.append(Assigned(number, self._ledger.assigned(number, starts, emitted_through)))


class RebalanceListener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Takes part in rebalances, on the IO thread.

    The protocol is cooperative: it is called with what changes only.
    """

    def __init__(
        self,
        consumer: Any,
        owned: OwnedPartitions,
        ledger: Ledger,
        assignor: CoPartitionedAssignor,
        commits: OffsetCommits | None,
        revoke_timeout_s: float,
    ) -> None:
        self.revoke_timeout_s = revoke_timeout_s
        self._consumer = consumer
        self._owned = owned
        self._ledger = ledger
        self._assignor = assignor
        self._commits = commits
        self.leaving = False
        """Whether partitions are revoked because the source closes."""

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Pauses partitions until they are positioned.

        Any position keeps kafka-python from looking for one of its own.
        """
        _log_change("partitions were assigned", assigned, why="the group has shared its partitions out")
        self._owned.add(Partition(*partition) for partition in assigned)
        for partition in assigned:
            self._consumer.seek(partition, 0)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Commits partitions a last time; nothing more of them is published."""
        why = "this instance leaves the group" if self.leaving else "the group shares its partitions out again"
        _log_change("partitions were revoked", revoked, why=why)
        gone = {Partition(*partition) for partition in revoked}
        checkpoint = self._ledger.checkpoint()
        self._owned.remove(gone)
        if self._commits is not None:
            last: dict[Partition, Position] = {p: checkpoint[p] for p in gone if p in checkpoint}
            await self._commits.commit_revoked(last, self.revoke_timeout_s)

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """Gives partitions up without a commit.

        The group has expelled this member: others may have the partitions already.
        """
        _log_change("partitions were lost", lost, why="the group has expelled this instance: no heartbeat came in time")
        self._assignor.forget_assignment()
        self._owned.remove({Partition(*partition) for partition in lost})


def _log_change(event: str, partitions: Collection[TopicPartition], why: str) -> None:
    """Logs a change of ownership, the partitions of each topic."""
    if partitions:
        by_topic: dict[str, list[int]] = {}
        for topic, number in sorted(partitions):
            by_topic.setdefault(topic, []).append(number)
        log.info(event, partitions=by_topic, why=why)
