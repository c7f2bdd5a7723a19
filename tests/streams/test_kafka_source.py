"""The Kafka source on a fake consumer, in virtual time."""

import math
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import kafka.errors as errors
import pytest
from kafka import TopicPartition
from kafka.consumer.fetcher import ConsumerRecord, Fetcher
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment
from kafka.structs import OffsetAndMetadata
from structlog.testing import capture_logs

from streams.alignment.windows import WindowGrid
from streams.clock import NS_PER_MS, NS_PER_S, ManualClock
from streams.coordinates import Partition
from streams.deadline import Deadline
from streams.delivery.checkpoint import encode
from streams.delivery.ledger import Ledger
from streams.kafka.assignor import CoPartitionedAssignor
from streams.kafka.connection import Connection
from streams.kafka.consumer_config import KafkaSourceConfig, consumer_options
from streams.kafka.contract import InputTopic
from streams.kafka.membership import GroupMember
from streams.kafka.start_offsets import StartOffset, emitted_through, fetch_start_offsets
from streams.records import Assigned, Item, Modality, PartitionIdle, Record, Revoked
from streams.sources.base import SourceError
from streams.telemetry import NullTelemetry, OffsetResetReason

pytestmark = pytest.mark.unit

GRID = WindowGrid(4 * NS_PER_S, NS_PER_S)
VIDEO, TEXT = Partition("video", 0), Partition("text", 0)
BOTH = (VIDEO, TEXT)


class Metadata:
    """The client's metadata of topics: partition counts and topic ids."""

    def __init__(self, **counts: int) -> None:
        self.counts = counts
        self.ids = {name: f"id of {name}" for name in counts}
        self.unauthorized_topics: set[str] = set()

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self.counts[topic])) if topic in self.counts else None

    def topic_id(self, topic: str) -> str | None:
        return self.ids.get(topic)


