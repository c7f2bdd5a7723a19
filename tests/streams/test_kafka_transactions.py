"""Transactions on a fake cluster: ledger, retries, commits in doubt."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    ProducerFencedError,
)
from kafka.structs import ConsumerGroupMetadata, MemberState, OffsetAndMetadata, TopicPartition

from streams.alignment.windows import WindowGrid
from streams.clock import NS_PER_S, ManualClock
from streams.coordinates import Coordinates, Partition
from streams.delivery.ledger import Ledger, SessionLease
from streams.kafka.connection import Connection
from streams.kafka.producer import ProducerConfig
from streams.kafka.transactions import Transactions
from streams.reasons import DeadLetterReason
from streams.records import Modality, RejectedRecord
from streams.sinks.base import Outgoing, SinkBlockedError, SinkError
from streams.telemetry import CommitOutcome, NullTelemetry
from tests.daemon.predicting import prediction

pytestmark = pytest.mark.unit

TEXT = Partition("text", 0)
MEMBER = ConsumerGroupMetadata("group", 3, "member", None, MemberState.STABLE)
_PATIENCE_S = 20.0

Step = Callable[[], None]


def raising(error: Exception) -> Step:
    def step() -> None:
        raise error

    return step


@dataclass
class Cluster:
    """A stand-in for Kafka: what is committed, and faults by step."""

    before: dict[str, list[Step]] = field(default_factory=dict)
    """By step (init, send, offsets, commit, answer): what the next ones do. `answer` is after a commit is done."""
    refuses: frozenset[bytes] = frozenset()
    values: list[bytes] = field(default_factory=list)
    offsets: dict[TopicPartition, OffsetAndMetadata] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    producers: list["Producer"] = field(default_factory=list)

    def client(self, **options: Any) -> "Producer":
        self.producers.append(Producer(self, options))
        return self.producers[-1]

    def step(self, name: str) -> None:
        self.steps.append(name)
        for step in self.before.get(name, [])[:1]:
            del self.before[name][0]
            step()


@dataclass
class Answered:
    error: KafkaError | None = None

    def get(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass
class Producer:
    """Like kafka-python's: invisible before the commit; one rejected record fails all."""

    cluster: Cluster
    options: dict[str, Any]
    sent: list[bytes] = field(default_factory=list)
    answers: list[Answered] = field(default_factory=list)
    offsets: dict[TopicPartition, OffsetAndMetadata] = field(default_factory=dict)
    closed: bool = False

    def init_transactions(self) -> None:
        self.cluster.step("init")

    def begin_transaction(self) -> None:
        self.sent, self.answers, self.offsets = [], [], {}

    def partitions_for(self, topic: str) -> set[int]:
        return {0}

    def send(self, topic: str, value: bytes, **of: Any) -> Answered:
        self.cluster.step("send")
        self.sent.append(value)
        self.answers.append(Answered())
        return self.answers[-1]

    def flush(self) -> None:
        if self.cluster.refuses.intersection(self.sent):
            for answered in self.answers:
                answered.error = MessageSizeTooLargeError("message.max.bytes")

    def send_offsets_to_transaction(self, offsets: dict[TopicPartition, OffsetAndMetadata], member: Any) -> None:
        self.cluster.step("offsets")
        self.offsets = dict(offsets)

    def commit_transaction(self) -> None:
        self.cluster.step("commit")
        self.cluster.values += self.sent
        self.cluster.offsets.update(self.offsets)
        self.cluster.step("answer")

    def close(self, timeout: float) -> None:
        self.closed = True


class Reader:
    """A stand-in for the consumer that reads what is committed."""

    cluster: Cluster

    def __init__(self, **options: Any) -> None:
        assert options["isolation_level"] == "read_committed"  # else it would not wait for what is being committed

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def committed(self, partition: TopicPartition, metadata: bool) -> OffsetAndMetadata | None:
        return self.cluster.offsets.get(partition)


