"""Reads records from Kafka, as one member of a consumer group.

A member reads whole partition groups (`streams.kafka.assignor`), for all sessions in them. The source is live: what a
person can correct (a password, a topic that may not be read, a name that two instances use) breaks it, and it is opened
again; a broker that goes away does not, since the client reconnects by itself. It leaves in two steps, so that nothing
is committed before it is published and everything that is published is committed: `drain` stops reading and goes on
committing; closing commits once more and leaves the group.

The way of a record is in `streams.kafka.membership`, ownership in `streams.kafka.owned_partitions`.
"""

import threading
from typing import Any

import structlog
from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.structs import ConsumerGroupMetadata

from streams.clock import NS_PER_S, Clock
from streams.deadline import Deadline
from streams.delivery.ledger import Ledger
from streams.findings import Verdict
from streams.kafka.assignor import CoPartitionedAssignor
from streams.kafka.checks import check_cluster
from streams.kafka.client_workarounds import rejoin_request
from streams.kafka.connectivity import Connectivity
from streams.kafka.consumer_config import KafkaSourceConfig, consumer_options
from streams.kafka.errors import advice
from streams.kafka.membership import GroupMember
from streams.records import Modality
from streams.sources.base import Emit, SourceError
from streams.telemetry import Telemetry

log = structlog.get_logger(__name__)

_UNANSWERED_NS = 5 * NS_PER_S  # brokers that are there answer within a quarter of a second
_LEAVE_S = 3.0  # for the last commit and to leave the group; the service has some more to close


class KafkaSource:
    """Implements `streams.sources.base.LogSource` for Kafka.

    Owned by its runner's thread, which owns the consumer. `drain`, `group_metadata`, `partitions` and `unready_reason`
    may be called from any other.
    """

    live = True

    def __init__(self, config: KafkaSourceConfig, ledger: Ledger, clock: Clock, telemetry: Telemetry) -> None:
        self.name = config.name
        self.modalities: frozenset[Modality] = frozenset(topic.modality for topic in config.topics)
        self._config = config
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._draining = threading.Event()
        self._assignor = CoPartitionedAssignor()
        self._consumer: Any = None
        self._member: GroupMember | None = None
        self._emit: Emit = lambda item: None

    def open(self) -> None:
        """Checks the cluster and makes the consumer.

        SourceError if the cluster cannot be reached or is not as it must be.
        """
        for finding in check_cluster(self._config.connection, self._config.cluster_requirements):
            if finding.verdict is Verdict.NOTE:
                log.warning("the Kafka cluster", source=self.name, subject=finding.subject, finding=finding.sentence)
        self._assignor = assignor = CoPartitionedAssignor()
        options = consumer_options(self._config, assignor)
        try:
            self._consumer = KafkaConsumer(**options)
        except (KafkaError, OSError) as error:
            servers = ", ".join(self._config.connection.bootstrap_servers)
            raise SourceError(f"Kafka at {servers}: {_described(error)}") from error
        assignor.request_rejoin = rejoin_request(self._consumer)
        self._member = GroupMember(self._config, self._consumer, assignor, self._ledger, self._clock, self._telemetry)

    def read(self, emit: Emit, stop: threading.Event) -> None:
        """Joins the group and emits until `stop`; SourceError if it cannot continue."""
        if self._member is None:
            raise SourceError(f"Kafka source {self.name} is not open")
        self._emit = emit
        connectivity = Connectivity(self.name, self._clock, self._telemetry)
        try:
            while not stop.is_set():
                if self._draining.is_set():
                    self._member.run_draining(emit, stop)
                else:
                    self._member.run_once(emit, stop)
                    connectivity.update(*self._interruption(self._member))
        except KafkaError as error:
            raise SourceError(f"Kafka source {self.name}: {_described(error)}") from error

    def close(self) -> None:
        """Commits what is delivered and leaves the group.

        A static member stays in it.
        """
        member, consumer = self._member, self._consumer
        self._member = self._consumer = None
        if member is not None:
            member.leave(self._emit, Deadline.after(self._clock, _LEAVE_S))
        elif consumer is not None:  # `open` failed after the consumer was made
            consumer.close(timeout_ms=0)

    def drain(self) -> None:
        """Reads nothing more, and goes on committing until it is closed."""
        self._draining.set()

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partition groups that are read, by number."""
        member = self._member
        return () if member is None else tuple(sorted(member.owned.positioned.copy()))

    def unready_reason(self) -> str | None:
        """Why records of this instance do not arrive; None where they do."""
        member = self._member
        if member is None:
            return f"source {self.name} is not in its group yet"
        fault = member.topic_watch.fault
        return self._interruption(member)[0] or (fault and f"source {self.name}: {fault}")

    def _interruption(self, member: GroupMember) -> tuple[str | None, int]:
        """Why nothing is read, and since when (monotonic, ns)."""
        now_ns, generation = self._clock.monotonic_ns(), self.group_metadata().generation_id
        unanswered_ns = now_ns - member.answered_ns
        if unanswered_ns > _UNANSWERED_NS:
            seconds = f"{unanswered_ns / NS_PER_S:.0f} s"
            return f"source {self.name} has had no answer from its brokers for {seconds}", member.answered_ns
        if generation < 0 or generation != self._assignor.generation:
            return f"source {self.name} is not in its group yet", now_ns
        if unpositioned := sorted(self._assignor.owned.difference(self.partitions)):
            return f"source {self.name} does not know yet from where to read partitions {unpositioned}", now_ns
        return None, now_ns

    def group_metadata(self) -> ConsumerGroupMetadata:
        """The identity of this member in the group, for transactions.

        It has no generation while it is not in the group.
        """
        consumer = self._consumer
        return ConsumerGroupMetadata(self._config.group_id) if consumer is None else consumer.group_metadata()


def _described(error: Exception) -> str:
    needed = advice(error)
    return repr(error) if needed is None else f"{error}: {needed}"
