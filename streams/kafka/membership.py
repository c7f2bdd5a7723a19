"""Runs one membership in the consumer group: poll, merge, emit, pause, commit.

One round takes about 100 ms. In each, what a rebalance changed is emitted first, then what was polled goes through the
merge, so that the timeline sees everything in the order in which the ledger knows it. Nothing here waits for the
timeline: too many waiting bytes pause partitions (`streams.kafka.backpressure`). A broker that is away makes rounds
longer and empty, and ends nothing.
"""

import threading
from collections.abc import Callable
from typing import Any

import structlog
from kafka import TopicPartition
from kafka.errors import KafkaError

from streams.clock import NS_PER_MS, NS_PER_S, Clock
from streams.coordinates import Partition
from streams.deadline import Deadline
from streams.delivery.ledger import Ledger
from streams.kafka.assignor import CoPartitionedAssignor
from streams.kafka.backpressure import Backpressure
from streams.kafka.client_workarounds import DeferredError, ParkedRecords, cluster_metadata
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
from streams.telemetry import OffsetResetReason, Telemetry

log = structlog.get_logger(__name__)

_POLL_MS = 100
_PAUSED_POLL_MS = 20  # while paused: at the low mark reading continues before the timeline runs dry
_END_OFFSETS_NS = 250 * NS_PER_MS  # between requests for end offsets
_START_OFFSETS_NS = 500 * NS_PER_MS  # before start offsets that were not answered are requested again
_REPORT_NS = NS_PER_S
_TOPIC_CHECK_NS = 250 * NS_PER_MS  # between checks of the topics, which cost by the number of partitions
_RECREATED_NS = 60 * NS_PER_S  # in which the owner of partitions of a topic before may still commit for them
_LAG_VALID_NS = 2 * NS_PER_S  # for so long an answer says how far behind we are


