"""Checks a cluster before anything is read or written.

What it finds would otherwise show hours later: topics, partitions, permissions and limits. A session lies in the same
partition of every input topic only if these have equally many, so that is required; so are topics that exist, the
permission to use them, a cluster that is new enough and a checksum in C. Limits on the size of records that would
dead-letter some are notes, and so are secrets that others could read (`streams.kafka.secret_exposure`).
`check_cluster` is for starting and raises; `diagnose_cluster` is for a person and changes nothing. Left out: how topics
are made in production (`deploy/kafka/topics.sh`).
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import kafka
from kafka.admin import ConfigResourceType, KafkaAdminClient
from kafka.errors import AuthorizationError, KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from streams.delivery.checkpoint import LIMIT_BYTES
from streams.findings import Finding, Verdict
from streams.kafka.client_workarounds import has_native_crc32c
from streams.kafka.cluster_configs import MAX_MESSAGE_BYTES, read_configs
from streams.kafka.connection import Connection
from streams.kafka.reachability import ReachableCluster, Unreachable, probe_cluster
from streams.kafka.secret_exposure import exposed_secrets
from streams.sources.base import SourceError

_ANSWER_MS = 5000
_LEAST_VERSION = (2, 5)  # offsets in transactions are fenced by the consumer group from there on (KIP-447)
_LARGEST_RESULT_BYTES = 100_000  # a prediction has about 3 kB, and at most the transcript of its window beside
_ADDED_TO_DEAD_LETTERS_BYTES = 16_384  # coordinates and reason, beside a record of the largest size
_SESSION_LIMITS = ("group.min.session.timeout.ms", "group.max.session.timeout.ms")
_METADATA_LIMIT = "offset.metadata.max.bytes"


@dataclass(frozen=True, slots=True)
class ClusterRequirements:
    """What is read from one cluster and written to it."""

    inputs: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    """Topics that predictions are written to."""
    dead_letters: str = ""
    group_id: str = ""
    session_timeout_s: float = 0.0
    largest_record_bytes: int = 16 * 2**20
    """Larger records are dead-lettered unread."""
    create: bool = False
    partitions: int = 3
    replication_factor: int = 0
    """Of topics that are created; 0 leaves it to the cluster."""

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(name for name in (*self.inputs, *self.results, self.dead_letters) if name)


class ChecksFailed(SourceError):
    """The cluster is not as it must be.

    `problems` holds a sentence for each fault that says what to do.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def check_cluster(connection: Connection, requirements: ClusterRequirements) -> tuple[Finding, ...]:
    """Checks the cluster, and creates missing topics where that is configured.

    ChecksFailed if a finding is bad; ConnectionProblem, Unreachable or Refused (`streams.kafka.reachability`).
    """
    with _admin(connection) as (reached, admin):
        if requirements.create:
            _create_missing(admin, requirements)
        findings = (
            *_software(reached),
            *exposed_secrets(connection.security),
            *_of_cluster(reached, admin, requirements),
        )
    bad = [f"{finding.subject}: {finding.sentence}" for finding in findings if finding.verdict is Verdict.BAD]
    if bad:
        raise ChecksFailed(bad)
    return findings


def diagnose_cluster(connection: Connection, requirements: ClusterRequirements) -> Iterator[Finding]:
    """Everything that `check_cluster` checks, and the lag of the group.

    Creates nothing and raises nothing.
    """
    try:
        yield from exposed_secrets(connection.security)
        with _admin(connection) as (reached, admin):
            yield from _software(reached)
            yield from _of_cluster(reached, admin, requirements)
            if requirements.group_id:
                yield from _lag(admin, requirements)
    except SourceError as problem:
        yield Finding(Verdict.BAD, "kafka", str(problem))


@contextlib.contextmanager
def _admin(connection: Connection) -> Iterator[tuple[ReachableCluster, KafkaAdminClient]]:
    reached = probe_cluster(connection)
    options = connection.options() | {"bootstrap_servers": [reached.server]}
    try:
        with KafkaAdminClient(**options, bootstrap_timeout_ms=_ANSWER_MS, request_timeout_ms=_ANSWER_MS) as admin:
            yield reached, admin
    except KafkaError as error:
        raise Unreachable(f"{reached.server} does not answer a request: {error}") from error


