"""Predictions and positions in one transaction of a real Kafka."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import ConsumerGroupMetadata, MemberState

from streams.alignment.windows import WindowGrid
from streams.clock import NS_PER_S, SystemClock
from streams.coordinates import Coordinates, Partition
from streams.delivery.ledger import Ledger, SessionLease
from streams.kafka.connection import Connection
from streams.kafka.producer import ProducerConfig
from streams.kafka.transactions import Transactions
from streams.reasons import DeadLetterReason
from streams.records import Modality, RejectedRecord
from streams.sinks.base import Outgoing, SinkBlockedError, SinkError
from streams.telemetry import NullTelemetry
from tests.daemon.predicting import prediction
from tests.kafka.broker import Broker
from tests.kafka.conftest import Topics
from tests.kafka.reading import everything

pytestmark = pytest.mark.kafka

GRID = WindowGrid(4 * NS_PER_S, NS_PER_S)
_PATIENCE_S = 90.0
_KILLS = 10


class Instance:
    """One member of the group; owns partition group 0 with session "room".

    The session has a record per window and nothing else.
    """

    def __init__(self, topics: Topics, transactional_id: str, *, windows: int = 1000, static: bool = False) -> None:
        """Joins the group.

        static: whether it keeps its place while it is away.
        """
        self.topics = topics
        self.partition = Partition(topics.text, 0)
        self.consumer = KafkaConsumer(
            topics.text,
            bootstrap_servers=topics.cluster.bootstrap,
            group_id=topics.group,
            enable_auto_commit=False,
            isolation_level="read_committed",
            session_timeout_ms=30_000 if static else 6000,
            group_instance_id="static" if static else None,
            heartbeat_interval_ms=500,
        )
        deadline = time.monotonic() + _PATIENCE_S
        while self.consumer.group_metadata().state != MemberState.STABLE and time.monotonic() < deadline:
            self.consumer.poll(timeout_ms=100)
        self.membership: Callable[[], ConsumerGroupMetadata | None] = self.consumer.group_metadata
        self.ledger = Ledger(GRID)
        output = ProducerConfig(Connection((topics.cluster.bootstrap,)), topics.predictions, topics.dead_letters)
        self.sink = Transactions(
            "kafka", output, transactional_id, self.ledger, lambda: self.membership(), SystemClock(), NullTelemetry()
        )
        self.commit([])  # aborts what a predecessor with this transactional id has left open
        self.start = committed(topics)
        self.lease = self._lease(windows)

    def _lease(self, windows: int) -> SessionLease:
        """A lease whose record n is at offset n, for window n."""
        lease = self.ledger.lease(self.ledger.assigned(0, {self.partition: self.start}, {}), "room")
        self.ledger.read(self.partition, [(offset, 1) for offset in range(self.start, windows)])
        for offset in range(self.start, windows):
            self.ledger.retain(lease, Coordinates(self.partition, offset, 0), offset)
            self.ledger.submitted(lease, offset)
        self.ledger.advance(lease, windows)
        return lease

    def windows(self, first: int, before: int, *, padding: int = 0) -> list[Outgoing | RejectedRecord]:
        return [self.window(index, padding) for index in range(first, before)]

    def window(self, index: int, padding: int = 0) -> Outgoing:
        made = prediction(start_s=float(index)).model_copy(update={"id": str(index), "transcript": "x" * padding})
        return Outgoing(made, made.json_line(), self.lease, index)

    def commit(self, group: Sequence[Outgoing | RejectedRecord]) -> tuple[Sequence[bool], list[SinkError]]:
        """Commits until settled; returns outcomes and the errors raised.

        No call may block its caller.
        """
        errors: list[SinkError] = []
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            began = time.monotonic()
            try:
                fates = self.sink.commit(group, 0.5)
                if fates is not None:
                    return fates, errors
            except SinkError as error:
                errors.append(error)
            assert time.monotonic() - began < 10.0
        raise AssertionError(f"not settled after {_PATIENCE_S} s: {errors}")

    def close(self) -> None:
        self.sink.close()
        self.consumer.close(timeout_ms=2000)


@pytest.fixture
def instance(topics: Topics) -> Iterator[Callable[..., Instance]]:
    """`instance(**options)` joins the group of `topics`; all leave when the test ends."""
    topics.create(partitions=1)
    made: list[Instance] = []

    def join(transactional_id: str = "first", **options: Any) -> Instance:
        made.append(Instance(topics, f"{topics.prefix}-{transactional_id}", **options))
        return made[-1]

    yield join
    for each in made:
        each.close()


def committed(topics: Topics) -> int:
    """The committed position of the group, without an open transaction."""
    with KafkaConsumer(
        bootstrap_servers=topics.cluster.bootstrap, group_id=topics.group, isolation_level="read_committed"
    ) as reader:
        return reader.committed(TopicPartition(topics.text, 0)) or 0


def seen(topics: Topics, *, committed_only: bool = True) -> list[int]:
    """The windows that a reader of predictions sees, in order."""
    found = everything(topics.cluster.bootstrap, topics.predictions, committed=committed_only)
    return [int(dict(message.headers)["ce_id"]) for message in found]


def test_predictions_and_positions_become_valid_together(instance: Callable[..., Instance], topics: Topics) -> None:
    one = instance()
    assert one.commit(one.windows(0, 20)) == ([True] * 20, [])
    assert seen(topics) == list(range(20))
    assert committed(topics) == 20
    assert one.commit(one.windows(20, 25)) == ([True] * 5, [])
    assert seen(topics) == list(range(25))
    assert committed(topics) == 25


def test_the_checkpoint_alone_is_committed_where_it_has_moved(
    instance: Callable[..., Instance], topics: Topics
) -> None:
    one = instance()
    assert one.commit([]) == ([], [])
    one.ledger.delivered(one.lease, 0)
    assert one.commit([]) == ([], [])
    assert committed(topics) == 1
    assert seen(topics) == []


def test_a_dead_letter_is_in_the_transaction(instance: Callable[..., Instance], topics: Topics) -> None:
    one = instance(windows=1)
    one.ledger.read(one.partition, [(1, 3)])
    letter = RejectedRecord(
        Modality.TEXT,
        b"\xff",
        0,
        Coordinates(one.partition, 1, 0),
        DeadLetterReason.INVALID_UTF8,
        "byte 0 is not UTF-8",
    )
    assert one.commit([*one.windows(0, 1), letter]) == ([True, True], [])
    [message] = everything(topics.cluster.bootstrap, topics.dead_letters, committed=True)
    assert message.value == b"\xff"
    assert committed(topics) == 2


def test_what_the_cluster_refuses_costs_itself_only_and_its_aborted_companions_are_seen_once(
    instance: Callable[..., Instance], topics: Topics
) -> None:
    one = instance()
    huge = one.window(3, padding=1)  # a line that no broker here takes
    group = [*one.windows(0, 3), Outgoing(huge.prediction, os.urandom(5 * 2**20), one.lease, 3), *one.windows(4, 6)]
    fates, [error] = one.commit(group)
    assert fates == [True, True, True, False, True, True]
    assert "prediction 3 is given up: MessageSizeTooLargeError" in str(error)
    assert seen(topics) == [0, 1, 2, 4, 5]
    assert committed(topics) == 6


def test_windows_that_are_another_instances_are_left_out(instance: Callable[..., Instance], topics: Topics) -> None:
    one = instance()
    one.ledger.revoked([0])
    assert one.commit(one.windows(0, 3)) == ([False] * 3, [])
    assert seen(topics, committed_only=False) == []


def test_an_instance_without_a_settled_membership_waits_for_it(
    instance: Callable[..., Instance], topics: Topics
) -> None:
    one = instance()
    settled = one.membership
    one.membership = lambda: None
    group = one.windows(0, 3)
    assert one.sink.commit(group, 0.5) is None
    assert seen(topics, committed_only=False) == []
    one.membership = settled
    assert one.commit(group) == ([True] * 3, [])
    assert seen(topics) == [0, 1, 2]


def test_a_zombie_of_an_earlier_generation_publishes_nothing(instance: Callable[..., Instance], topics: Topics) -> None:
    zombie = instance("zombie")
    assert zombie.commit(zombie.windows(0, 2)) == ([True] * 2, [])
    stale = zombie.consumer.group_metadata()
    zombie.membership = lambda: stale
    zombie.consumer.close(timeout_ms=2000)
    heir = instance("heir")
    group = zombie.windows(2, 5)
    with pytest.raises(SinkBlockedError, match="group metadata mismatch"):
        zombie.sink.commit(group, _PATIENCE_S)
    assert heir.start == 2
    assert heir.commit(heir.windows(2, 4)) == ([True] * 2, [])
    zombie.ledger.revoked([0])
    fates, _ = zombie.commit(group)
    assert list(fates) == [False] * 3
    assert seen(topics) == [0, 1, 2, 3]
    assert committed(topics) == 4


def test_a_zombie_with_the_same_transactional_id_cannot_commit_what_it_has_begun(
    instance: Callable[..., Instance], topics: Topics
) -> None:
    zombie = instance("same")
    held, go_on = threading.Event(), threading.Event()
    delivered = zombie.ledger.delivered

    def slowly_delivered(lease: SessionLease, index: int) -> None:
        held.set()
        go_on.wait(_PATIENCE_S)
        delivered(lease, index)

    zombie.ledger.delivered = slowly_delivered  # type: ignore[method-assign]  # called in the open transaction
    group = zombie.windows(0, 3)
    assert zombie.sink.commit(group, 0.0) is None
    assert held.wait(_PATIENCE_S)
    zombie.consumer.close(timeout_ms=2000)
    heir = instance("same")
    assert heir.commit(heir.windows(0, 2)) == ([True] * 2, [])
    go_on.set()
    with pytest.raises(SinkBlockedError):
        zombie.sink.commit(group, _PATIENCE_S)
    assert seen(topics) == [0, 1]
    assert len(seen(topics, committed_only=False)) == 5
    assert committed(topics) == 2


def test_a_commit_that_was_carried_out_but_not_answered_is_not_done_again(
    instance: Callable[..., Instance], topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = instance()
    commit = KafkaProducer.commit_transaction

    def unanswered(producer: KafkaProducer) -> None:
        commit(producer)
        monkeypatch.undo()
        raise KafkaError("Could not execute transactional request for unknown reasons")

    monkeypatch.setattr(KafkaProducer, "commit_transaction", unanswered)
    fates, [error] = one.commit(one.windows(0, 5))
    assert list(fates) == [True] * 5
    assert "unknown reasons" in str(error)
    assert one.commit(one.windows(5, 8)) == ([True] * 3, [])
    assert seen(topics, committed_only=False) == list(range(8))
    assert committed(topics) == 8


# Crashes.

_CHILD = """\
import sys
from tests.kafka.conftest import Topics
from tests.kafka.broker import Cluster
from tests.kafka.test_transactions import Instance

