"""Decides what follows an error of a poll: continue, skip, or fail.

Rule: nothing that was read is lost sight of, and no error repeats for ever. Records that retention has deleted are
skipped and counted, and so are records that cannot be read. A log that ends before what was read of it is another one
of the same name, or has lost its tail: its partition group is positioned again. What only a person can correct breaks
the source (`streams.kafka.errors`). All else passes by itself.
"""

import threading

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError

from streams.clock import NS_PER_S, Clock
from streams.coordinates import Coordinates, Partition
from streams.delivery.ledger import Ledger
from streams.kafka.client_workarounds import UnreadableBatch
from streams.kafka.consumer_config import KafkaSourceConfig
from streams.kafka.end_offsets import EndOffsets
from streams.kafka.errors import advice
from streams.kafka.owned_partitions import OwnedPartitions
from streams.kafka.start_offsets import StartOffset, fetch_offsets
from streams.reasons import DropReason
from streams.sources.base import SourceError
from streams.telemetry import OffsetResetReason, Telemetry

log = structlog.get_logger(__name__)

_WARN_NS = 10 * NS_PER_S
_PAUSE_S = 0.1  # after an error, so that one that repeats does not keep a core busy


class RetryPolicy:
    """Owned by the source's thread."""

    def __init__(
        self,
        config: KafkaSourceConfig,
        consumer: KafkaConsumer,
        owned: OwnedPartitions,
        ends: EndOffsets,
        ledger: Ledger,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._source = config.name
        self._modalities = {topic.name: topic.modality for topic in config.topics}
        self._consumer = consumer
        self._unreadable_batch = UnreadableBatch(consumer)
        self._owned = owned
        self._ends = ends
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._warned_ns: int | None = None

    def recover(self, error: Exception, stop: threading.Event) -> None:
        """Recovers from an error; SourceError if the source cannot continue."""
        needed, unreadable = advice(error), self._unreadable_batch.partition_of(error)
        if needed is not None:
            raise SourceError(f"Kafka source {self._source}: {error}: {needed}") from error
        if isinstance(error, OffsetOutOfRangeError):
            self._reposition(error.args[0], stop)
        elif isinstance(error, LogTruncationError):
            log.warning("a partition lost its tail; its partition group is read again", error=str(error))
            self._owned.reset({partition.partition for partition in error.divergent_offsets})
        elif unreadable is not None:
            self._skip_unreadable(unreadable, error)
        elif isinstance(error, KafkaError) and type(error) is not KafkaError:
            if not error.retriable:  # one that is, is reported when it lasts (`streams.kafka.connectivity`)
                self._warn("kafka-python reports an error; polling continues", error)
            self._clock.wait(stop, _PAUSE_S)
        else:
            raise SourceError(f"Kafka source {self._source}: polling failed: {error!r}") from error

    def report_start(self, partition: Partition, start: StartOffset) -> None:
        """Reports records that a start offset loses or repeats."""
        self._report_deleted(partition, start.lost)
        if start.truncated:
            log.warning("a partition ends before what was committed of it; it is read from its beginning", at=partition)
            self._telemetry.offset_reset(self._source, OffsetResetReason.TRUNCATED)

    def _report_deleted(self, partition: Partition, records: int) -> None:
        if records:
            log.warning("records were deleted before they were read", at=partition, records=records)
            self._telemetry.dropped(self._modalities[partition.topic], DropReason.RETENTION, records)
            self._telemetry.offset_reset(self._source, OffsetResetReason.RETENTION)

    def _reposition(self, positions: dict[TopicPartition, int], stop: threading.Event) -> None:
        """Finds a new position where the next offset does not exist.

        Retention deleted it, or the log ends before it.
        """
        try:
            beginnings = fetch_offsets(self._consumer.beginning_offsets, list(positions))
        except KafkaError as error:
            self.recover(error, stop)
            return
        for topic_partition, position in positions.items():
            partition, beginning = Partition(*topic_partition), beginnings[topic_partition]
            if partition not in self._owned.reading:
                continue
            if beginning > position:
                self._report_deleted(partition, beginning - position)
                self._skip_to(topic_partition, beginning)
            else:
                log.warning("a partition ends before what was read; its partition group is read again", at=partition)
                self._owned.reset({partition.number})

    def _skip_unreadable(self, topic_partition: TopicPartition, error: Exception) -> None:
        """Skips one record: where the batch ends cannot be known."""
        at = Partition(*topic_partition)
        if at in self._owned.reading:
            position = self._consumer.position(topic_partition, timeout_ms=0)
            self._warn("a record cannot be read, and is skipped", error, at=at, offset=position)
            self._telemetry.dropped(self._modalities[at.topic], DropReason.UNREADABLE)
            self._skip_to(topic_partition, position + 1)

    def _skip_to(self, topic_partition: TopicPartition, offset: int) -> None:
        """Reading continues at `offset`; nobody needs what was not read before it."""
        partition = Partition(*topic_partition)
        self._consumer.seek(topic_partition, offset)
        self._ends.seek(partition, offset)
        self._ledger.read(partition, [(offset - 1, 0)])
        self._ledger.release(Coordinates(partition, offset - 1, 0))

    def _warn(self, event: str, error: Exception, **fields: object) -> None:
        """Logs a warning, once in ten seconds."""
        now_ns = self._clock.monotonic_ns()
        if self._warned_ns is None or now_ns - self._warned_ns >= _WARN_NS:
            self._warned_ns = now_ns
            log.warning(event, source=self._source, error=f"{type(error).__name__}: {error}", **fields)