def _software(reached: ReachableCluster) -> Iterator[Finding]:
    if not has_native_crc32c():
        sentence = "is missing, and reading takes 20 times as long without it; install the package crc32c"
        yield Finding(Verdict.BAD, "crc32c", sentence)
    version = ".".join(map(str, reached.version))
    if reached.version < _LEAST_VERSION:
        sentence = f"is version {version}; {'.'.join(map(str, _LEAST_VERSION))} or newer is needed"
        yield Finding(Verdict.BAD, reached.server, sentence)
    else:
        sentence = f"Kafka {version} or newer, brokers: {', '.join(reached.brokers)}; kafka-python {kafka.__version__}"
        yield Finding(Verdict.GOOD, reached.server, sentence)


def _of_cluster(
    reached: ReachableCluster, admin: KafkaAdminClient, requirements: ClusterRequirements
) -> Iterator[Finding]:
    described = (
        {topic["name"]: topic for topic in admin.describe_topics(list(requirements.topics))}
        if requirements.topics
        else {}
    )
    for name in requirements.topics:
        yield _exists(described[name], requirements, reached)
    counts = {
        name: len(described[name]["partitions"]) for name in requirements.inputs if not described[name]["error_code"]
    }
    yield from _copartitioned(counts, reached)
    usable = [name for name in requirements.topics if not described[name]["error_code"]]
    if usable:
        yield from _limits(read_configs(admin, ConfigResourceType.TOPIC, usable, (MAX_MESSAGE_BYTES,)), requirements)
    if requirements.session_timeout_s:
        yield from _group_limits(admin, requirements)


def _exists(topic: Mapping[str, Any], requirements: ClusterRequirements, reached: ReachableCluster) -> Finding:
    name, error = topic["name"], for_code(topic["error_code"])
    if error is UnknownTopicOrPartitionError:
        if requirements.create:
            return Finding(Verdict.NOTE, name, "does not exist, and is created at the start")
        command = f"kafka-topics.sh --bootstrap-server {reached.server} --create --topic {name}"
        sentence = f"does not exist; create it ({command}, or deploy/kafka/topics.sh for all), or set create_topics"
        return Finding(Verdict.BAD, name, sentence)
    if topic["error_code"]:
        advice = (
            "give this user the rights to describe, read and write" if issubclass(error, AuthorizationError) else ""
        )
        advice = advice or "wait until the cluster has settled"
        return Finding(Verdict.BAD, name, f"cannot be used: {error.__name__}; {advice}")
    needed = "READ" if name in requirements.inputs else "WRITE"
    allowed = topic.get("authorized_operations")
    if allowed and needed not in allowed:
        return Finding(Verdict.BAD, name, f"may not be used by this user; give it the right to {needed.lower()}")
    return Finding(Verdict.GOOD, name, f"{len(topic['partitions'])} partitions")


def _copartitioned(counts: Mapping[str, int], reached: ReachableCluster) -> Iterator[Finding]:
    most = max(counts.values(), default=0)
    for name, count in counts.items():
        if count < most:
            command = f"kafka-topics.sh --bootstrap-server {reached.server} --alter --topic {name} --partitions {most}"
            sentence = (
                f"has {count} partitions and another input topic {most}, so that sessions are torn apart; stop the "
                f"producers, let the group read to the end, and then: {command}"
            )
            yield Finding(Verdict.BAD, name, sentence)


