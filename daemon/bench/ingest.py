"""Benchmark of reading from Kafka, compared with a bare poll loop.

The loop does nothing but call `poll` of kafka-python with the settings of our source; on the same broker, in turns,
the same records go all the way into the timeline (`daemon.bench.streaming`). Then many sessions are written at the
pace at which they happen by a process of their own, and the streaming half has to keep up. The broker is on this
machine as a rule, so both compete with it for the cores.
"""

import multiprocessing
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import quantiles
from uuid import uuid4

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from daemon.bench.feeding import live, write
from daemon.bench.measure import Effort, Figure, figure
from daemon.bench.streaming import StreamingHalf
from streams.clock import NS_PER_S, SystemClock
from streams.kafka.assignor import CoPartitionedAssignor
from streams.kafka.connection import Connection
from streams.kafka.consumer_config import KafkaSourceConfig, consumer_options
from streams.kafka.contract import CONTENT_TYPES, InputTopic
from streams.kafka.errors import BrokerUnavailable, broker_errors
from streams.kafka.reachability import probe_cluster
from streams.records import MEDIA, Modality

_PARTITIONS = 3
_BROKER_SETTINGS = {"retention.ms": "3600000"}  # should the topics outlive the benchmark
_LOOK_S = 0.002
_SAMPLE_S = 0.5
_PATIENCE_NS = 120 * NS_PER_S  # ten times what a slow machine takes
_SETTLE_S = 4.0  # until the group is joined and what was written meanwhile is read


def ingest(effort: Effort, connection: Connection) -> Iterator[Figure]:
    """Frames and chat against the poll loop, then sessions as they happen.

    Raises Unreachable or Refused where the cluster does not answer, BrokerUnavailable if it goes away.
    """
    probe_cluster(connection)
    for name, modality, count in (
        ("frames of 75 KB", Modality.VIDEO, effort.frames),
        ("chat of 200 bytes", Modality.TEXT, effort.lines),
    ):
        with _topics(connection, modality) as (topic,):
            write(connection, topic, count, effort.sessions)
            yield _against_poll_loop(name, connection, topic, count, effort.scored_rounds)
    with _topics(connection, *MEDIA) as topics:
        yield from _as_it_happens(connection, topics, effort)


@contextmanager
def _topics(connection: Connection, *modalities: Modality) -> Iterator[tuple[InputTopic, ...]]:
    """Topics of our own; deleted in the end."""
    prefix = f"affectd-bench-{uuid4().hex[:12]}"
    topics = tuple(InputTopic(f"{prefix}.{m}", m, CONTENT_TYPES[m]) for m in modalities)
    wanted = {"num_partitions": _PARTITIONS, "replication_factor": -1, "configs": _BROKER_SETTINGS}
    names = [topic.name for topic in topics]
    with broker_errors(connection, "topics for the benchmark cannot be made"):
        admin = KafkaAdminClient(**connection.options())
        with admin:
            admin.create_topics(dict.fromkeys(names, wanted), wait_for_metadata=True)
            try:
                yield topics
            finally:
                admin.delete_topics(names)


def _against_poll_loop(name: str, connection: Connection, topic: InputTopic, count: int, rounds: int) -> Figure:
    """Times both in turns; takes the least of each.

    A first round is not counted.
    """
    took_s = [(_poll_loop(connection, topic, count), _through(connection, topic, count)) for _ in range(rounds + 1)]
    bare_s, ours_s = (min(each) for each in zip(*took_s[1:], strict=True))
    return figure(
        "ingest",
        f"{name}, into the timeline",
        count / ours_s,
        "records/s",
        ratio=bare_s / ours_s,
        against="a bare poll loop",
        poll_loop_per_s=count / bare_s,
        records=count,
    )


