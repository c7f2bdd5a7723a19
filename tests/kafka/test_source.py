"""The Kafka source on a real broker: order, completeness, rebalances."""

import contextlib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.errors import CoordinatorNotAvailableError, NotCoordinatorError
from kafka.net.manager import KafkaConnectionManager
from kafka.protocol.consumer import SyncGroupRequest
from kafka.structs import OffsetAndMetadata
from structlog.testing import capture_logs

from streams.alignment.windows import WindowGrid
from streams.clock import NS_PER_S, SystemClock
from streams.coordinates import Partition
from streams.delivery.checkpoint import session_digest
from streams.delivery.ledger import Ledger
from streams.kafka.connection import Connection
from streams.kafka.consumer_config import KafkaSourceConfig
from streams.kafka.contract import CONTENT_TYPES, InputTopic
from streams.kafka.source import KafkaSource
from streams.records import MEDIA, Assigned, Item, Modality, PartitionIdle, Record, Revoked
from streams.source_state import SourceState
from streams.sources.runner import SourceRunner
from streams.telemetry import NullTelemetry, OffsetResetReason
from tests.kafka.broker import Broker, Cluster
from tests.kafka.conftest import Topics

pytestmark = pytest.mark.kafka

GRID = WindowGrid(4 * NS_PER_S, NS_PER_S)
PATIENCE_S = 60.0


@dataclass
class Counting(NullTelemetry):
    """Remembers what was reported."""

    commits: Counter[str] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)
    pauses: list[int] = field(default_factory=list)
    lags: dict[Modality, float] = field(default_factory=dict)
    resets: list[OffsetResetReason] = field(default_factory=list)

    def commit(self, outcome: str) -> None:
        self.commits[outcome] += 1

    def dropped(self, modality: Modality, reason: str, count: int = 1) -> None:
        self.drops[reason] += count

    def paused(self, partitions: int) -> None:
        self.pauses.append(partitions)

    def offset_reset(self, source: str, reason: OffsetResetReason) -> None:
        self.resets.append(reason)

    def lag(self, source: str, modality: Modality, records: float, seconds: float) -> None:
        self.lags[modality] = records


class Instance:
    """A source with its runner, and what it emits.

    takes: whether records count as delivered at once.
    """

    def __init__(self, topics: Topics, *, takes: bool = True, **config: Any) -> None:
        self.telemetry = Counting()
        self.ledger = Ledger(GRID)
        self.items: list[Item] = []
        self.takes = takes
        inputs = tuple(InputTopic(topics.inputs[at], m, CONTENT_TYPES[m]) for at, m in enumerate(MEDIA))
        settings = {"session_timeout_s": 6.0, "commit_interval_s": 0.1} | config
        connection = Connection((topics.cluster.bootstrap,))
        self.config = KafkaSourceConfig("kafka", connection, topics.group, inputs, **settings)
        self.source = KafkaSource(self.config, self.ledger, SystemClock(), self.telemetry)
        self.runner = SourceRunner(self.source, self._emit, SystemClock(), self.telemetry)

    def _emit(self, item: Item) -> None:
        self.items.append(item)
        if self.takes and isinstance(item, Record) and item.coordinates is not None:
            self.ledger.release(item.coordinates)

    @property
    def records(self) -> list[Record]:
        return [item for item in self.items if isinstance(item, Record)]

    @property
    def payloads(self) -> list[bytes]:
        return [record.payload for record in self.records]

    def start(self) -> "Instance":
        self.runner.start()
        return self

    def stop(self) -> None:
        self.runner.stop()
        assert self.runner.join(10.0)


@pytest.fixture
def instance() -> Iterator[Callable[..., Instance]]:
    started: list[Instance] = []

    def start(topics: Topics, **config: Any) -> Instance:
        started.append(Instance(topics, **config))
        return started[-1].start()

    yield start
    for one in started:
        one.runner.stop()
    for one in started:
        one.runner.join(10.0)


@contextlib.contextmanager
def producing(cluster: Cluster, **options: Any) -> Iterator[KafkaProducer]:
    with KafkaProducer(bootstrap_servers=cluster.bootstrap, acks="all", **options) as producer:
        yield producer
        producer.flush(timeout=PATIENCE_S)