def _limits(configs: Mapping[str, Mapping[str, str]], requirements: ClusterRequirements) -> Iterator[Finding]:
    limits = {name: int(values[MAX_MESSAGE_BYTES]) for name, values in configs.items() if MAX_MESSAGE_BYTES in values}
    most_bytes, dead_letters = requirements.largest_record_bytes, requirements.dead_letters
    for name in requirements.inputs:
        if limits.get(name, 0) > most_bytes:
            sentence = f"takes records of {limits[name]} bytes; larger ones than {most_bytes} are dead-lettered"
            yield Finding(Verdict.NOTE, name, sentence)
    for name in requirements.results:
        if limits.get(name, _LARGEST_RESULT_BYTES) < _LARGEST_RESULT_BYTES:
            yield Finding(Verdict.NOTE, name, _too_small(limits[name], _LARGEST_RESULT_BYTES))
    largest = max((limits[name] for name in requirements.inputs if name in limits), default=0)
    needed = largest + _ADDED_TO_DEAD_LETTERS_BYTES
    if dead_letters in limits and limits[dead_letters] < needed:
        so = ", so that the largest records cannot be dead-lettered in it"
        yield Finding(Verdict.NOTE, dead_letters, _too_small(limits[dead_letters], needed, so))


def _too_small(limit_bytes: int, needed_bytes: int, so: str = "") -> str:
    return f"takes at most {limit_bytes} bytes{so}; set its {MAX_MESSAGE_BYTES} to {needed_bytes} or more"


def _group_limits(admin: KafkaAdminClient, requirements: ClusterRequirements) -> Iterator[Finding]:
    broker = str(admin.describe_cluster()["brokers"][0]["broker_id"])
    keys = (*_SESSION_LIMITS, _METADATA_LIMIT)
    limits = read_configs(admin, ConfigResourceType.BROKER, [broker], keys).get(broker, {})
    if int(limits.get(_METADATA_LIMIT, LIMIT_BYTES)) < LIMIT_BYTES:
        taken = limits[_METADATA_LIMIT]
        sentence = f"the brokers take {taken} bytes with a commit; set their {_METADATA_LIMIT} to {LIMIT_BYTES}"
        yield Finding(Verdict.BAD, requirements.group_id, sentence)
    if not set(_SESSION_LIMITS) <= limits.keys():
        return
    least_s, most_s = (int(limits[key]) / 1000 for key in _SESSION_LIMITS)
    if not least_s <= requirements.session_timeout_s <= most_s:
        sentence = (
            f"session_timeout_s is {requirements.session_timeout_s:g}; the cluster allows {least_s:g} to {most_s:g}"
        )
        yield Finding(Verdict.BAD, requirements.group_id, sentence)


def _lag(admin: KafkaAdminClient, requirements: ClusterRequirements) -> Iterator[Finding]:
    try:
        committed = admin.list_group_offsets({requirements.group_id: None})[requirements.group_id]
        mine = {partition: at.offset for partition, at in committed.items() if partition.topic in requirements.inputs}
        ends = admin.list_partition_offsets(dict.fromkeys(mine, -1)) if mine else {}
    except KafkaError as error:
        yield Finding(Verdict.NOTE, requirements.group_id, f"its progress cannot be seen: {error}")
        return
    if not mine:
        yield Finding(Verdict.GOOD, requirements.group_id, "has committed nothing yet")
    for name in sorted({partition.topic for partition in mine}):
        behind = sum(ends[partition].offset - mine[partition] for partition in mine if partition.topic == name)
        yield Finding(Verdict.GOOD, requirements.group_id, f"{behind} records behind the end of {name}")


def _create_missing(admin: KafkaAdminClient, requirements: ClusterRequirements) -> None:
    described = admin.describe_topics(list(requirements.topics))
    missing = [t["name"] for t in described if for_code(t["error_code"]) is UnknownTopicOrPartitionError]
    if not missing:
        return
    shape = {"num_partitions": requirements.partitions, "replication_factor": requirements.replication_factor or -1}
    limit = {MAX_MESSAGE_BYTES: str(requirements.largest_record_bytes + _ADDED_TO_DEAD_LETTERS_BYTES)}
    topics = {name: shape | {"configs": limit if name == requirements.dead_letters else {}} for name in missing}
    created = admin.create_topics(topics, raise_errors=False)
    harmless = (0, TopicAlreadyExistsError.errno)  # another instance was quicker
    problems = [
        f"{topic['name']}: cannot be created: {topic['error_message'] or for_code(topic['error_code']).__name__}"
        for topic in created["topics"]
        if topic["error_code"] not in harmless
    ]
    if problems:
        raise ChecksFailed(problems)
    admin.wait_for_topics(missing)
