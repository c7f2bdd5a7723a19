"""Reads the dead-letter topic, and commits which letters were resubmitted.

It is read to the end that it has when it is opened, so that letters that come back meanwhile are not read. Nothing is
subscribed to: a group of one member that commits by hand needs no rebalance.
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

_BOOTSTRAP_MS = 8_000
_REQUEST_TIMEOUT_MS = 10_000
_POLL_MS = 500
_SILENCE_TIMEOUT_NS = 20 * NS_PER_S


class DeadLetterReader:
    """A consumer of the dead-letter topic; to be closed.

    Owned by one thread.
    """

    def __init__(self, connection: Connection, name: str, clock: Clock) -> None:
        """Connects; BrokerUnavailable if there is no such topic.

        Unreachable or Refused (`streams.kafka.reachability`) if it cannot connect.
        """
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
                bootstrap_timeout_ms=_BOOTSTRAP_MS,
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
                    f"topic {self._name} does not exist: no dead letter was ever written, or elsewhere"
                )
            self._consumer.assign(partitions)
            beginnings = self._consumer.beginning_offsets(partitions, timeout_ms=_REQUEST_TIMEOUT_MS)
            ends = self._consumer.end_offsets(partitions, timeout_ms=_REQUEST_TIMEOUT_MS)
            self.beginnings: dict[int, int] = {at.partition: beginnings[at] for at in partitions}
            self.ends: dict[int, int] = {at.partition: ends[at] for at in partitions}
            self.resubmissions = {at.partition: self._committed(at) for at in partitions}

    def letters(self, starts: Mapping[int, int]) -> Iterator[DeadLetter]:
        """Reads the letters from these offsets on, by partition number."""
        starts = {number: max(start, self.beginnings[number]) for number, start in starts.items()}
        unread = {TopicPartition(self._name, number) for number in starts if starts[number] < self.ends[number]}
        with broker_errors(self._connection, f"{self._name} cannot be read"):
            self._consumer.pause(*self._consumer.assignment())
            for at in unread:
                self._consumer.seek(at, starts[at.partition])
            self._consumer.resume(*unread)
            last_read_ns = self._clock.monotonic_ns()
            while unread:
                for at, messages in self._consumer.poll(timeout_ms=_POLL_MS).items():
                    last_read_ns = self._clock.monotonic_ns()
                    end = self.ends[at.partition]
                    yield from (read_dead_letter(message) for message in messages if message.offset < end)
                read = {at for at in unread if self._consumer.position(at) >= self.ends[at.partition]}
                self._consumer.pause(*read)
                unread -= read
                if self._clock.monotonic_ns() - last_read_ns > _SILENCE_TIMEOUT_NS:
                    raise BrokerUnavailable(f"{self._name}: the cluster does not answer any more")

    def commit(self, letters: Mapping[int, list[int]]) -> None:
        """Commits what is in `resubmissions`.

        letters: by partition number, the offsets of all letters from the committed one on.
        """
        offsets = {}
        for number, offsets_read in letters.items():
            offset, metadata = self.resubmissions[number].committable(offsets_read, self.ends[number])
            offsets[TopicPartition(self._name, number)] = OffsetAndMetadata(offset, metadata, -1)
        with broker_errors(self._connection, "what was resubmitted cannot be committed"):
            self._consumer.commit(offsets, timeout_ms=_REQUEST_TIMEOUT_MS)

    def close(self) -> None:
        """Closes the consumer."""
        self._consumer.close(autocommit=False, timeout_ms=_BOOTSTRAP_MS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _committed(self, at: TopicPartition) -> Resubmissions:
        committed = self._consumer.committed(at, metadata=True, timeout_ms=_REQUEST_TIMEOUT_MS)
        return Resubmissions() if committed is None else Resubmissions(committed.offset, committed.metadata or "")