def send(topics: Topics, count: int, *, first: int = 0, number: int | None = None, size_bytes: int = 0) -> list[bytes]:
    """Sends `count` rounds of picture, sound and line; returns the payloads."""
    payloads = []
    with producing(topics.cluster) as producer:
        for at in range(first, first + count):
            for topic in topics.inputs:
                payload = f"{topic.rsplit('.', 1)[1]} {at} ".encode().ljust(size_bytes, b".")
                producer.send(topic, payload, key=b"room %d" % (at % 7), partition=number)
                payloads.append(payload)
    return payloads


def wait(until: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    deadline_s = time.monotonic() + patience_s
    while not until():
        assert time.monotonic() < deadline_s, f"waited {patience_s:g} s for {what}"
        time.sleep(0.02)


def committed(topics: Topics) -> dict[TopicPartition, OffsetAndMetadata]:
    """What the group has committed; nothing while there is no coordinator."""
    with topics.cluster.admin() as admin, contextlib.suppress(CoordinatorNotAvailableError, NotCoordinatorError):
        offsets: dict[TopicPartition, OffsetAndMetadata] = admin.list_group_offsets({topics.group: None})[topics.group]
        return offsets
    return {}


def test_every_record_is_read_once_each_number_after_its_assignment(
    topics: Topics, instance: Callable[..., Instance]
) -> None:
    topics.create()
    sent = send(topics, 50)
    one = instance(topics)
    wait(lambda: len(one.records) >= len(sent), "all records")
    assert sorted(one.payloads) == sorted(sent)
    assert one.source.partitions == (0, 1, 2)
    for number in range(3):
        assigned = [at for at, item in enumerate(one.items) if isinstance(item, Assigned) and item.number == number]
        assert len(assigned) == 1
        for at, item in enumerate(one.items):
            if (
                isinstance(item, Record)
                and item.coordinates is not None
                and item.coordinates.partition.number == number
            ):
                assert at > assigned[0]


def test_topics_are_merged_by_the_time_of_writing(topics: Topics, instance: Callable[..., Instance]) -> None:
    topics.create(partitions=1)
    with producing(topics.cluster) as producer:
        for at in range(600):
            topic = topics.inputs[(at // 7) % 3]
            producer.send(topic, b"%d" % at, key=b"room", timestamp_ms=1_700_000_000_000 + at)
    one = instance(topics, client_options={"max_poll_records": 10})
    wait(lambda: len(one.records) >= 600, "all records")
    assert one.payloads == [b"%d" % at for at in range(600)]


def test_a_silent_topic_is_confirmed_and_holds_nothing_back(topics: Topics, instance: Callable[..., Instance]) -> None:
    topics.create(partitions=1)
    with producing(topics.cluster) as producer:
        producer.send(topics.video, b"picture", key=b"room")
    one = instance(topics)
    wait(lambda: one.payloads == [b"picture"], "the picture")

    def silent_s(topic: str) -> float:
        return (
            sum(i.idle_ns for i in one.items if isinstance(i, PartitionIdle) and i.partition.topic == topic) / NS_PER_S
        )

    began_s = time.monotonic()
    wait(lambda: all(silent_s(topic) > 1.5 for topic in topics.inputs), "silence of all topics")
    taken_s = time.monotonic() - began_s
    assert silent_s(topics.text) < taken_s + 2.0  # time that has passed, not more


def test_a_consumer_that_does_not_take_holds_reading_back_and_loses_nothing(
    topics: Topics, instance: Callable[..., Instance]
) -> None:
    topics.create()
    sent = send(topics, 400, size_bytes=20_000)  # 24 MB
    high = 2 * 2**20
    one = instance(topics, takes=False, high_bytes=high, low_bytes=high // 2)
    wait(lambda: any(one.telemetry.pauses), "a pause")
    time.sleep(1.0)
    assert high <= one.ledger.waiting_bytes < high + 10 * 2**20  # and a fetch of each of nine partitions
    assert one.telemetry.lags[Modality.VIDEO] > 0
    one.takes = True
    for record in one.records:
        assert record.coordinates is not None
        one.ledger.release(record.coordinates)
    wait(lambda: len(one.records) >= len(sent), "all records")
    assert sorted(one.payloads) == sorted(sent)
    wait(lambda: one.telemetry.pauses[-1] == 0, "reading without pauses")


def test_a_topic_that_others_wait_for_is_read_above_the_mark(topics: Topics, instance: Callable[..., Instance]) -> None:
    topics.create(partitions=1)
    with producing(topics.cluster) as producer:
        for at in range(200):  # a megabyte of pictures, then all lines of that time
            producer.send(topics.video, b"v" * 5000, key=b"room", timestamp_ms=1_700_000_000_000 + 10 * at)
        for at in range(200):
            producer.send(topics.text, b"t", key=b"room", timestamp_ms=1_700_000_000_005 + 10 * at)
    one = instance(topics, high_bytes=100_000, low_bytes=50_000)
    wait(lambda: len(one.records) >= 400, "all records")
    assert [payload[:1] for payload in one.payloads] == [b"v", b"t"] * 200


def test_a_second_instance_takes_over_part_and_gives_it_back(topics: Topics, instance: Callable[..., Instance]) -> None:
    topics.create(partitions=4)
    one = instance(topics)
    wait(lambda: one.source.partitions == (0, 1, 2, 3), "all numbers")
    two = instance(topics)
    wait(lambda: len(one.source.partitions) == len(two.source.partitions) == 2, "two numbers each")
    assert sorted(one.source.partitions + two.source.partitions) == [0, 1, 2, 3]
    kept = one.source.partitions
    assert Counter(type(item) for item in one.items if not isinstance(item, PartitionIdle)) == {Assigned: 4, Revoked: 1}
    sent = send(topics, 40)
    wait(lambda: len(one.records) + len(two.records) >= len(sent), "all records")
    assert sorted(one.payloads + two.payloads) == sorted(sent)
    assert {r.coordinates.partition.number for r in one.records if r.coordinates} <= set(kept)
    two.stop()
    wait(lambda: one.source.partitions == (0, 1, 2, 3), "all numbers again")
    more = send(topics, 40, first=40)
    wait(lambda: len(one.records) + len(two.records) >= len(sent) + len(more), "the rest")
    assert sorted(one.payloads + two.payloads) == sorted(sent + more)


def test_three_instances_come_and_go_and_no_record_is_missed_or_read_by_two(
    topics: Topics, instance: Callable[..., Instance]
) -> None:
    topics.create(partitions=6)
    sent, halt = [], threading.Event()

    def produce() -> None:
        first = 0
        while not halt.is_set():
            sent.extend(send(topics, 10, first=first))
            first += 10

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        group = [instance(topics)]
        for _ in range(2):
            time.sleep(0.7)
            group.append(instance(topics))
        wait(lambda: all(len(one.source.partitions) == 2 for one in group), "two numbers each")
        group[1].stop()
        wait(lambda: len(group[0].source.partitions) == len(group[2].source.partitions) == 3, "three numbers each")
    finally:
        halt.set()
        producer.join()
    wait(lambda: {p for one in group for p in one.payloads} >= set(sent), "all records")
    reads = Counter(payload for one in group for payload in one.payloads)
    assert set(reads) == set(sent)
    # What was read and not committed when a number moved may be read once more, by the new owner.
    assert max(reads.values()) <= 3
    offsets = defaultdict(list)
    for one in group:
        for record in one.records:
            assert record.coordinates is not None
            offsets[id(one), record.coordinates.partition].append(record.coordinates.offset)
    assert all(read == sorted(read) for read in offsets.values())


def test_partitions_that_are_added_are_shared_out(topics: Topics, instance: Callable[..., Instance]) -> None:
    topics.create(partitions=2)
    often = {"metadata_max_age_ms": 500}
    one, two = instance(topics, client_options=often), instance(topics, client_options=often)
    wait(lambda: len(one.source.partitions) == len(two.source.partitions) == 1, "both to read one number")
    with topics.cluster.admin() as admin:
        admin.create_partitions(dict.fromkeys(topics.inputs, 4))
    wait(lambda: len(one.source.partitions) == len(two.source.partitions) == 2, "both to read two numbers")
    assert sorted(one.source.partitions + two.source.partitions) == [0, 1, 2, 3]


def test_a_rebalance_that_takes_longer_than_a_poll_comes_to_its_end(
    topics: Topics, instance: Callable[..., Instance], monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.create(partitions=1)
    send = KafkaConnectionManager.send

    def send_late(manager: Any, request: Any, *where: Any, **options: Any) -> Any:
        async def later() -> Any:
            await manager._net.sleep(0.5)
            return await send(manager, request, *where, **options)

        return later() if isinstance(request, SyncGroupRequest) else send(manager, request, *where, **options)

    monkeypatch.setattr(KafkaConnectionManager, "send", send_late)
    one = instance(topics, client_options={"metadata_max_age_ms": 200})
    wait(lambda: len(one.source.partitions) == 1, "one number to be read")
    with topics.cluster.admin() as admin:
        admin.create_partitions(dict.fromkeys(topics.inputs, 2))
    wait(lambda: len(one.source.partitions) == 2, "both numbers to be read")


def test_a_static_instance_keeps_its_numbers_over_a_restart(topics: Topics, instance: Callable[..., Instance]) -> None:
    topics.create(partitions=4)
    one, two = instance(topics, instance_id="one"), instance(topics, instance_id="two")
    wait(lambda: len(one.source.partitions) == len(two.source.partitions) == 2, "two numbers each")
    before, emitted = two.source.partitions, len([i for i in one.items if not isinstance(i, PartitionIdle)])
    two.stop()
    again = instance(topics, instance_id="two")
    wait(lambda: again.source.partitions == before, "the same numbers")
    assert len([i for i in one.items if not isinstance(i, PartitionIdle)]) == emitted


def test_an_instance_that_dies_loses_its_numbers_within_the_session_timeout(
    topics: Topics, instance: Callable[..., Instance]
) -> None:
    topics.create(partitions=2)
    one = instance(topics)
    wait(lambda: one.source.partitions == (0, 1), "all numbers")
    two = instance(topics)
    wait(lambda: len(two.source.partitions) == 1, "one number each")
    dead = two.source._consumer
    dead._coordinator._disable_heartbeat()  # as if its process were gone
    two.source._member.run_once = lambda emit, stop: stop.wait(0.05)  # type: ignore[method-assign, union-attr]
    within_s = two.config.session_timeout_s + 15.0
    wait(lambda: one.source.partitions == (0, 1), "all numbers again", patience_s=within_s)
    del two.source._member.run_once  # type: ignore[union-attr]  # it was only cut off, and is back
    wait(lambda: len(one.source.partitions) == len(two.source.partitions) == 1, "one number each again")
    assert [type(item) for item in two.items if not isinstance(item, PartitionIdle)] == [Assigned, Revoked, Assigned]
    sent = send(topics, 10)
    wait(lambda: len(one.records) + len(two.records) >= len(sent), "all records")
    assert sorted(one.payloads + two.payloads) == sorted(sent)


def test_aborted_transactions_are_not_read_and_their_marks_hold_nothing_back(
    topics: Topics, instance: Callable[..., Instance]
) -> None:
    topics.create(partitions=1)
    with producing(topics.cluster, transactional_id=topics.prefix) as producer:
        producer.init_transactions()
        for word, end in ((b"kept", producer.commit_transaction), (b"dropped", producer.abort_transaction)):
            producer.begin_transaction()
            producer.send(topics.text, word, key=b"room")
            end()
    with producing(topics.cluster) as producer:
        producer.send(topics.video, b"picture", key=b"room")
    one = instance(topics)
    wait(lambda: sorted(one.payloads) == [b"kept", b"picture"], "what was committed")
    wait(lambda: any(isinstance(i, PartitionIdle) and i.partition.topic == topics.text for i in one.items), "silence")
    assert one.telemetry.lags.get(Modality.TEXT, 0) == 0


def test_what_is_delivered_is_committed_and_read_on_from_there(
    topics: Topics, instance: Callable[..., Instance]
) -> None:
    topics.create(partitions=1)
    send(topics, 20)
    one = instance(topics)
    wait(lambda: len(one.records) == 60, "all records")
    wait(lambda: {at.offset for at in committed(topics).values()} == {20}, "the commit of all")
    one.stop()
    assert one.telemetry.commits["committed"] > 0
    more = send(topics, 5, first=20)
    two = instance(topics)
    wait(lambda: len(two.records) >= 15, "the rest")
    assert sorted(two.payloads) == sorted(more)


def test_what_is_needed_still_is_read_again_with_what_was_published(
    topics: Topics, instance: Callable[..., Instance]
) -> None:
    topics.create(partitions=1)
    send(topics, 10)
    one = instance(topics, takes=False)
    wait(lambda: len(one.records) == 30, "all records")
    assignment = next(item.assignment for item in one.items if isinstance(item, Assigned))
    for record in one.records:
        assert record.coordinates is not None
        lease = one.ledger.lease(assignment, record.session)
        one.ledger.retain(lease, record.coordinates, record.coordinates.offset)
    for session in {record.session for record in one.records}:
        one.ledger.advance(one.ledger.lease(assignment, session), 4)  # windows up to 3 are published
    wait(lambda: {at.offset for at in committed(topics).values()} == {4}, "the commit")
    one.stop()
    two = instance(topics)
    wait(lambda: len(two.records) >= 18, "the rest")
    assert {record.coordinates.offset for record in two.records if record.coordinates} == set(range(4, 10))
    restored = next(item.assignment.restored for item in two.items if isinstance(item, Assigned))
    assert restored == {session_digest(f"room {at}"): 4 for at in range(7)}


def test_giving_up_partitions_commits_them_first(topics: Topics, instance: Callable[..., Instance]) -> None:
    topics.create(partitions=2)
    sent = send(topics, 20)
    one = instance(topics, commit_interval_s=60.0)
    wait(lambda: len(one.records) >= len(sent), "all records")
    assert not committed(topics)
    two = instance(topics, commit_interval_s=60.0)
    wait(lambda: len(two.source.partitions) == 1, "one number")
    moved = two.source.partitions[0]
    assert {partition.partition for partition in committed(topics)} == {moved}
    wait(lambda: one.source.unready_reason() is None, "the rebalance to be over, in which the group takes no commits")
    one.stop()
    assert {partition.partition for partition in committed(topics)} == {0, 1}
    wait(lambda: two.source.partitions == (0, 1), "all numbers")
    assert two.records == []


def test_with_transactions_the_source_commits_nothing(topics: Topics, instance: Callable[..., Instance]) -> None:
    topics.create(partitions=1)
    sent = send(topics, 5)
    one = instance(topics, commits=False)
    wait(lambda: len(one.records) >= len(sent), "all records")
    member = one.source.group_metadata()
    assert member.group_id == topics.group
    assert member.generation_id > 0
    one.stop()
    assert not committed(topics)
    assert one.source.group_metadata().generation_id == -1


def test_a_source_is_ready_while_its_brokers_answer(
    own_broker: Callable[..., Broker], instance: Callable[..., Instance]
) -> None:
    broker = own_broker()
    topics = Topics(broker, "test").create(partitions=2)
    one = instance(topics, session_timeout_s=3.0)
    assert one.source.unready_reason() == "source kafka is not in its group yet"
    wait(lambda: one.source.unready_reason() is None, "both partition numbers to be read")
    assert one.source.partitions == (0, 1)
    broker.pause()
    wait(
        lambda: "no answer from its brokers for 5 s" in (one.source.unready_reason() or ""), "the outage to be reported"
    )
    broker.resume()
    wait(lambda: one.source.unready_reason() is None, "the brokers to answer again")


def test_latest_begins_at_the_end(topics: Topics, instance: Callable[..., Instance]) -> None:
    topics.create(partitions=1)
    send(topics, 5)
    one = instance(topics, start="latest")
    wait(lambda: one.source.partitions == (0,), "the number")
    sent = send(topics, 5, first=5)
    wait(lambda: len(one.records) >= len(sent), "what is new")
    assert sorted(one.payloads) == sorted(sent)


def test_what_retention_has_deleted_is_counted_and_passed_over(
    topics: Topics, instance: Callable[..., Instance]
) -> None:
    topics.create(partitions=1)
    send(topics, 4)
    one = instance(topics)
    wait(lambda: {at.offset for at in committed(topics).values()} == {4}, "the commit")
    one.stop()
    send(topics, 6, first=4)
    topics.cluster.delete_records(topics.text, 0, before=7)
    two = instance(topics)
    wait(lambda: len(two.records) >= 15, "the rest")
    texts = [r.coordinates.offset for r in two.records if r.modality is Modality.TEXT and r.coordinates]
    assert texts == [7, 8, 9]
    assert two.telemetry.drops == {"retention": 3}


def test_what_retention_deletes_while_reading_is_held_back_is_counted_too(
    topics: Topics, instance: Callable[..., Instance]
) -> None:
    topics.create(partitions=1)
    send(topics, 200, size_bytes=5000)
    one = instance(topics, takes=False, high_bytes=60_000, low_bytes=30_000)
    wait(lambda: any(one.telemetry.pauses), "a pause")
    with topics.cluster.admin() as admin:
        admin.delete_records({TopicPartition(topic, 0): 190 for topic in topics.inputs})
    read_before = len(one.records)
    one.takes = True
    for record in one.records:
        assert record.coordinates is not None
        one.ledger.release(record.coordinates)
    wait(lambda: sum(r.coordinates.offset == 199 for r in one.records if r.coordinates) == 3, "the last records")
    assert one.telemetry.drops["retention"] + len(one.records) == 600
    assert one.telemetry.drops["retention"] > 0
    assert len(one.records) < read_before + 600
    wait(lambda: {at.offset for at in committed(topics).values()} == {200}, "the commit of all")


def test_draining_takes_nothing_more_and_commits_what_is_delivered(
    topics: Topics, instance: Callable[..., Instance]
) -> None:
    topics.create(partitions=1)
    send(topics, 5)
    one = instance(topics, takes=False)
    wait(lambda: len(one.records) == 15, "all records")
    one.source.drain()
    time.sleep(0.5)
    send(topics, 5, first=5)
    for record in one.records:
        assert record.coordinates is not None
        one.ledger.release(record.coordinates)
    wait(lambda: {at.offset for at in committed(topics).values()} == {5}, "the commit")
    assert len(one.records) == 15
    began_s = time.monotonic()
    one.stop()
    assert time.monotonic() - began_s < 5.0
    assert isinstance(one.items[-1], Revoked)


def test_a_broker_that_stops_answering_ends_nothing(own_broker: Callable[..., Broker]) -> None:
    broker = own_broker()
    topics = Topics(broker, "paused").create(partitions=1)
    sent = send(topics, 5)
    one = Instance(topics, session_timeout_s=30.0).start()
    try:
        wait(lambda: len(one.records) >= len(sent), "all records")
        broker.pause()
        time.sleep(1.5)
        idle_notices = len([item for item in one.items if isinstance(item, PartitionIdle)])
        time.sleep(1.5)
        assert len([item for item in one.items if isinstance(item, PartitionIdle)]) <= idle_notices + 3
        broker.resume()
        more = send(topics, 5, first=5)
        wait(lambda: len(one.records) >= len(sent) + len(more), "what came after")
        assert sorted(one.payloads) == sorted(sent + more)
        assert one.runner.state is SourceState.RUNNING
    finally:
        one.stop()


def test_an_instance_leaves_in_time_though_the_broker_does_not_answer(own_broker: Callable[..., Broker]) -> None:
    broker = own_broker()
    topics = Topics(broker, "left").create(partitions=1)
    sent = send(topics, 5)
    one = Instance(topics).start()
    wait(lambda: len(one.records) >= len(sent), "all records")
    broker.pause()
    began_s = time.monotonic()
    one.stop()
    assert time.monotonic() - began_s < 6.0
    assert isinstance(one.items[-1], Revoked)


def test_a_broker_that_is_killed_and_comes_back_is_read_on(own_broker: Callable[..., Broker]) -> None:
    broker = own_broker()
    topics = Topics(broker, "killed").create(partitions=2)
    sent = send(topics, 20)
    one = Instance(topics).start()
    try:
        wait(lambda: len(one.records) >= len(sent), "all records")
        broker.kill()
        time.sleep(4.0)
        broker.start()
        more = send(topics, 20, first=20)
        wait(lambda: set(one.payloads) >= set(sent + more), "what came after")
        assert one.runner.state is SourceState.RUNNING
        wait(lambda: sum(at.offset for at in committed(topics).values()) == 120, "the commit of all")
    finally:
        one.stop()


def test_a_batch_that_was_damaged_on_disk_costs_only_itself(own_broker: Callable[..., Broker]) -> None:
    broker = own_broker()
    topics = Topics(broker, "damaged").create(partitions=1)
    with producing(broker, linger_ms=200) as producer:
        for word in (b"before", b"damaged", b"after"):
            for at in range(3):
                producer.send(topics.text, word + b" %d" % at, key=b"room")
            producer.flush()
        producer.send(topics.video, b"picture", key=b"room")
    broker.stop()
    log = broker.folder / "data" / f"{topics.text}-0" / "00000000000000000000.log"
    log.write_bytes(log.read_bytes().replace(b"damaged 1", b"dAmaged 1"))
    broker.start()
    one = Instance(topics).start()
    try:
        wait(lambda: len(one.records) >= 7, "all records that can be read")
        assert [r.payload for r in one.records if r.modality is Modality.TEXT] == [
            *(b"before %d" % at for at in range(3)),
            *(b"after %d" % at for at in range(3)),
        ]
        assert one.telemetry.drops == {"unreadable": 3}
        assert one.runner.error is None
        wait(lambda: sum(at.offset for at in committed(topics).values()) == 10, "the commit of all")
    finally:
        one.stop()


def test_a_source_whose_topics_are_missing_says_so_and_is_opened_again(
    topics: Topics, instance: Callable[..., Instance]
) -> None:
    one = instance(topics)
    wait(lambda: one.runner.error is not None, "the error")
    assert topics.video in str(one.runner.error)
    topics.create()
    wait(lambda: one.source.partitions == (0, 1, 2), "all numbers")
    assert one.runner.error is None


def test_a_topic_that_is_deleted_is_named_until_it_is_there_again_and_the_others_are_read_meanwhile(
    topics: Topics, instance: Callable[..., Instance]
) -> None:
    topics.create(partitions=2)
    sent = send(topics, 5)
    one = instance(topics)
    wait(lambda: len(one.records) >= len(sent), "all records")
    wait(lambda: one.source.unready_reason() is None, "readiness")
    with capture_logs() as logs:
        topics.cluster.delete_topics([topics.audio])
        wait(lambda: topics.audio in (one.source.unready_reason() or ""), "the topic to be named")
        with producing(topics.cluster) as producer:
            for topic in (topics.video, topics.text):
                producer.send(topic, b"meanwhile", key=b"room")
        wait(lambda: one.payloads.count(b"meanwhile") == 2, "what came meanwhile")
        time.sleep(2.0)
        topics.cluster.create_topics([topics.audio], partitions=2)
        wait(lambda: one.source.unready_reason() is None, "readiness without doing anything")
        more = send(topics, 5, first=5)
        wait(lambda: set(one.payloads) >= set(more), "what came after")
    events = [line["event"] for line in logs if line["log_level"] in ("warning", "error") or "topic" in line]
    assert events == ["an input topic does not exist any more", "an input topic is back"]
    assert one.telemetry.resets == [OffsetResetReason.RECREATED]
    assert one.runner.error is None


def test_a_topic_that_is_deleted_and_recreated_at_once_is_read_from_its_beginning(
    topics: Topics, instance: Callable[..., Instance]
) -> None:
    topics.create(partitions=1)
    send(topics, 3)
    one = instance(topics)
    wait(lambda: {at.offset for at in committed(topics).values()} == {3}, "the commit")
    topics.cluster.delete_topics([topics.text])
    topics.cluster.create_topics([topics.text], partitions=1)
    with producing(topics.cluster) as producer:  # more than was read of the one before: no offset is out of range
        for at in range(10):
            producer.send(topics.text, b"new %d" % at, key=b"room")
    wait(lambda: {b"new %d" % at for at in range(10)} <= set(one.payloads), "all of the new topic")


def test_topics_with_unequal_partitions_are_reported_until_they_are_equal(
    topics: Topics, instance: Callable[..., Instance]
) -> None:
    topics.create(partitions=1)
    one = instance(topics, client_options={"metadata_max_age_ms": 500})
    wait(lambda: one.source.unready_reason() is None, "readiness")
    with topics.cluster.admin() as admin:
        admin.create_partitions({topics.video: 2})
        wait(
            lambda: f"unequal partitions ({topics.video} 2" in (one.source.unready_reason() or ""),
            "the counts to be reported",
        )
        admin.create_partitions(dict.fromkeys((topics.audio, topics.text), 2))
    wait(lambda: one.source.unready_reason() is None, "readiness")
    assert one.source.partitions == (0, 1)


def test_an_instance_whose_name_another_takes_is_fenced(topics: Topics, instance: Callable[..., Instance]) -> None:
    topics.create(partitions=1)
    one = instance(topics, instance_id="same")
    wait(lambda: one.source.partitions == (0,), "the number")
    instance(topics, instance_id="same")
    wait(lambda: one.runner.error is not None, "the error")
    assert "instance_id" in str(one.runner.error)
    assert Partition(topics.video, 0) not in one.ledger.checkpoint() or one.runner.state is SourceState.RUNNING