class Consumer:
    """A consumer of logs in memory; polls raise `faults`, one each."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.logs: dict[Partition, list[ConsumerRecord]] = {}
        self.beginnings: dict[Partition, int] = {}
        self.offsets: dict[Partition, OffsetAndMetadata] = {}
        self.positions: dict[Partition, int] = {}
        self.paused: set[Partition] = set()
        self.faults: list[Exception] = []
        self.commits: list[dict[Partition, OffsetAndMetadata]] = []
        self.commit_answer: object = None
        self.answer: Callable[[], None] = lambda: None
        self._manager = SimpleNamespace(wait_for=self._wait_for)
        self._cluster = Metadata(video=1, text=1)
        self._fetcher = SimpleNamespace(_next_partition_records=None, _next_in_line_exception_metadata=None)

    def subscribe(self, topics: list[str], listener: Any) -> None:
        self.listener = listener

    def assign(self, *partitions: Partition) -> None:
        for partition in partitions:
            self.logs.setdefault(partition, [])
            self.positions[partition] = -1
        run(self.listener.on_partitions_assigned(topic_partitions(partitions)))

    def revoke(self, *partitions: Partition) -> None:
        for partition in partitions:
            del self.positions[partition]
            self.paused.discard(partition)
        run(self.listener.on_partitions_revoked(topic_partitions(partitions)))

    def write(self, partition: Partition, *values: bytes, written_s: float | None = None) -> None:
        log = self.logs.setdefault(partition, [])
        for value in values:
            written_ms = self.clock.wall_ns() // NS_PER_MS if written_s is None else round(written_s * 1000)
            log.append(
                ConsumerRecord(*partition, 0, len(log), written_ms, 0, b"room", value, [], None, 4, len(value), -1)
            )

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[ConsumerRecord]]:
        if self.faults:
            raise self.faults.pop(0)
        polled = {}
        for partition in self.positions.keys() - self.paused:
            if messages := self.logs[partition][self.positions[partition] :]:
                polled[TopicPartition(*partition)] = messages
                self.positions[partition] = messages[-1].offset + 1
        if not polled:
            self.clock.advance(timeout_ms / 1000)
        return polled

    def pause(self, *partitions: TopicPartition) -> None:
        assert self.positions.keys() >= set(partitions)
        self.paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        assert self.positions.keys() >= set(partitions)
        self.paused -= set(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        assert partition in self.positions
        self.positions[partition] = offset

    def position(self, partition: TopicPartition, timeout_ms: int) -> int:
        return self.positions[partition]

    def highwater(self, partition: TopicPartition) -> int:
        return len(self.logs[partition])

    def beginning_offsets(self, partitions: list[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        self.answer()
        return {partition: self.beginnings.get(partition, 0) for partition in partitions}

    def end_offsets(self, partitions: list[TopicPartition], timeout_ms: int) -> dict[TopicPartition, int]:
        self.answer()
        return {partition: len(self.logs[partition]) for partition in partitions}

    def committed(self, partition: TopicPartition, metadata: bool, timeout_ms: int) -> OffsetAndMetadata | None:
        return self.offsets.get(partition)

    def commit_async(self, offsets: dict[Partition, OffsetAndMetadata], callback: Callable[..., None]) -> object:
        self.commits.append(offsets)
        callback(offsets, self.commit_answer)
        return self.commit_answer

    def close(self, timeout_ms: int) -> None:
        """Leaves the group."""

    async def _wait_for(self, answer: object, timeout_ms: int) -> None:
        if isinstance(answer, Exception):
            raise answer


def topic_partitions(partitions: Iterable[Partition]) -> set[TopicPartition]:
    return {TopicPartition(*partition) for partition in partitions}


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    with pytest.raises(StopIteration):
        coroutine.send(None)


@dataclass
class Counting(NullTelemetry):
    commits: Counter[str] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)
    lags: dict[Modality, tuple[float, float]] = field(default_factory=dict)
    resets: list[OffsetResetReason] = field(default_factory=list)
    pauses: int = 0

    def commit(self, outcome: str) -> None:
        self.commits[outcome] += 1

    def dropped(self, modality: Modality, reason: str, count: int = 1) -> None:
        self.drops[reason] += count

    def offset_reset(self, source: str, reason: OffsetResetReason) -> None:
        self.resets.append(reason)

    def lag(self, source: str, modality: Modality, records: float, seconds: float) -> None:
        self.lags[modality] = records, seconds

    def paused(self, partitions: int) -> None:
        self.pauses = partitions


class Bench:
    """A group member on a consumer of our own."""

    def __init__(self, **config: Any) -> None:
        self.clock = ManualClock()
        self.consumer = Consumer(self.clock)
        self.ledger = Ledger(GRID)
        self.telemetry = Counting()
        self.items: list[Item] = []
        self.assignor = CoPartitionedAssignor()
        self.assignor.on_assignment(ConsumerProtocolAssignment(1, [], b""), 1)
        topics = (InputTopic("video", Modality.VIDEO, "image/jpeg"), InputTopic("text", Modality.TEXT, "text/plain"))
        settings = KafkaSourceConfig("kafka", Connection(("nowhere:9092",)), "group", topics, **config)
        self.member = GroupMember(settings, self.consumer, self.assignor, self.ledger, self.clock, self.telemetry)

    def turns(self, count: int = 1) -> "Bench":
        for _ in range(count):
            self.member.run_once(self.items.append, threading.Event())
        return self

    def take(self) -> None:
        """The timeline takes all that was emitted, and needs none of it."""
        for record in self.records:
            assert record.coordinates is not None
            self.ledger.release(record.coordinates)

    @property
    def records(self) -> list[Record]:
        return [item for item in self.items if isinstance(item, Record)]

    @property
    def payloads(self) -> list[bytes]:
        return [record.payload for record in self.records]

    @property
    def idle_notices(self) -> list[PartitionIdle]:
        return [item for item in self.items if isinstance(item, PartitionIdle)]


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.consumer.assign(*BOTH)
    return bench.turns()


def test_partitions_are_paused_until_it_is_known_where_they_begin() -> None:
    bench = Bench()
    bench.consumer.offsets[TEXT] = OffsetAndMetadata(1, "", -1)
    bench.consumer.write(TEXT, b"old", b"new")
    bench.consumer.answer = failing(errors.KafkaTimeoutError("no answer"))
    bench.consumer.assign(*BOTH)
    bench.turns(3)
    assert bench.consumer.paused == set(BOTH)
    assert bench.items == []
    bench.consumer.answer = lambda: None
    bench.turns(20)
    assert bench.payloads == [b"new"]
    assert bench.consumer.paused == set()


def failing(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("committed", "beginning", "policy", "start"),
    [
        (None, 3, "earliest", StartOffset(3)),
        (None, 3, "latest", StartOffset(5)),
        (4, 3, "latest", StartOffset(4, 0, "kept")),
        (5, 3, "earliest", StartOffset(5, 0, "kept")),
        (1, 3, "latest", StartOffset(3, 2, "kept")),
        (6, 3, "latest", StartOffset(3, 0, "kept", truncated=True)),
    ],
    ids=["never read", "never read, latest", "read", "read to the end", "deleted since", "beyond the end"],
)
def test_where_reading_begins(committed: int | None, beginning: int, policy: Any, start: StartOffset) -> None:
    consumer = Consumer(ManualClock())
    consumer.write(TEXT, *[b"line"] * 5)
    consumer.beginnings[TEXT] = beginning
    if committed is not None:
        consumer.offsets[TEXT] = OffsetAndMetadata(committed, "kept", -1)
    assert fetch_start_offsets(consumer, [TEXT], policy) == {TEXT: start}


def test_what_was_published_is_gathered_from_all_partitions_of_a_group() -> None:
    one, two, three = b"first.", b"second", b"third."
    starts = {
        VIDEO: StartOffset(0, 0, encode([(one, 5), (two, 7)], GRID)),
        TEXT: StartOffset(0, 0, encode([(two, 8), (three, 9)], GRID)),
    }
    assert emitted_through(starts, GRID) == {one: 5, two: 8, three: 9}


def test_silence_is_the_time_since_the_last_record_or_answer(bench: Bench) -> None:
    bench.clock.advance(0.4)
    bench.consumer.write(TEXT, b"line")
    bench.turns()
    spoken_ns = bench.clock.monotonic_ns()
    count = len(bench.idle_notices)
    bench.turns(40)
    since = bench.idle_notices[count:]
    for partition in BOTH:
        told_ns = sum(notice.idle_ns for notice in since if notice.partition == partition)
        assert bench.clock.monotonic_ns() - spoken_ns - 500 * NS_PER_MS <= told_ns
        assert told_ns <= bench.clock.monotonic_ns() - (spoken_ns if partition == TEXT else spoken_ns - NS_PER_S)


def test_time_without_answers_is_not_silence(bench: Bench) -> None:
    bench.turns(10)
    count = len(bench.idle_notices)
    bench.consumer.answer = failing(errors.KafkaTimeoutError("no answer"))
    bench.clock.advance(60)
    bench.turns(20)
    assert len(bench.idle_notices) == count
    bench.consumer.answer = lambda: None
    bench.turns(4)
    assert 0 < sum(notice.idle_ns for notice in bench.idle_notices[count:]) <= 2 * 2 * 500 * NS_PER_MS


def test_what_was_known_of_an_end_counts_for_two_seconds(bench: Bench) -> None:
    bench.turns(5)
    bench.consumer.answer = failing(errors.LeaderNotAvailableError())
    bench.clock.advance(1)
    bench.consumer.write(TEXT, b"soon after")
    bench.turns()
    assert bench.payloads == [b"soon after"]
    bench.clock.advance(3)
    bench.turns()
    bench.consumer.write(TEXT, b"long after")
    bench.turns(3)
    assert bench.payloads == [b"soon after"]
    bench.consumer.answer = lambda: None
    bench.turns(5)
    assert bench.payloads == [b"soon after", b"long after"]


def test_a_partition_without_a_leader_is_requested_again(bench: Bench) -> None:
    bench.consumer.answer = failing(KeyError(TopicPartition("text", 0)))
    bench.turns(5)
    count = len(bench.idle_notices)
    bench.consumer.answer = lambda: None
    assert len(bench.turns(5).idle_notices) > count


def full(**config: Any) -> Bench:
    bench = Bench(high_bytes=10_000, low_bytes=5_000, **config)
    bench.consumer.assign(*BOTH)
    return bench.turns()


def test_reading_stops_at_the_high_mark_and_goes_on_at_the_low_mark() -> None:
    bench = full()
    bench.consumer.write(TEXT, *[b"." * 1000] * 6)
    bench.turns()
    assert bench.consumer.paused == set(BOTH)
    bench.consumer.write(TEXT, b"later")
    bench.turns(5)
    assert len(bench.records) == 6
    for record in bench.records[:3]:
        assert record.coordinates is not None
        bench.ledger.release(record.coordinates)
    bench.turns()
    assert bench.consumer.paused == set(BOTH)  # 6 kB wait still
    bench.take()
    bench.turns(3)
    assert bench.consumer.paused == set()
    assert bench.payloads[6:] == [b"later"]


def test_the_partition_that_others_wait_for_is_not_paused() -> None:
    bench = full()
    bench.consumer.write(TEXT, *[b"." * 1000] * 6)
    bench.consumer.answer = failing(errors.KafkaTimeoutError("no answer"))
    bench.clock.advance(3)
    bench.turns(3)
    assert (bench.records, bench.consumer.paused) == ([], {TEXT})
    bench.consumer.write(VIDEO, b"picture", written_s=0)
    bench.turns()
    assert bench.payloads[0] == b"picture"


def test_nothing_is_read_above_the_mark_while_the_timeline_has_enough() -> None:
    bench = full()
    bench.consumer.write(VIDEO, *[b"." * 9000])
    bench.consumer.write(TEXT, *[b"." * 1000] * 6)
    bench.turns()
    bench.consumer.answer = failing(errors.KafkaTimeoutError("no answer"))
    bench.consumer.write(VIDEO, b"picture")
    bench.consumer.write(TEXT, b"line")
    bench.turns(60)
    assert bench.consumer.paused == set(BOTH)


def test_no_partition_is_paused_before_an_error_that_is_due_was_count() -> None:
    bench = full()
    bench.consumer.write(TEXT, *[b"." * 1000] * 6)
    bench.consumer._fetcher._next_in_line_exception_metadata = "an error of TEXT"
    bench.turns()
    assert bench.consumer.paused == set()
    bench.consumer._fetcher._next_in_line_exception_metadata = None
    bench.turns()
    assert bench.consumer.paused == set(BOTH)


def test_what_has_had_its_turn_does_not_keep_parked_records_from_theirs(bench: Bench) -> None:
    bench.consumer._fetcher._next_partition_records = []  # as good as none for kafka-python, and yet not None
    bench.turns()
    assert bench.consumer._fetcher._next_partition_records is None


def test_revoked_partitions_are_committed_and_emitted_to_the_timeline(bench: Bench) -> None:
    bench.consumer.write(TEXT, b"one", b"two")
    bench.turns()
    bench.ledger.release(bench.records[0].coordinates)  # type: ignore[arg-type]
    assignment = next(item.assignment for item in bench.items if isinstance(item, Assigned))
    bench.consumer.revoke(*BOTH)
    assert not assignment.valid
    last = bench.consumer.commits[-1]
    assert {partition: at.offset for partition, at in last.items()} == {VIDEO: 0, TEXT: 1}
    bench.turns()
    assert bench.items[-1] == Revoked(frozenset({0}))
    assert bench.member.owned.positioned == {}


def test_a_rebalance_is_a_line_that_says_which_partitions_came_or_went_and_why() -> None:
    bench = Bench()
    with capture_logs() as logs:
        bench.consumer.assign(*BOTH)
        bench.consumer.revoke(TEXT)
        run(bench.member._listener.on_partitions_lost(topic_partitions([VIDEO])))
        run(bench.member._listener.on_partitions_assigned(set()))
        bench.member.leave(bench.items.append, Deadline.after(bench.clock, 1.0))
        run(bench.member._listener.on_partitions_revoked(topic_partitions([VIDEO])))
    assert [(line["event"], line["partitions"], line["why"]) for line in logs] == [
        ("partitions were assigned", {"text": [0], "video": [0]}, "the group has shared its partitions out"),
        ("partitions were revoked", {"text": [0]}, "the group shares its partitions out again"),
        ("partitions were lost", {"video": [0]}, "the group has expelled this instance: no heartbeat came in time"),
        ("partitions were revoked", {"video": [0]}, "this instance leaves the group"),
    ]


def test_lost_partitions_are_not_committed_nor_claimed(bench: Bench) -> None:
    bench.assignor.on_assignment(SimpleNamespace(partitions=lambda: BOTH), 7)
    run(bench.consumer.listener.on_partitions_lost(topic_partitions(BOTH)))
    bench.consumer.positions.clear()
    bench.turns()
    assert bench.items[-1] == Revoked(frozenset({0}))
    assert bench.consumer.commits == []
    assert bench.assignor.metadata(["text"]).owned_partitions == []


def test_partitions_that_go_before_they_were_placed_leave_no_trace() -> None:
    bench = Bench()
    bench.consumer.assign(*BOTH)
    bench.consumer.revoke(*BOTH)
    assert bench.turns(3).items == []


def test_a_partition_group_that_gets_another_topic_is_read_again_with_it(bench: Bench) -> None:
    bench = Bench()
    bench.consumer.assign(TEXT)
    bench.turns()
    bench.consumer.assign(VIDEO)
    bench.turns(10)
    changes = [item for item in bench.items if isinstance(item, Assigned | Revoked)]
    assert [type(item) for item in changes] == [Assigned, Revoked, Assigned]
    assert bench.member.owned.positioned == {0: (VIDEO, TEXT)}
    assert bench.ledger.checkpoint().keys() == set(BOTH)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (errors.TopicAuthorizationFailedError({"video"}), "allow this user"),
        (errors.GroupAuthorizationFailedError("group"), "allow this user"),
        (errors.SaslAuthenticationFailedError("no"), "password"),
        (errors.FencedInstanceIdError(), "instance_id"),
        (errors.InconsistentGroupProtocolError(), "another group_id"),
        (errors.InvalidSessionTimeoutError(), r"group\.min\.session\.timeout\.ms"),
        (errors.UnsupportedCodecError("lz4"), "install"),
        (errors.KafkaError("User rebalance callback throws an error"), "callback"),
        (ZeroDivisionError("of somebody"), "ZeroDivisionError"),
    ],
)
def test_what_only_a_person_can_mend_breaks_the_source(bench: Bench, error: Exception, advice: str) -> None:
    bench.consumer.faults = [error]
    with pytest.raises(SourceError, match=advice):
        bench.turns()


@pytest.mark.parametrize(
    "error",
    [
        errors.KafkaConnectionError("gone"),
        errors.NodeNotReadyError("coordinator"),
        errors.UnknownMemberIdError(),
        errors.IllegalGenerationError(),
        errors.RebalanceInProgressError(),
        errors.NoOffsetForPartitionError({TEXT}),
        errors.CoordinatorLoadInProgressError(),
    ],
)
def test_what_passes_by_itself_ends_nothing(bench: Bench, error: Exception) -> None:
    bench.consumer.faults = [error] * 50
    bench.consumer.write(TEXT, b"line")
    assert bench.turns(60).payloads == [b"line"]


def test_offsets_that_were_deleted_are_passed_over_and_counted(bench: Bench) -> None:
    bench.consumer.write(TEXT, *[b"line"] * 5)
    bench.consumer.beginnings[TEXT] = 3
    bench.consumer.faults = [errors.OffsetOutOfRangeError({TopicPartition(*TEXT): 0})]
    bench.turns(3)
    assert len(bench.records) == 2
    assert bench.telemetry.drops == {"retention": 3}
    bench.take()
    assert bench.ledger.checkpoint()[TEXT].offset == 5


def test_a_log_that_ends_before_what_was_read_of_it_is_read_again(bench: Bench) -> None:
    bench.consumer.write(TEXT, b"of the log that was deleted")
    bench.turns()
    bench.consumer.offsets[TEXT] = OffsetAndMetadata(2, "", -1)
    bench.consumer.logs[TEXT].clear()
    bench.consumer.faults = [errors.OffsetOutOfRangeError({TopicPartition(*TEXT): 1})]
    bench.turns()
    bench.consumer.write(TEXT, b"of the log of the same name")
    bench.turns(10)
    assert bench.payloads == [b"of the log that was deleted", b"of the log of the same name"]
    assert [type(item) for item in bench.items if isinstance(item, Assigned | Revoked)] == [Assigned, Revoked, Assigned]


def test_a_log_that_lost_its_tail_is_read_again(bench: Bench) -> None:
    bench.consumer.faults = [errors.LogTruncationError({TopicPartition(*TEXT): None})]
    bench.turns(10)
    assert [type(item) for item in bench.items if isinstance(item, Assigned | Revoked)] == [Assigned, Revoked, Assigned]


def unpacking(error: Exception) -> Exception:
    """The error as kafka-python raises it while it unpacks a batch."""

    def next_batch() -> None:
        raise error

    records = SimpleNamespace(next_batch=next_batch)
    try:
        next(Fetcher.PartitionRecords._unpack_records(SimpleNamespace(), TopicPartition(*TEXT), records, None, None))
    except Exception as raised:
        return raised
    raise AssertionError


@pytest.mark.parametrize("error", [errors.CorruptRecordError("failed crc check"), RuntimeError("LZ4F_decompress")])
def test_batches_that_cannot_be_read_are_passed_over_record_by_record(bench: Bench, error: Exception) -> None:
    bench.consumer.write(TEXT, b"damaged", b"damaged", b"good")
    bench.consumer._fetcher._next_partition_records = SimpleNamespace(topic_partition=TopicPartition(*TEXT))
    bench.consumer.faults = [unpacking(error)] * 2
    bench.turns(4)
    assert bench.payloads == [b"good"]
    assert bench.telemetry.drops == {"unreadable": 2}
    bench.take()
    assert bench.ledger.checkpoint()[TEXT].offset == 3


def test_a_batch_without_an_end_is_known_by_what_the_error_names(bench: Bench) -> None:
    bench.consumer.write(TEXT, b"damaged", b"good")
    bench.consumer.faults = [
        errors.KafkaError(f"Failed to make progress reading messages at {TopicPartition(*TEXT)}=0")
    ]
    bench.turns(4)
    assert bench.payloads == [b"good"]


def test_a_commit_is_sent_when_there_is_something_new_and_every_ten_seconds(bench: Bench) -> None:
    bench.turns(150)
    passed_s = bench.clock.monotonic_ns() / NS_PER_S
    assert len(bench.consumer.commits) == 1 + int((passed_s - 1) / 10)
    bench.consumer.write(TEXT, b"line")
    bench.turns()
    bench.take()
    sent = len(bench.consumer.commits)
    bench.clock.advance(1)
    bench.turns()
    assert len(bench.consumer.commits) == sent + 1
    assert bench.consumer.commits[-1][TEXT].offset == 1


def test_a_commit_that_failed_is_made_up_for_by_the_next(bench: Bench) -> None:
    bench.consumer.commit_answer = errors.CoordinatorNotAvailableError()
    bench.turns(25)
    bench.consumer.commit_answer = None
    bench.turns(15)
    assert bench.telemetry.commits["failed"] >= 2
    assert bench.telemetry.commits["committed"] == 1


def test_commits_during_a_rebalance_are_counted_apart(bench: Bench) -> None:
    bench.consumer.commit_answer = errors.RebalanceInProgressError()
    bench.turns(11)
    assert bench.telemetry.commits == {"rebalancing": 1}


def test_a_broker_that_takes_no_metadata_gets_offsets_alone(bench: Bench) -> None:
    assignment = next(item.assignment for item in bench.items if isinstance(item, Assigned))
    bench.ledger.advance(bench.ledger.lease(assignment, "room"), 5)
    bench.consumer.commit_answer = errors.OffsetMetadataTooLargeError()
    bench.turns(11)
    bench.consumer.commit_answer = None
    bench.turns(12)
    assert [commit[VIDEO].metadata == "" for commit in bench.consumer.commits] == [False, True]


def test_the_lag_is_reported_in_records_and_in_seconds() -> None:
    bench = full()
    start_s = bench.clock.wall_ns() // NS_PER_S
    bench.consumer.write(TEXT, *[b"." * 1000] * 6, written_s=start_s - 30)
    bench.turns()
    bench.consumer.write(TEXT, b"one", b"two")
    bench.turns(70)
    records, seconds = bench.telemetry.lags[Modality.TEXT]
    assert records == 2
    assert seconds == pytest.approx(30 + bench.clock.wall_ns() / NS_PER_S - start_s, abs=1.5)
    assert bench.telemetry.lags[Modality.VIDEO] == (0, 0.0)
    assert bench.telemetry.pauses == 2


def test_while_no_broker_answers_the_lag_in_records_is_unknown_and_in_seconds_grows(bench: Bench) -> None:
    bench.turns(20)
    assert bench.telemetry.lags == {Modality.VIDEO: (0, 0.0), Modality.TEXT: (0, 0.0)}
    bench.consumer.answer = failing(errors.KafkaTimeoutError("no answer"))
    for away_s in (10, 20):
        bench.clock.advance(10)
        bench.turns(2)
        for records, seconds in bench.telemetry.lags.values():
            assert math.isnan(records)
            assert away_s <= seconds < away_s + 3
    bench.consumer.answer = lambda: None
    bench.turns(20)
    assert bench.telemetry.lags == {Modality.VIDEO: (0, 0.0), Modality.TEXT: (0, 0.0)}


def test_the_lag_of_what_nobody_reads_is_unknown(bench: Bench) -> None:
    bench.turns(20)
    bench.assignor.forget_assignment()
    bench.turns(20)
    assert all(math.isnan(records) for records, _ in bench.telemetry.lags.values())
    bench.assignor.on_assignment(ConsumerProtocolAssignment(1, [], b""), 2)
    bench.turns(20)
    assert bench.telemetry.lags[Modality.TEXT] == (0, 0.0)
    bench.member.leave(bench.items.append, Deadline.after(bench.clock, 1.0))
    assert all(math.isnan(records) and math.isnan(seconds) for records, seconds in bench.telemetry.lags.values())


def test_the_lag_of_a_topic_that_was_deleted_is_unknown_and_that_of_others_is_known(bench: Bench) -> None:
    bench.turns(20)
    del bench.consumer._cluster.counts["text"]
    bench.turns(60)
    assert bench.member.topic_watch.deleted == {"text"}
    assert math.isnan(bench.telemetry.lags[Modality.TEXT][0])
    assert bench.telemetry.lags[Modality.VIDEO] == (0, 0.0)


def test_a_topic_that_was_recreated_is_read_from_its_beginning_whatever_was_committed(bench: Bench) -> None:
    bench.consumer.write(TEXT, b"old 0", b"old 1")
    bench.turns(5)
    bench.consumer.logs[TEXT] = []
    bench.consumer.write(TEXT, b"new 0", b"new 1", b"new 2")
    bench.consumer._cluster.ids["text"] = "another id"
    bench.consumer.offsets[TEXT] = OffsetAndMetadata(2, "", -1)  # committed by us, when it was there already
    bench.turns(20)
    assert bench.payloads[-3:] == [b"new 0", b"new 1", b"new 2"]
    assert bench.telemetry.resets == [OffsetResetReason.RECREATED]


def test_a_topic_that_is_deleted_right_after_its_first_record_is_named() -> None:
    bench = Bench()
    cluster = bench.consumer._cluster
    known, cluster.counts = cluster.counts, {}
    bench.consumer.assign(*BOTH)
    bench.turns()  # the client has no metadata yet
    cluster.counts = known
    bench.consumer.write(TEXT, b"line")
    bench.turns()
    assert bench.payloads == [b"line"]
    del cluster.counts["text"]
    bench.turns(60)
    assert bench.member.topic_watch.deleted == {"text"}


def test_a_turn_of_draining_takes_nothing(bench: Bench) -> None:
    bench.consumer.write(TEXT, b"line")
    before = len(bench.items)
    for _ in range(15):
        bench.member.run_draining(bench.items.append, threading.Event())
    assert len(bench.items) == before
    assert bench.consumer.commits


def test_the_client_is_configured_to_leave_offsets_to_the_source() -> None:
    topics = (InputTopic("video", Modality.VIDEO, "image/jpeg"),)
    config = KafkaSourceConfig("kafka", Connection(("nowhere:9092",)), "group", topics, high_bytes=2**20)
    options = consumer_options(config, CoPartitionedAssignor())
    assert options["enable_auto_commit"] is False
    assert options["auto_offset_reset"] == "none"
    assert options["isolation_level"] == "read_committed"
    assert options["fetch_max_bytes"] <= config.high_bytes
    assert options["heartbeat_interval_ms"] * 3 <= options["session_timeout_ms"]