class GroupMember:
    """One consumer and all that it feeds.

    Owned by the source's thread, which owns the consumer too.
    """

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
        self._parked_records = ParkedRecords(consumer)
        self._deferred_error = DeferredError(consumer)
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._topics = {topic.name: topic for topic in config.topics}
        self._merge = Merge()
        self._ends = EndOffsets()
        self._backpressure = Backpressure(consumer, config.high_bytes, config.low_bytes)
        self.owned = OwnedPartitions(self._topics, ledger, self._merge, self._ends, self._backpressure)
        self._retry = RetryPolicy(config, consumer, self.owned, self._ends, ledger, clock, telemetry)
        self.topic_watch = TopicWatch(self._topics, cluster_metadata(consumer), clock)
        self._recreated: set[Partition] = set()
        """Partitions of recreated topics, until they are positioned or have surely gone to another instance."""
        self._recreated_until_ns = 0
        self._assignor = assignor
        self._lag = Lag(config.name, config.topics, clock, telemetry)
        self._commits = OffsetCommits(consumer, ledger, clock, telemetry, config.commit_interval_s)
        now_ns = clock.monotonic_ns()
        self._end_offsets_due_ns = self._start_offsets_due_ns = now_ns
        self._topic_check_due_ns = self._report_due_ns = now_ns
        self.answered_ns = now_ns
        """When the cluster last gave records or end offsets; it counts as answering while nothing is read."""
        commits = self._commits if config.commits else None
        self._listener = RebalanceListener(consumer, self.owned, ledger, assignor, commits, config.revoke_timeout_s)
        consumer.subscribe(list(self._topics), listener=self._listener)

    def run_once(self, emit: Emit, stop: threading.Event) -> None:
        """One round; SourceError if the source cannot continue."""
        self._poll(_PAUSED_POLL_MS if self._backpressure.is_full else _POLL_MS, stop)
        self._check_topics()
        if self.owned.unpositioned and self._clock.monotonic_ns() >= self._start_offsets_due_ns:
            self._start_offsets_due_ns = self._clock.monotonic_ns() + _START_OFFSETS_NS
            self._request(self._position, stop)
        self._emit_changes(emit)
        if self._clock.monotonic_ns() >= self._end_offsets_due_ns:
            self._request(lambda: self._fetch_end_offsets(emit), stop)
        for item in self._merge.pop_ready():
            emit(item)
        self._apply_backpressure()
        self._commit_and_report()

    def run_draining(self, emit: Emit, stop: threading.Event) -> None:
        """One round of a drain: commits, reads nothing, stays a member."""
        self._backpressure.pause(self.owned.reading)
        self._poll(_POLL_MS, stop)
        self._emit_changes(emit)
        self._commit_and_report()

    def leave(self, emit: Emit, deadline: Deadline) -> None:
        """Closes the consumer: commits, gives up all partitions, leaves the group.

        The last commit may take half of what remains.
        """
        self._listener.revoke_timeout_s, self._listener.leaving = deadline.remaining_s / 2, True
        try:
            self._consumer.close(timeout_ms=round(deadline.remaining_s / 2 * 1000))
        except (KafkaError, RuntimeError) as error:  # RuntimeError: its IO thread has ended
            log.warning("the consumer did not close in an orderly way", source=self._config.name, error=str(error))
        self.owned.clear()
        self._emit_changes(emit)
        self._lag.report_unknown()

    def _emit_changes(self, emit: Emit) -> None:
        """Emits what rebalances changed."""
        changes, self.owned.changes = self.owned.changes, []
        for item in changes:
            emit(item)

    def _poll(self, timeout_ms: int, stop: threading.Event) -> None:
        self._parked_records.release()
        try:
            polled = self._consumer.poll(timeout_ms=timeout_ms)
        except Exception as error:
            self._retry.recover(error, stop)
        else:
            self._accept(polled)

    def _accept(self, polled: dict[TopicPartition, list[Any]]) -> None:
        received_ns, now_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        if polled:
            self.answered_ns = now_ns
        for topic_partition, messages in polled.items():
            partition, topic = Partition(*topic_partition), self._topics[topic_partition.topic]
            items = [from_kafka(message, topic, received_ns) for message in messages]
            self._ledger.read(partition, [(m.offset, size_bytes(i)) for m, i in zip(messages, items, strict=True)])
            self._merge.push(partition, items)
            self._lag.advance(partition, written_ns(items[-1]))
            end = self._consumer.highwater(topic_partition)
            at_end = self._ends.advance(partition, messages[-1].offset + 1, end, now_ns)
            self._merge.set_at_end(partition, at_end)

    def _check_topics(self) -> None:
        """Resets recreated topics to their beginning, whatever was committed."""
        if self.topic_watch.all_seen and self._clock.monotonic_ns() < self._topic_check_due_ns:
            return
        self._topic_check_due_ns = self._clock.monotonic_ns() + _TOPIC_CHECK_NS
        recreated = self.topic_watch.check()
        for topic, numbers in recreated.items():
            self._telemetry.offset_reset(self._config.name, OffsetResetReason.RECREATED)
            self._recreated |= {Partition(topic, number) for number in numbers}
            self._recreated_until_ns = self._clock.monotonic_ns() + _RECREATED_NS
        if recreated:
            self.owned.reset({partition.number for partition in self.owned.reading & self._recreated})
        elif self._recreated and self._clock.monotonic_ns() >= self._recreated_until_ns:
            self._recreated.clear()

    def _position(self) -> None:
        """Requests start offsets, group by group, until a request fails."""
        for number, partitions in list(self.owned.unpositioned.items()):
            # To the end of the line, so that one whose former owner's transaction is open does not keep the rest.
            self.owned.unpositioned[number] = self.owned.unpositioned.pop(number)
            starts = fetch_start_offsets(self._consumer, partitions, self._config.start, self._recreated)
            for partition, start in starts.items():
                self._consumer.seek(TopicPartition(*partition), start.offset)
                self._retry.report_start(partition, start)
            offsets = {partition: start.offset for partition, start in starts.items()}
            through = emitted_through(starts, self._ledger.grid)
            self._recreated.difference_update(partitions)
            self.owned.start(number, offsets, through, self._clock.monotonic_ns())

    def _fetch_end_offsets(self, emit: Emit) -> None:
        """Requests end offsets; partitions read to their end are idle."""
        requested_ns = self._clock.monotonic_ns()
        self._end_offsets_due_ns = requested_ns + _END_OFFSETS_NS
        reading = [TopicPartition(*partition) for partition in self.owned.reading]
        if not reading:
            self.answered_ns = requested_ns
            return
        try:
            ends = fetch_offsets(self._consumer.end_offsets, reading)
            self.answered_ns = self._clock.monotonic_ns()
        finally:
            for partition in self._ends.expire(self._clock.monotonic_ns()):
                self._merge.set_at_end(partition, False)
        for topic_partition in reading:
            partition = Partition(*topic_partition)
            waiting = self._merge.buffered(partition)
            unread = self._unread(topic_partition, ends[topic_partition], waiting)
            self._lag.update(partition, unread + waiting)
            self._merge.set_at_end(partition, unread <= 0)
            if unread > 0:
                self._ends.not_at_end(partition)
            elif not waiting and (idle_ns := self._ends.confirm_end(partition, requested_ns)):
                emit(PartitionIdle(partition, idle_ns))

    def _unread(self, topic_partition: TopicPartition, end: int, waiting: int) -> int:
        partition = Partition(*topic_partition)
        if not waiting and self._ends.lag(partition, end) > 0:
            # What lies before the end may be no records but marks of transactions, which kafka-python skips. It is
            # not called each time: it takes longer, the more partitions there are.
            self._ends.seek(partition, self._consumer.position(topic_partition, timeout_ms=0))
        return self._ends.lag(partition, end)

    def _apply_backpressure(self) -> None:
        self._backpressure.measure(self._ledger.waiting_bytes, self._merge.waiting_bytes)
        if not self._deferred_error.is_pending:
            self._backpressure.apply(self.owned.reading, set(self._merge.starving()))

    def _commit_and_report(self) -> None:
        if self._config.commits:
            self._commits.commit_if_due()
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._report_due_ns:
            self._report_due_ns = now_ns + _REPORT_NS
            self._telemetry.paused(self._backpressure.paused_count(self.owned.reading))
            self._telemetry.uncommitted(self._ledger.uncommitted)
            self._lag.report(self.owned.reading, self._unknown_lag())

    def _unknown_lag(self) -> set[Modality]:
        """The modalities whose end offsets nobody says now."""
        unanswered = self._clock.monotonic_ns() - self.answered_ns > _LAG_VALID_NS
        whole = unanswered or self._assignor.generation < 0 or self.owned.unpositioned
        return {topic.modality for topic in self._config.topics if whole or topic.name in self.topic_watch.deleted}

    def _request(self, request: Callable[[], None], stop: threading.Event) -> None:
        """Makes a request to the cluster that can be repeated later."""
        try:
            request()
        except KafkaError as error:
            self._retry.recover(error, stop)
