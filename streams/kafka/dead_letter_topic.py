"""Reads the dead-letter topic from end to end, and remembers in a consumer group which letters were sent once more.

The end is where it is when the topic is opened, so that letters that come back meanwhile are not met. No partition is
subscribed to: a group of one that commits by hand needs no rebalance.
"""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from streams.clock import NS_PER_S, Clock
from streams.kafka.connection import Connection
from streams.kafka.dead_letters import DeadLetter, read_dead_letter
from streams.kafka.errors import BrokerUnavailable, broker_errors
from streams.kafka.reachability import probe_cluster
from streams.kafka.resubmissions import Resubmissions

GROUP_ID = "affectd-dead-letters"

_REACHED_WITHIN_MS = 8_000
_ANSWERS_WITHIN_MS = 10_000
_POLL_MS = 500
_SILENT_FOR_NS = 20 * NS_PER_S


class DeadLetterReader:
    """Owned by one thread; to be closed."""

    def __init__(self, connection: Connection, name: str, clock: Clock) -> None:
        """Unreachable or Refused (`streams.kafka.reachability`); BrokerUnavailable if there is no such topic."""
        probe_cluster(connection)
        self._connection = connection
        self._name = name
        self._clock = clock
        with broker_errors(connection, "cannot be reached"):
            self._consumer = KafkaConsumer(
                **connection.options(),
                group_id=GROUP_ID,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=_REACHED_WITHIN_MS,
            )
        try:
            self._open()
        except BrokerUnavailable:
            self.close()
            raise

    def _open(self) -> None:
        with broker_errors(self._connection, f"{self._name} cannot be read"):
            numbers = self._consumer.partitions_for_topic(self._name) or ()
            partitions = [TopicPartition(self._name, number) for number in sorted(numbers)]
            if not partitions:
                raise BrokerUnavailable(
                    f"topic {self._name} is not there: no dead letter was ever written, or elsewhere"
                )
            self._consumer.assign(partitions)
            begins = self._consumer.beginning_offsets(partitions, timeout_ms=_ANSWERS_WITHIN_MS)
            ends = self._consumer.end_offsets(partitions, timeout_ms=_ANSWERS_WITHIN_MS)
            self.begins: dict[int, int] = {at.partition: begins[at] for at in partitions}
            self.ends: dict[int, int] = {at.partition: ends[at] for at in partitions}
            self.resubmissions = {at.partition: self._remembered(at) for at in partitions}

    def letters(self, starts: Mapping[int, int]) -> Iterator[DeadLetter]:
        """The letters from these offsets on, by partition; those of other partitions are not read."""
        starts = {number: max(start, self.begins[number]) for number, start in starts.items()}
        unread = {TopicPartition(self._name, number) for number in starts if starts[number] < self.ends[number]}
        with broker_errors(self._connection, f"{self._name} cannot be read"):
            self._consumer.pause(*self._consumer.assignment())
            for at in unread:
                self._consumer.seek(at, starts[at.partition])
            self._consumer.resume(*unread)
            heard_ns = self._clock.monotonic_ns()
            while unread:
                for at, messages in self._consumer.poll(timeout_ms=_POLL_MS).items():
                    heard_ns = self._clock.monotonic_ns()
                    end = self.ends[at.partition]
                    yield from (read_dead_letter(message) for message in messages if message.offset < end)
                read = {at for at in unread if self._consumer.position(at) >= self.ends[at.partition]}
                self._consumer.pause(*read)
                unread -= read
                if self._clock.monotonic_ns() - heard_ns > _SILENT_FOR_NS:
                    raise BrokerUnavailable(f"{self._name}: the cluster has stopped answering")

    def remember(self, letters: Mapping[int, list[int]]) -> None:
        """Commits what is in `resubmissions`, given the offsets of all letters from the committed ones on."""
        offsets = {}
        for number, known in letters.items():
            offset, metadata = self.resubmissions[number].committable(known, self.ends[number])
            offsets[TopicPartition(self._name, number)] = OffsetAndMetadata(offset, metadata, -1)
        with broker_errors(self._connection, "what was sent once more cannot be remembered"):
            self._consumer.commit(offsets, timeout_ms=_ANSWERS_WITHIN_MS)

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=_REACHED_WITHIN_MS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _remembered(self, at: TopicPartition) -> Resubmissions:
        committed = self._consumer.committed(at, metadata=True, timeout_ms=_ANSWERS_WITHIN_MS)
        return Resubmissions() if committed is None else Resubmissions(committed.offset, committed.metadata or "")