class Counting(NullTelemetry):
    """Remembers what became of checkpoints."""

    def __init__(self) -> None:
        self.commits: Counter[CommitOutcome] = Counter()

    def commit(self, outcome: CommitOutcome) -> None:
        self.commits[outcome] += 1


class Instance:
    """Owns partition group 0 with session "room": a record per window."""

    def __init__(self, cluster: Cluster, windows: int = 10) -> None:
        self.cluster = cluster
        self.clock = ManualClock()
        self.ledger = Ledger(WindowGrid(4 * NS_PER_S, NS_PER_S))
        self.lease = self._lease(windows)
        self.member: ConsumerGroupMetadata | None = MEMBER
        output = ProducerConfig(Connection(("nowhere:9092",)), "predictions", "dead-letters", client=cluster.client)
        self.telemetry = Counting()
        self.sink = Transactions("kafka", output, "one", self.ledger, lambda: self.member, self.clock, self.telemetry)

    def _lease(self, windows: int) -> SessionLease:
        lease = self.ledger.lease(self.ledger.assigned(0, {TEXT: 0}, {}), "room")
        self.ledger.read(TEXT, [(offset, 1) for offset in range(windows)])
        for index in range(windows):
            self.ledger.retain(lease, Coordinates(TEXT, index, 0), index)
            self.ledger.submitted(lease, index)
        self.ledger.advance(lease, windows)
        return lease

    def group(self, first: int, before: int) -> list[Outgoing | RejectedRecord]:
        return [Outgoing(prediction(), b"%d" % index, self.lease, index) for index in range(first, before)]

    def commit(self, group: list[Outgoing | RejectedRecord], most: int = 100) -> tuple[list[bool], list[SinkError]]:
        errors: list[SinkError] = []
        for _ in range(most):
            try:
                delivered = self.sink.commit(group, _PATIENCE_S)
                if delivered is not None:
                    return list(delivered), errors
            except SinkError as error:
                errors.append(error)
        raise AssertionError(f"not settled after {most} calls: {errors}")

    def committed(self) -> int:
        return int(self.cluster.offsets[TopicPartition(*TEXT)].offset)


@pytest.fixture
def one(monkeypatch: pytest.MonkeyPatch) -> Instance:
    cluster = Cluster()
    monkeypatch.setattr(Reader, "cluster", cluster, raising=False)
    monkeypatch.setattr("streams.kafka.commit_in_doubt.KafkaConsumer", Reader)
    return Instance(cluster)


def test_a_group_is_one_transaction_with_its_positions(one: Instance) -> None:
    assert one.commit(one.group(0, 3)) == ([True] * 3, [])
    assert one.cluster.values == [b"0", b"1", b"2"]
    assert one.committed() == 3
    assert one.cluster.steps == ["init", "send", "send", "send", "offsets", "commit", "answer"]
    assert one.cluster.producers[0].options["transactional_id"] == "one"


def test_a_checkpoint_that_has_not_moved_is_not_committed_again(one: Instance) -> None:
    one.commit(one.group(0, 3))
    one.cluster.steps.clear()
    assert one.commit([]) == ([], [])
    assert one.cluster.steps == []


def test_a_checkpoint_that_has_moved_by_itself_is_committed_alone(one: Instance) -> None:
    one.commit(one.group(0, 3))
    one.cluster.steps.clear()
    one.ledger.delivered(one.lease, 3)
    assert one.commit([]) == ([], [])
    assert one.cluster.steps == ["offsets", "commit", "answer"]
    assert one.committed() == 4


def test_a_dead_letter_is_released_in_the_transaction(one: Instance) -> None:
    one.ledger.read(TEXT, [(10, 1)])
    letter = RejectedRecord(
        Modality.TEXT, b"\xff", 0, Coordinates(TEXT, 10, 0), DeadLetterReason.INVALID_UTF8, "byte 0 is not UTF-8"
    )
    assert one.commit([*one.group(0, 10), letter]) == ([True] * 11, [])
    assert one.committed() == 11


