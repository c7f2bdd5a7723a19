"""One membership in the consumer group: polls, merges, hands on, pauses, commits, in turns of about 100 ms.

In each turn what a rebalance changed is told first, then what was polled goes through the merge, so that the timeline
sees everything in the order in which the ledger knows it. Nothing here waits for the timeline: too much waiting pauses
partitions (`streams.kafka.backpressure`). A broker that is away makes turns longer and empty, and ends nothing.
"""

import threading
from collections.abc import Callable
from typing import Any

import structlog
from kafka import TopicPartition
from kafka.errors import KafkaError

from streams.clock import NS_PER_MS, NS_PER_S, Clock
from streams.coordinates import Partition
from streams.delivery.ledger import Ledger
from streams.kafka.assignor import CoPartitionedAssignor
from streams.kafka.backpressure import Backpressure
from streams.kafka.client_workarounds import error_is_due, release_parked
from streams.kafka.commits import OffsetCommits
from streams.kafka.consumer_config import KafkaSourceConfig
from streams.kafka.contract import from_kafka
from streams.kafka.end_offsets import EndOffsets
from streams.kafka.lag import Lag
from streams.kafka.merge import Merge, size_bytes, written_ns
from streams.kafka.owned_partitions import OwnedPartitions, RebalanceListener
from streams.kafka.retry import RetryPolicy
from streams.kafka.start_offsets import emitted_through, fetch_offsets, fetch_start_offsets
from streams.kafka.topic_watch import TopicWatch
from streams.records import Modality, PartitionIdle
from streams.sources.base import Emit
from streams.telemetry import OffsetReset, Telemetry

log = structlog.get_logger(__name__)

_POLL_MS = 100
_PAUSED_POLL_MS = 20  # while paused: at the low mark reading goes on before the timeline runs dry
_ASK_NS = 250 * NS_PER_MS  # between questions for the ends of partitions
_PLACE_NS = 500 * NS_PER_MS  # before what was not answered is asked for again
_REPORT_NS = NS_PER_S
_LOOK_NS = 250 * NS_PER_MS  # between looks at the topics, which cost by the number of partitions
_ANEW_NS = 60 * NS_PER_S  # in which whoever owned partitions of a topic that was made anew may commit for them
_KNOWN_NS = 2 * NS_PER_S  # for so long an answer says how far behind we are