bootstrap, prefix, windows = sys.argv[1:]
one = Instance(Topics(Cluster(bootstrap), prefix), f"{prefix}-crashing", windows=int(windows), static=True)
print("started", flush=True)
at = one.start
while at < int(windows):
    one.commit(one.windows(at, min(at + 5, int(windows))))
    at += 5
one.close()
"""


def test_instances_that_are_killed_at_any_moment_publish_every_window_once(topics: Topics) -> None:
    topics.create(partitions=1)
    rng, windows, kills = random.Random(4), 600, 0
    recovered: list[float] = []
    while True:
        began = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, topics.cluster.bootstrap, topics.prefix, str(windows)],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        child.stdout.readline()
        recovered.append(time.monotonic() - began)
        try:
            child.wait(rng.uniform(0.1, 1.0) if kills < _KILLS else _PATIENCE_S)
            break
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            kills += 1
    assert child.returncode == 0
    assert kills >= 3
    assert sorted(seen(topics)) == list(range(windows))
    assert committed(topics) == windows
    raw = len(seen(topics, committed_only=False))
    print(f"\n{kills} kills, {raw - windows} aborted predictions, back in {max(recovered):.1f} s at most")


@contextmanager
def away(broker: Broker, how: str) -> Iterator[None]:
    (broker.kill if how == "killed" else broker.pause)()
    yield
    (broker.start if how == "killed" else broker.resume)()


@pytest.mark.parametrize(("how", "for_s"), [("killed", 1.0), ("paused", 15.0)])
def test_a_broker_that_goes_away_in_mid_transaction_leaves_every_window_published_once(
    own_broker: Callable[..., Broker], topics: Topics, how: str, for_s: float
) -> None:
    broker = own_broker()
    topics = topics.on(broker).create(partitions=1)
    one = Instance(topics, topics.prefix, static=True)
    one.commit(one.windows(0, 5))
    at = 5

    def disturb() -> None:
        time.sleep(0.05)
        with away(broker, how):
            time.sleep(for_s)

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    while at < 300 or disturbing.is_alive():
        fates, _ = one.commit(one.windows(at, at + 5))
        assert all(fates)
        at += 5
    one.close()
    assert seen(topics) == list(range(at))
    assert committed(topics) == at


def test_a_transaction_takes_this_long(instance: Callable[..., Instance], topics: Topics) -> None:
    one = instance(windows=2000)
    one.commit(one.windows(0, 1))
    at, times = 1, []
    for size in (1, 1, 1, 200, 200, 200, 200, 200):
        group = one.windows(at, at + size)
        began = time.perf_counter()
        one.commit(group)
        times.append(time.perf_counter() - began)
        at += size
    print(
        f"\na transaction of 1 prediction {min(times[:3]) * 1e3:.0f} ms, of 200 {min(times[3:]) * 1e3:.0f} ms;"
        f" 1,000: {sum(times[3:]) * 1e3:.0f} ms"
    )
    assert seen(topics) == list(range(at))