# What fails is done again as a whole.


@pytest.mark.parametrize("step", ["init", "send", "offsets", "commit"])
@pytest.mark.parametrize(
    "error",
    [KafkaTimeoutError("away"), CommitFailedError("generation"), ProducerFencedError("epoch")],
    ids=lambda error: type(error).__name__,
)
def test_a_transaction_that_fails_anywhere_is_done_again_by_a_new_producer(
    one: Instance, step: str, error: KafkaError
) -> None:
    one.cluster.before = {step: [raising(error)] * 3}
    delivered, errors = one.commit(one.group(0, 1))
    assert delivered == [True]
    assert len(errors) == 3
    assert all(isinstance(each, SinkBlockedError) for each in errors)
    assert one.cluster.values == [b"0"]
    assert one.committed() == 1
    assert [producer.closed for producer in one.cluster.producers] == [True, True, True, False]


def test_a_producer_that_failed_is_replaced_even_if_nothing_is_left_to_publish(one: Instance) -> None:
    one.cluster.before = {"offsets": [raising(CommitFailedError("generation"))]}
    group = one.group(0, 3)
    with pytest.raises(SinkBlockedError):
        one.sink.commit(group, _PATIENCE_S)
    one.ledger.revoked([0])
    assert one.commit(group) == ([False] * 3, [])
    assert one.cluster.steps.count("init") == 2  # which aborts what the first has left open


def test_a_window_that_is_lost_while_the_transaction_is_open_is_left_out_of_the_next(one: Instance) -> None:
    other = one.ledger.lease(one.ledger.assigned(1, {Partition("text", 1): 0}, {}), "hall")
    one.ledger.submitted(other, 0)
    group = [*one.group(0, 2), Outgoing(prediction(), b"hall", other, 0)]
    one.cluster.before = {"send": [lambda: None, lambda: None, lambda: one.ledger.revoked([1])]}
    assert one.commit(group) == ([True, True, False], [])
    assert one.cluster.values == [b"0", b"1"]
    assert one.committed() == 2


def test_a_dead_letter_of_a_partition_that_went_elsewhere_is_left_to_its_new_owner(one: Instance) -> None:
    letter = RejectedRecord(
        Modality.TEXT, b"\xff", 0, Coordinates(TEXT, 10, 0), DeadLetterReason.INVALID_UTF8, "byte 0 is not UTF-8"
    )
    one.ledger.revoked([0])
    assert one.commit([letter]) == ([False], [])
    assert one.cluster.values == []


# A commit that was not answered.


def test_a_commit_that_was_carried_out_but_not_answered_is_not_done_again(one: Instance) -> None:
    one.cluster.before = {"answer": [raising(KafkaError("unknown reasons"))]}
    delivered, errors = one.commit(one.group(0, 3))
    assert (delivered, len(errors)) == ([True] * 3, 1)
    assert one.cluster.values == [b"0", b"1", b"2"]
    assert one.commit(one.group(3, 5)) == ([True] * 2, [])
    assert one.committed() == 5


def test_it_may_have_been_carried_out_at_the_second_attempt_too(one: Instance) -> None:
    unknown = raising(KafkaError("unknown reasons"))
    one.cluster.before = {"commit": [unknown], "answer": [unknown]}
    delivered, errors = one.commit(one.group(0, 3))
    assert (delivered, len(errors)) == ([True] * 3, 2)
    assert one.cluster.values == [b"0", b"1", b"2"]


def test_a_commit_that_was_neither_answered_nor_carried_out_is_done_again(one: Instance) -> None:
    one.commit(one.group(0, 3))
    one.cluster.before = {"commit": [raising(KafkaError("unknown reasons"))] * 2}
    delivered, errors = one.commit(one.group(3, 5))
    assert (delivered, len(errors)) == ([True] * 2, 2)
    assert one.cluster.values == [b"%d" % index for index in range(5)]