class GroupMember:
    """Owned by the source's thread, which owns the consumer too."""

    def __init__(
        self,
        config: KafkaSourceConfig,
        consumer: Any,
        assignor: CoPartitionedAssignor,
        ledger: Ledger,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._config = config
        self._consumer = consumer
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._topics = {topic.name: topic for topic in config.topics}
        self._merge = Merge()
        self._ends = EndOffsets()
        self._flow = Backpressure(consumer, config.high_bytes, config.low_bytes)
        self.holdings = OwnedPartitions(self._topics, ledger, self._merge, self._ends, self._flow)
        self._recovery = RetryPolicy(config, consumer, self.holdings, self._ends, ledger, clock, telemetry)
        self.topics = TopicWatch(self._topics, consumer._cluster, clock)
        self._anew: set[Partition] = set()
        """Partitions of topics that were made anew, until they are placed or have surely gone to another instance."""
        self._anew_until_ns = 0
        self._assignor = assignor
        self._lag = Lag(config.name, config.topics, clock, telemetry)
        self._commits = OffsetCommits(consumer, ledger, clock, telemetry, config.commit_interval_s)
        self._ask_ns = self._report_ns = self._place_ns = self._look_ns = clock.monotonic_ns()
        self.answered_ns = clock.monotonic_ns()
        """When the cluster last gave us records, or told the ends of our partitions; without any it is not asked."""
        commits = self._commits if config.commits else None
        self._listener = RebalanceListener(consumer, self.holdings, ledger, assignor, commits, config.revoke_timeout_s)
        consumer.subscribe(list(self._topics), listener=self._listener)

    def turn(self, emit: Emit, stop: threading.Event) -> None:
        """One round; SourceError if the source cannot go on."""
        self._poll(_PAUSED_POLL_MS if self._flow.full else _POLL_MS, stop)
        self._look_at_topics()
        if self.holdings.to_place and self._clock.monotonic_ns() >= self._place_ns:
            self._place_ns = self._clock.monotonic_ns() + _PLACE_NS
            self._guarded(self._place, stop)
        self.tell(emit)
        if self._clock.monotonic_ns() >= self._ask_ns:
            self._guarded(lambda: self._ask_for_ends(emit), stop)
        for item in self._merge.pop_ready():
            emit(item)
        self._regulate()
        self._keep_books()

    def idle_turn(self, emit: Emit, stop: threading.Event) -> None:
        """One round of staying in the group and committing, without taking anything."""
        self._flow.hold(self.holdings.read)
        self._poll(_POLL_MS, stop)
        self.tell(emit)
        self._keep_books()

    def leave(self, emit: Emit, timeout_s: float) -> None:
        """Closes the consumer: commits, gives up all partitions, leaves the group; takes twice `timeout_s` at most."""
        self._listener.revoke_timeout_s, self._listener.leaving = timeout_s, True
        try:
            self._consumer.close(timeout_ms=round(timeout_s * 1000))
        except (KafkaError, RuntimeError) as error:  # RuntimeError: its IO thread has ended
            log.warning("the consumer did not close in an orderly way", source=self._config.name, error=str(error))
        self.holdings.clear()
        self.tell(emit)
        self._lag.unknown()

    def tell(self, emit: Emit) -> None:
        """Emits what rebalances changed."""
        news, self.holdings.news = self.holdings.news, []
        for item in news:
            emit(item)

    def _poll(self, timeout_ms: int, stop: threading.Event) -> None:
        release_parked(self._consumer)
        try:
            polled = self._consumer.poll(timeout_ms=timeout_ms)
        except Exception as error:
            self._recovery.survive(error, stop)
        else:
            self._take(polled)

    def _take(self, polled: dict[TopicPartition, list[Any]]) -> None:
        received_ns, now_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        if polled:
            self.answered_ns = now_ns
        for topic_partition, messages in polled.items():
            partition, topic = Partition(*topic_partition), self._topics[topic_partition.topic]
            items = [from_kafka(message, topic, received_ns) for message in messages]
            self._ledger.read(partition, [(m.offset, size_bytes(i)) for m, i in zip(messages, items, strict=True)])
            self._merge.push(partition, items)
            self._lag.read(partition, written_ns(items[-1]))
            end = self._consumer.highwater(topic_partition)
            self._merge.at_end(partition, self._ends.read(partition, messages[-1].offset + 1, end, now_ns))

    def _look_at_topics(self) -> None:
        """Reads topics that were made anew from their beginning: what was committed is of the ones before."""
        if self.topics.seen_all and self._clock.monotonic_ns() < self._look_ns:
            return
        self._look_ns = self._clock.monotonic_ns() + _LOOK_NS
        anew = self.topics.look()
        for topic, numbers in anew.items():
            self._telemetry.offset_reset(self._config.name, OffsetReset.RECREATED)
            self._anew |= {Partition(topic, number) for number in numbers}
            self._anew_until_ns = self._clock.monotonic_ns() + _ANEW_NS
        if anew:
            self.holdings.renew({partition.number for partition in self.holdings.read & self._anew})
        elif self._anew and self._clock.monotonic_ns() >= self._anew_until_ns:
            self._anew.clear()

    def _place(self) -> None:
        """Finds where the numbers that were assigned are read from, until one has to be asked for again."""
        for number, partitions in list(self.holdings.to_place.items()):
            # To the end of the line, so that one whose former owner's transaction is open does not keep the rest.
            self.holdings.to_place[number] = self.holdings.to_place.pop(number)
            starts = fetch_start_offsets(self._consumer, partitions, self._config.start, self._anew)
            for partition, start in starts.items():
                self._consumer.seek(TopicPartition(*partition), start.offset)
                self._recovery.count_lost(partition, start.lost)
                if start.truncated:
                    self._recovery.count_truncated(partition)
            offsets = {partition: start.offset for partition, start in starts.items()}
            through = emitted_through(starts, self._ledger.grid)
            self._anew.difference_update(partitions)
            self.holdings.place(number, offsets, through, self._clock.monotonic_ns())

    def _ask_for_ends(self, emit: Emit) -> None:
        """Asks where the partitions end; one that was read to its end has been silent since."""
        asked_ns = self._clock.monotonic_ns()
        self._ask_ns = asked_ns + _ASK_NS
        read = [TopicPartition(*partition) for partition in self.holdings.read]
        if not read:
            self.answered_ns = asked_ns
            return
        try:
            ends = fetch_offsets(self._consumer.end_offsets, read)
            self.answered_ns = self._clock.monotonic_ns()
        finally:
            for partition in self._ends.lapsed(self._clock.monotonic_ns()):
                self._merge.at_end(partition, False)
        for topic_partition in read:
            partition = Partition(*topic_partition)
            waiting = self._merge.buffered(partition)
            unread = self._unread(topic_partition, ends[topic_partition], waiting)
            self._lag.behind(partition, unread + waiting)
            self._merge.at_end(partition, unread <= 0)
            if unread > 0:
                self._ends.behind(partition)
            elif not waiting and (silent_ns := self._ends.confirmed(partition, asked_ns)):
                emit(PartitionIdle(partition, silent_ns))

    def _unread(self, topic_partition: TopicPartition, end: int, waiting: int) -> int:
        partition = Partition(*topic_partition)
        if not waiting and self._ends.unread(partition, end) > 0:
            # What lies before the end may be no records but marks of transactions, which kafka-python passes over.
            # It is not asked each time: its answer takes longer, the more partitions there are.
            self._ends.moved(partition, self._consumer.position(topic_partition, timeout_ms=0))
        return self._ends.unread(partition, end)

    def _regulate(self) -> None:
        """Pauses and resumes by how much waits."""
        self._flow.weigh(self._ledger.waiting_bytes, self._merge.waiting_bytes)
        if not error_is_due(self._consumer):
            self._flow.apply(self.holdings.read, set(self._merge.starving()))

    def _keep_books(self) -> None:
        if self._config.commits:
            self._commits.commit_if_due()
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._report_ns:
            self._report_ns = now_ns + _REPORT_NS
            self._telemetry.paused(self._flow.paused(self.holdings.read))
            self._telemetry.uncommitted(self._ledger.uncommitted)
            self._lag.report(self.holdings.read, self._unknown())

    def _unknown(self) -> set[Modality]:
        """The modalities of which nobody says now where their partitions end."""
        silent = self._clock.monotonic_ns() - self.answered_ns > _KNOWN_NS
        all_of_them = silent or self._assignor.generation < 0 or self.holdings.to_place
        return {topic.modality for topic in self._config.topics if all_of_them or topic.name in self.topics.gone}

    def _guarded(self, ask: Callable[[], None], stop: threading.Event) -> None:
        """Asks the cluster something that can be asked again later."""
        try:
            ask()
        except KafkaError as error:
            self._recovery.survive(error, stop)
