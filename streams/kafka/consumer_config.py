"""Configures the source's consumer, with the reasons of each option.

The source seeks and commits offsets, never the client. `read_committed` in both modes of delivery: records of
producers' aborted transactions are not records, and only so does the group's coordinator hold back the offsets of a
partition until the transaction of its former owner is settled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streams.kafka.assignor import CoPartitionedAssignor
from streams.kafka.checks import ClusterRequirements
from streams.kafka.connection import Connection
from streams.kafka.contract import InputTopic

_FETCH_BYTES = 16 * 2**20  # one answer of a broker; read within the request timeout at 9 Mbit/s
_PARTITION_FETCH_BYTES = 2**20  # measured: more is slower; a record that is larger is handed out too, alone
_FETCH_WAIT_MS = 100  # other requests to the broker wait in line behind a fetch
_REQUEST_TIMEOUT_MS = 15_000  # a connection that was cut silently is made again after this
_RECONNECT_MS = 1000  # at most, between attempts to reach a broker that is away
_BOOTSTRAP_MS = 5000
_POLL_RECORDS = 2000
_METADATA_AGE_MS = 15_000  # recreated topics, more partitions and other leaders are noticed after this
_REBALANCE_MS = 30_000  # how long a rebalance waits for a member that is alive and does not take part


@dataclass(frozen=True, slots=True)
class KafkaSourceConfig:
    """The configuration of one member of a consumer group."""

    name: str
    connection: Connection
    group_id: str
    topics: tuple[InputTopic, ...]
    instance_id: str = ""
    """Makes the member static: it keeps its partitions if it restarts within the session timeout."""
    start: Literal["earliest", "latest"] = "earliest"
    """Where to start partitions for which the group has committed nothing."""
    session_timeout_s: float = 10.0
    high_bytes: int = 64 * 2**20
    """Partitions are paused when this much was read and not taken yet, and resumed at `low_bytes`."""
    low_bytes: int = 32 * 2**20
    commit_interval_s: float = 1.0
    commits: bool = True
    """Whether the source commits the checkpoint; else transactions do."""
    revoke_timeout_s: float = 5.0
    """How long a rebalance may wait for the last commit of partitions that go elsewhere."""
    requirements: ClusterRequirements | None = None
    """Checked whenever the source is opened; the input topics and the group by default."""
    client_options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of KafkaConsumer that come before ours; for tests."""

    @property
    def cluster_requirements(self) -> ClusterRequirements:
        """What the cluster must have."""
        inputs = tuple(topic.name for topic in self.topics)
        return self.requirements or ClusterRequirements(
            inputs, group_id=self.group_id, session_timeout_s=self.session_timeout_s
        )


def consumer_options(config: KafkaSourceConfig, assignor: CoPartitionedAssignor) -> dict[str, Any]:
    """The keyword arguments of KafkaConsumer.

    ConnectionProblem if a file that it needs cannot be used.
    """
    session_ms = round(config.session_timeout_s * 1000)
    return {
        **config.connection.options(),
        "group_id": config.group_id,
        "group_instance_id": config.instance_id or None,
        "partition_assignment_strategy": [assignor],
        "session_timeout_ms": session_ms,
        "heartbeat_interval_ms": session_ms // 3,
        "max_poll_interval_ms": _REBALANCE_MS + round(config.revoke_timeout_s * 1000),
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "check_crcs": True,
        "fetch_max_bytes": max(1, min(_FETCH_BYTES, config.high_bytes // 2)),
        "max_partition_fetch_bytes": max(1, min(_PARTITION_FETCH_BYTES, config.high_bytes // 2)),
        "fetch_max_wait_ms": _FETCH_WAIT_MS,
        "max_poll_records": _POLL_RECORDS,
        "request_timeout_ms": _REQUEST_TIMEOUT_MS,
        "reconnect_backoff_max_ms": _RECONNECT_MS,
        "bootstrap_timeout_ms": _BOOTSTRAP_MS,
        "metadata_max_age_ms": _METADATA_AGE_MS,
        "metrics_enabled": False,  # costs time for every record, and nothing reads them
        **config.client_options,
    }
