"""The partition numbers that are ours, from the assignment of their partitions to the loss of them.

A number is first to be placed: its partitions are paused until it is known where reading them begins. Whenever a
partition of it comes or goes, all that is known of the number is forgotten, and it is placed anew if anything of it is
left. Rebalances are told by kafka-python on its IO thread, always while the source's thread is inside `poll` or
`close`, so what is here needs no lock; what there is to tell the timeline is kept for the source's thread to emit.
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
    """Owned by the source's thread; the listener's calls fall into its polls."""

    def __init__(
        self, topics: Iterable[str], ledger: Ledger, merge: Merge, ends: EndOffsets, flow: Backpressure
    ) -> None:
        self._rank = {topic: rank for rank, topic in enumerate(topics)}
        self._ledger = ledger
        self._merge = merge
        self._ends = ends
        self._flow = flow
        self._held: set[Partition] = set()
        self.to_place: dict[int, tuple[Partition, ...]] = {}
        self.placed: dict[int, tuple[Partition, ...]] = {}
        self.read: set[Partition] = set()
        """The partitions of `placed`."""
        self.news: list[Item] = []
        """What the timeline has to be told; whoever emits it takes it out."""

    def gained(self, partitions: Iterable[Partition]) -> None:
        """These partitions have become ours; they are paused until they are placed."""
        gained = set(partitions)
        self._flow.hold(gained)
        self._held |= gained
        self.renew({partition.number for partition in gained})

    def gone(self, partitions: Iterable[Partition]) -> None:
        """These partitions are not ours any more."""
        gone = set(partitions)
        self._flow.drop(gone)
        self._held -= gone
        self.renew({partition.number for partition in gone})

    def renew(self, numbers: set[int]) -> None:
        """Forgets all that is known of these numbers; what of them is ours is placed anew."""
        known = frozenset(numbers & self.placed.keys())
        self._ledger.revoked(known)
        self._merge.drop(known)
        for number in known:
            partitions = self.placed.pop(number)
            self._ends.drop(partitions)
            self.read -= set(partitions)
        if known:
            self.news.append(Revoked(known))
        for number in numbers:
            left = sorted((p for p in self._held if p.number == number), key=lambda p: self._rank[p.topic])
            self._flow.hold(left)
            self.to_place[number] = tuple(left)
            if not left:
                del self.to_place[number]

    def clear(self) -> None:
        """Nothing is ours any more."""
        self.gone(set(self._held))

    def place(
        self, number: int, starts: Mapping[Partition, int], emitted_through: Mapping[bytes, int], now_ns: int
    ) -> None:
        """It is known where the partitions of `number` are read from."""
        partitions = self.placed[number] = self.to_place.pop(number)
        self._merge.place(number, partitions)
        self._ends.place(starts, now_ns)
        self.read.update(partitions)
        self.news.append(Assigned(number, self._ledger.assigned(number, starts, emitted_through)))


class RebalanceListener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Takes part in rebalances, on the IO thread; under the cooperative protocol only what changes is told."""

    def __init__(
        self,
        consumer: Any,
        holdings: OwnedPartitions,
        ledger: Ledger,
        assignor: CoPartitionedAssignor,
        commits: OffsetCommits | None,
        revoke_timeout_s: float,
    ) -> None:
        self.revoke_timeout_s = revoke_timeout_s
        self._consumer = consumer
        self._holdings = holdings
        self._ledger = ledger
        self._assignor = assignor
        self._commits = commits
        self.leaving = False
        """Whether what is given up now is so because the source closes."""

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Pauses them until they are placed; any position keeps kafka-python from looking for one of its own."""
        _tell("partitions were gained", assigned, why="the group has shared its partitions out")
        self._holdings.gained(Partition(*partition) for partition in assigned)
        for partition in assigned:
            self._consumer.seek(partition, 0)

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Commits how far they were needed; from here on nothing more of them is published."""
        why = "this instance leaves the group" if self.leaving else "the group shares its partitions out anew"
        _tell("partitions were given up", revoked, why=why)
        gone = {Partition(*partition) for partition in revoked}
        checkpoint = self._ledger.checkpoint()
        self._holdings.gone(gone)
        if self._commits is not None:
            last: dict[Partition, Position] = {p: checkpoint[p] for p in gone if p in checkpoint}
            await self._commits.commit_last(last, self.revoke_timeout_s)

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """The group has put us out: others may have them already, so there is nothing to commit."""
        _tell("partitions were lost", lost, why="the group has put this instance out: it was not heard of in time")
        self._assignor.lost()
        self._holdings.gone({Partition(*partition) for partition in lost})


def _tell(event: str, partitions: Collection[TopicPartition], why: str) -> None:
    """Logs a change of what is ours: the partitions of each topic."""
    if partitions:
        by_topic: dict[str, list[int]] = {}
        for topic, number in sorted(partitions):
            by_topic.setdefault(topic, []).append(number)
        log.info(event, partitions=by_topic, why=why)