# What is refused.


def test_a_record_that_is_refused_costs_itself_only_and_holds_up_no_checkpoint(one: Instance) -> None:
    one.cluster.refuses = frozenset({b"1"})
    delivered, [error] = one.commit(one.group(0, 4))
    assert delivered == [True, False, True, True]
    assert "is given up: MessageSizeTooLargeError" in str(error)
    assert one.cluster.values == [b"0", b"2", b"3"]
    assert one.committed() == 4
    one.cluster.steps.clear()
    one.commit(one.group(4, 6))
    assert one.cluster.steps == ["send", "send", "offsets", "commit", "answer"]  # in one transaction again


# Membership.


@pytest.mark.parametrize(
    "member",
    [None, MEMBER._replace(generation_id=-1), MEMBER._replace(state=MemberState.REBALANCING)],
    ids=["no consumer", "not joined", "rebalancing"],
)
def test_nothing_is_begun_without_a_settled_membership(one: Instance, member: ConsumerGroupMetadata | None) -> None:
    one.member = member
    group = one.group(0, 3)
    assert one.sink.commit(group, 0.2) is None
    assert one.cluster.steps == ["init"]
    one.member = MEMBER
    assert one.commit(group) == ([True] * 3, [])


def test_windows_that_are_lost_while_there_is_no_membership_are_waited_for_no_longer(one: Instance) -> None:
    one.member = None
    group = one.group(0, 3)
    assert one.sink.commit(group, 0.1) is None
    one.ledger.revoked([0])
    assert one.commit(group) == ([False] * 3, [])
    assert one.cluster.values == []


def test_the_checkpoint_alone_waits_for_no_membership(one: Instance) -> None:
    one.member = None
    one.ledger.delivered(one.lease, 0)
    assert one.commit([]) == ([], [])
    assert one.cluster.offsets == {}


def test_what_is_closed_takes_no_transactional_id_from_its_successor(one: Instance) -> None:
    one.cluster.before = {"offsets": [raising(ProducerFencedError("epoch"))]}
    group = one.group(0, 1)
    with pytest.raises(SinkBlockedError):
        one.sink.commit(group, _PATIENCE_S)
    one.sink.close()
    assert one.sink.commit(group, _PATIENCE_S) is None
    assert one.cluster.steps.count("init") == 1


def test_closing_gives_up_what_waits(one: Instance) -> None:
    one.commit(one.group(0, 1))
    one.member = None
    assert one.sink.commit(one.group(1, 2), 0.1) is None
    one.sink.close()
    assert one.cluster.producers[0].closed
    assert one.cluster.values == [b"0"]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (KafkaTimeoutError("no answer"), CommitOutcome.FAILED),
        (CommitFailedError("the group has moved on"), CommitOutcome.REBALANCING),
        (IllegalGenerationError("the group has moved on"), CommitOutcome.REBALANCING),
    ],
)
def test_every_checkpoint_in_a_transaction_is_counted_by_what_became_of_it(
    one: Instance, error: KafkaError, outcome: CommitOutcome
) -> None:
    one.commit(one.group(0, 3))
    assert one.telemetry.commits == {CommitOutcome.COMMITTED: 1}
    one.cluster.before["offsets"] = [raising(error)]
    one.commit(one.group(3, 5))
    assert one.telemetry.commits == {CommitOutcome.COMMITTED: 2, outcome: 1}


def test_a_checkpoint_whose_answer_was_lost_counts_as_failed_and_then_as_committed(one: Instance) -> None:
    one.cluster.before["answer"] = [raising(KafkaTimeoutError("no answer"))]
    one.commit(one.group(0, 3))
    assert one.telemetry.commits == {CommitOutcome.FAILED: 1, CommitOutcome.COMMITTED: 1}