def _poll_loop(connection: Connection, topic: InputTopic, count: int) -> float:
    """Seconds from when the partitions are assigned until all is polled."""
    clock = SystemClock()
    ours = consumer_options(KafkaSourceConfig("bare", connection, "", (topic,)), CoPartitionedAssignor())
    of_groups = ("group_id", "group_instance_id", "partition_assignment_strategy")
    with KafkaConsumer(**{name: value for name, value in ours.items() if name not in of_groups}) as consumer:
        partitions = [TopicPartition(topic.name, number) for number in range(_PARTITIONS)]
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        began_ns, polled = clock.monotonic_ns(), 0
        while polled < count:
            polled += sum(map(len, consumer.poll(timeout_ms=100).values()))
        return (clock.monotonic_ns() - began_ns) / NS_PER_S


def _through(connection: Connection, topic: InputTopic, count: int) -> float:
    """Seconds from the partition assignment until all is in the timeline."""
    half, never = StreamingHalf(connection, (topic,)), threading.Event()
    clock = half.instruments.clock
    half.start()
    deadline_ns = clock.monotonic_ns() + _PATIENCE_NS
    try:
        while half.records < count or half.waiting:
            if clock.monotonic_ns() > deadline_ns:
                raise BrokerUnavailable(
                    f"{half.records} of {count} records were read within {_PATIENCE_NS // NS_PER_S} s"
                )
            clock.wait(never, _LOOK_S)
        return (clock.monotonic_ns() - half.began_ns) / NS_PER_S
    finally:
        half.stop()


@dataclass(frozen=True, slots=True)
class _Sample:
    """One sample: records of lag, records taken, CPU seconds used."""

    at_ns: int
    behind: float
    taken: int
    used_s: float


def _as_it_happens(connection: Connection, topics: tuple[InputTopic, ...], effort: Effort) -> Iterator[Figure]:
    spawning = multiprocessing.get_context("spawn")
    writer = spawning.Process(target=live, args=(connection, topics, effort.sessions), daemon=True)
    half, never = StreamingHalf(connection, topics), threading.Event()
    clock = half.instruments.clock
    half.start()
    writer.start()
    try:
        while not half.records:
            if not writer.is_alive():
                raise BrokerUnavailable("what is to be read as it happens could not be written")
            clock.wait(never, _LOOK_S)
        clock.wait(never, _SETTLE_S)
        first, windows, lines = _sample(half), half.engine.windows, len(half.engine.arrival_s)
        samples = []
        while (clock.monotonic_ns() - first.at_ns) < effort.live_s * NS_PER_S:
            clock.wait(never, _SAMPLE_S)
            samples.append(_sample(half))
        processing_s, arrival_s = half.engine.processing_s[windows:], half.engine.arrival_s[lines:]
    finally:
        writer.terminate()
        writer.join()
        half.stop()
    last = samples[-1]
    took_s = (last.at_ns - first.at_ns) / NS_PER_S
    many: Figure = {"sessions": effort.sessions}
    yield figure("ingest", "as it happens, taken", (last.taken - first.taken) / took_s, "records/s", **many)
    yield figure("ingest", "as it happens, CPU", (last.used_s - first.used_s) / took_s, "cores", **many)
    behind = [sample.behind for sample in samples]
    yield figure("ingest", "as it happens, lag p50", _percentile(behind, 50), "records", **many)
    yield figure("ingest", "as it happens, lag at most", max(behind), "records", **many)
    for name, seconds in (("processing_seconds", processing_s), ("line written to taken", arrival_s)):
        for percent in (50, 99):
            value = _percentile(seconds, percent)
            yield figure("ingest", f"as it happens, {name} p{percent}", value, "s", of=len(seconds), **many)


def _sample(half: StreamingHalf) -> _Sample:
    registry = half.instruments.metrics.registry
    behind = [
        registry.get_sample_value("affectd_source_lag_records", {"source": "kafka", "modality": modality}) or 0.0
        for modality in MEDIA
    ]
    used = resource.getrusage(resource.RUSAGE_SELF)
    return _Sample(half.instruments.clock.monotonic_ns(), sum(behind), half.records, used.ru_utime + used.ru_stime)


def _percentile(values: list[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]
