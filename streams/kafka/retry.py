"""What is done about errors of kafka-python: nothing that was read is lost sight of, and no error is met for ever.

Offsets that retention has deleted are passed over and counted, and so are records that cannot be read. A log that ends
before what was read of it is another one of the same name, or has lost its tail: its number is read anew. What only a
person can mend breaks the source. All else passes by itself, and is waited out.
"""

import threading

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError

from streams.clock import NS_PER_S, Clock
from streams.coordinates import Coordinates, Partition
from streams.delivery.ledger import Ledger
from streams.kafka.consumer_config import KafkaSourceConfig
from streams.kafka.end_offsets import EndOffsets
from streams.kafka.errors import advice, unreadable_partition
from streams.kafka.owned_partitions import OwnedPartitions
from streams.kafka.start_offsets import fetch_offsets
from streams.reasons import DropReason
from streams.sources.base import SourceError
from streams.telemetry import OffsetReset, Telemetry

log = structlog.get_logger(__name__)

_COMPLAIN_NS = 10 * NS_PER_S
_PAUSE_S = 0.1  # after an error, so that one that repeats does not keep a core busy


class RetryPolicy:
    """Owned by the source's thread."""

    def __init__(
        self,
        config: KafkaSourceConfig,
        consumer: KafkaConsumer,
        holdings: OwnedPartitions,
        ends: EndOffsets,
        ledger: Ledger,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._source = config.name
        self._modalities = {topic.name: topic.modality for topic in config.topics}
        self._consumer = consumer
        self._holdings = holdings
        self._ends = ends
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._complained_ns: int | None = None

    def survive(self, error: Exception, stop: threading.Event) -> None:
        """What an error leads to; SourceError if the source cannot go on."""
        needed, unreadable = advice(error), unreadable_partition(self._consumer, error)
        if needed is not None:
            raise SourceError(f"Kafka source {self._source}: {error}: {needed}") from error
        if isinstance(error, OffsetOutOfRangeError):
            self._find_again(error.args[0], stop)
        elif isinstance(error, LogTruncationError):
            log.warning("a partition lost its tail; its number is read anew", error=str(error))
            self._holdings.renew({partition.partition for partition in error.divergent_offsets})
        elif unreadable is not None:
            self._pass_over_unreadable(unreadable, error)
        elif isinstance(error, KafkaError) and type(error) is not KafkaError:
            if not error.retriable:  # one that is, is told when it lasts (`streams.kafka.connectivity`)
                self._complain("kafka-python reports an error; polling goes on", error)
            self._clock.wait(stop, _PAUSE_S)
        else:
            raise SourceError(f"Kafka source {self._source}: polling failed: {error!r}") from error

    def count_lost(self, partition: Partition, lost: int) -> None:
        """So many records of `partition` were deleted before they were read."""
        if lost:
            log.warning("records were deleted before they were read", at=partition, records=lost)
            self._telemetry.dropped(self._modalities[partition.topic], DropReason.RETENTION, lost)
            self._telemetry.offset_reset(self._source, OffsetReset.RETENTION)

    def count_truncated(self, partition: Partition) -> None:
        """The log of `partition` ends before what was committed of it, and is read from its beginning."""
        log.warning("a partition ends before what was committed of it; it is read from its beginning", at=partition)
        self._telemetry.offset_reset(self._source, OffsetReset.TRUNCATED)

    def _find_again(self, positions: dict[TopicPartition, int], stop: threading.Event) -> None:
        """What was to be read next is not there: deleted by retention, or the log ends before it."""
        try:
            beginnings = fetch_offsets(self._consumer.beginning_offsets, list(positions))
        except KafkaError as error:
            self.survive(error, stop)
            return
        for topic_partition, position in positions.items():
            partition, beginning = Partition(*topic_partition), beginnings[topic_partition]
            if partition not in self._holdings.read:
                continue
            if beginning > position:
                self.count_lost(partition, beginning - position)
                self._go_on_at(topic_partition, beginning)
            else:
                log.warning("a partition ends before what was read of it; its number is read anew", at=partition)
                self._holdings.renew({partition.number})

    def _pass_over_unreadable(self, topic_partition: TopicPartition, error: Exception) -> None:
        """One record at a time: where the batch ends cannot be known."""
        at = Partition(*topic_partition)
        if at in self._holdings.read:
            position = self._consumer.position(topic_partition, timeout_ms=0)
            self._complain("a record cannot be read, and is passed over", error, at=at, offset=position)
            self._telemetry.dropped(self._modalities[at.topic], DropReason.UNREADABLE)
            self._go_on_at(topic_partition, position + 1)

    def _go_on_at(self, topic_partition: TopicPartition, offset: int) -> None:
        """Reading goes on at `offset`; what was not read before it is needed by nobody."""
        partition = Partition(*topic_partition)
        self._consumer.seek(topic_partition, offset)
        self._ends.moved(partition, offset)
        self._ledger.read(partition, [(offset - 1, 0)])
        self._ledger.release(Coordinates(partition, offset - 1, 0))

    def _complain(self, event: str, error: Exception, **told: object) -> None:
        """Logs, once in ten seconds."""
        now_ns = self._clock.monotonic_ns()
        if self._complained_ns is None or now_ns - self._complained_ns >= _COMPLAIN_NS:
            self._complained_ns = now_ns
            log.warning(event, source=self._source, error=f"{type(error).__name__}: {error}", **told)
