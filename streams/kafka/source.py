"""Kafka as a source: one member of a consumer group that reads partition numbers whole, for all sessions in them.

It is live: what a person can mend (a password, a topic that may not be read, a name that two instances use) breaks it,
and it is opened again; a broker that goes away does not, since the client connects again by itself. Leaving is done in
two steps, so that nothing is committed before it is published and everything that is published is committed:
`drain` stops taking records and goes on committing; stopping the runner then commits once more and leaves the group.

How records flow is told in `streams.kafka.membership`, what belongs to the instance in
`streams.kafka.owned_partitions`.
"""

import threading
from typing import Any

import structlog
from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.structs import ConsumerGroupMetadata

from streams.clock import NS_PER_S, Clock
from streams.delivery.ledger import Ledger
from streams.findings import Verdict
from streams.kafka.assignor import CoPartitionedAssignor
from streams.kafka.checks import check_cluster
from streams.kafka.connectivity import Connectivity
from streams.kafka.consumer_config import KafkaSourceConfig, consumer_options
from streams.kafka.errors import advice
from streams.kafka.membership import GroupMember
from streams.records import Modality
from streams.sources.base import Emit, SourceError
from streams.telemetry import Telemetry

log = structlog.get_logger(__name__)

_SILENT_NS = 5 * NS_PER_S  # brokers that are there answer within a quarter of a second
_LEAVE_S = 1.5  # for the last commit, and again for leaving the group; a service has 5 s to stop


class KafkaSource:
    """Owned by its runner's thread, which owns the consumer; `drain`, `group_metadata`, `partitions` and
    `unready_reason` may be used by any other.
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
        self._intake: GroupMember | None = None
        self._emit: Emit = lambda item: None

    def open(self) -> None:
        """Checks the cluster and makes the consumer; SourceError if it cannot be reached or is not as it must be."""
        for finding in check_cluster(self._config.connection, self._config.checked):
            if finding.verdict is Verdict.NOTE:
                log.warning("the Kafka cluster", source=self.name, subject=finding.subject, finding=finding.sentence)
        self._assignor = assignor = CoPartitionedAssignor()
        options = consumer_options(self._config, assignor)
        try:
            self._consumer = KafkaConsumer(**options)
        except (KafkaError, OSError) as error:
            servers = ", ".join(self._config.connection.bootstrap_servers)
            raise SourceError(f"Kafka at {servers}: {_told(error)}") from error
        assignor.request_rejoin = self._consumer._coordinator.request_rejoin
        self._intake = GroupMember(self._config, self._consumer, assignor, self._ledger, self._clock, self._telemetry)

    def read(self, emit: Emit, stop: threading.Event) -> None:
        """Joins the group and emits until `stop`; SourceError if that cannot go on."""
        if self._intake is None:
            raise SourceError(f"Kafka source {self.name} is not open")
        self._emit = emit
        interruptions = Connectivity(self.name, self._clock, self._telemetry)
        try:
            while not stop.is_set():
                if self._draining.is_set():
                    self._intake.idle_turn(emit, stop)
                else:
                    self._intake.turn(emit, stop)
                    interruptions.look(*self._interrupted(self._intake))
        except KafkaError as error:
            raise SourceError(f"Kafka source {self.name}: {_told(error)}") from error

    def close(self) -> None:
        """Commits what is delivered, gives up all partitions and leaves the group (a static member stays in it)."""
        intake, self._intake, self._consumer = self._intake, None, None
        if intake is not None:
            intake.leave(self._emit, _LEAVE_S)

    def drain(self) -> None:
        """Takes nothing more, and stays in the group and commits until the runner is stopped."""
        self._draining.set()

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partition numbers that are being read."""
        intake = self._intake
        return () if intake is None else tuple(sorted(intake.holdings.placed.copy()))

    def unready_reason(self) -> str | None:
        """Why records of this instance's sessions do not arrive as they should, if they do not."""
        intake = self._intake
        if intake is None:
            return f"source {self.name} is not in its group yet"
        fault = intake.topics.fault
        return self._interrupted(intake)[0] or (fault and f"source {self.name}: {fault}")

    def _interrupted(self, intake: GroupMember) -> tuple[str | None, int]:
        """Why this instance does not read what is its own, if so, and since when (monotonic, ns)."""
        now_ns, generation = self._clock.monotonic_ns(), self.group_metadata().generation_id
        silent_ns = now_ns - intake.answered_ns
        if silent_ns > _SILENT_NS:
            seconds = f"{silent_ns / NS_PER_S:.0f} s"
            return f"source {self.name} has had no answer from its brokers for {seconds}", intake.answered_ns
        if generation < 0 or generation != self._assignor.generation:
            return f"source {self.name} is not in its group yet", now_ns
        if unplaced := sorted(self._assignor.numbers.difference(self.partitions)):
            return f"source {self.name} does not know yet from where to read partitions {unplaced}", now_ns
        return None, now_ns

    def group_metadata(self) -> ConsumerGroupMetadata:
        """Who we are in the group right now, for transactions; without a generation while we are not in it."""
        consumer = self._consumer
        return ConsumerGroupMetadata(self._config.group_id) if consumer is None else consumer.group_metadata()


def _told(error: Exception) -> str:
    needed = advice(error)
    return repr(error) if needed is None else f"{error}: {needed}"
