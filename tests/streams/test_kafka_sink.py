"""The Kafka sink: retries, rejected messages, and no blocking."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from kafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)

from streams.clock import NS_PER_S, ManualClock
from streams.coordinates import Coordinates, Partition
from streams.kafka.connection import Connection
from streams.kafka.producer import ProducerConfig
from streams.kafka.sink import KafkaSink
from streams.predictions import Prediction
from streams.reasons import DeadLetterReason
from streams.records import Modality, RejectedRecord
from streams.sinks.base import DeadLetterSink, SinkBlockedError, SinkError
from tests.daemon.predicting import prediction

pytestmark = pytest.mark.unit

PREDICTIONS, DEAD_LETTERS = "predictions", "dead-letters"
TIMED_OUT = KafkaTimeoutError("Expiring 1 record(s): 120000 ms has passed since batch creation")
_PATIENCE_S = 20.0

Sent = tuple[str, bytes | None, bytes, list[tuple[str, bytes]]]


@dataclass
class Cluster:
    """A stand-in for Kafka: `answer` answers sends; keeps what arrived."""

    answer: Callable[[bytes], KafkaError | None] = lambda value: None
    """For each message of a flush, by its value: None acknowledges it."""
    absent: dict[str, KafkaError] = field(default_factory=dict)
    reachable: bool = True
    arrived: list[Sent] = field(default_factory=list)
    requests: list[list[bytes]] = field(default_factory=list)
    """The values of each flush, whatever became of them."""
    producers: list["Producer"] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    """While it is not set, nothing is answered."""

    def __post_init__(self) -> None:
        self.gate.set()

    def client(self, **options: Any) -> "Producer":
        if not self.reachable:
            raise KafkaTimeoutError("Unable to bootstrap")
        self.producers.append(Producer(self, options))
        return self.producers[-1]

    def values(self) -> list[bytes]:
        return [value for _, _, value, _ in self.arrived]


@dataclass
class Answered:
    error: KafkaError | None = None

    def get(self) -> None:
        if self.error is not None:
            raise self.error


@dataclass
class Producer:
    """Like kafka-python's: one rejected record fails all others in flight."""

    cluster: Cluster
    options: dict[str, Any]
    under_way: list[tuple[Sent, Answered]] = field(default_factory=list)
    broken: KafkaError | None = None
    closed: bool = False

    def partitions_for(self, topic: str) -> set[int]:
        if topic in self.cluster.absent:
            raise self.cluster.absent[topic]
        return {0}

    def send(self, topic: str, value: bytes, key: bytes | None, headers: list[tuple[str, bytes]]) -> Answered:
        if len(value) > self.options["max_request_size"]:
            raise MessageSizeTooLargeError("larger than max_request_size")
        self.under_way.append(((topic, key, value, headers), Answered()))
        return self.under_way[-1][1]

    def flush(self) -> None:
        self.cluster.gate.wait(_PATIENCE_S)
        self.cluster.requests.append([sent[2] for sent, _ in self.under_way])
        errors = [self.cluster.answer(sent[2]) for sent, _ in self.under_way]
        fatal = [error for error in errors if error is not None and not error.retriable]
        self.broken = self.broken or next(iter(fatal), None)
        for (sent, answered), error in zip(self.under_way, errors, strict=True):
            answered.error = self.broken or error
            if answered.error is None:
                self.cluster.arrived.append(sent)
        self.under_way = []

    def close(self, timeout: float) -> None:
        self.closed = True


def sink_into(cluster: Cluster, clock: ManualClock | None = None) -> KafkaSink:
    output = ProducerConfig(Connection(("nowhere:9092",)), PREDICTIONS, DEAD_LETTERS, client=cluster.client)
    return KafkaSink("kafka", output, clock or ManualClock())


def flushed(sink: KafkaSink, most: int = 100) -> list[SinkError]:
    """Flushes until all is settled; returns the errors raised."""
    errors: list[SinkError] = []
    for _ in range(most):
        try:
            if sink.flush(_PATIENCE_S):
                return errors
        except SinkError as error:
            errors.append(error)
    raise AssertionError(f"not settled after {most} flushes: {errors}")


def published(sink: KafkaSink, values: Iterable[bytes], of: Prediction | None = None) -> None:
    for value in values:
        sink.publish(of or prediction(), value)


def letter(payload: bytes = b"\xff", offset: int = 7) -> RejectedRecord:
    at = Coordinates(Partition("affectd.text", 2), offset, 5 * NS_PER_S, b"room", (("content-type", b"text/plain"),))
    return RejectedRecord(
        Modality.TEXT, payload, 6 * NS_PER_S, at, DeadLetterReason.INVALID_UTF8, "byte 0 is not UTF-8"
    )


# What is sent.


def test_a_prediction_is_a_cloud_event_keyed_by_its_session() -> None:
    cluster, sent = Cluster(), prediction()
    sink = sink_into(cluster)
    sink.publish(sent, sent.json_line())
    assert flushed(sink) == []
    [(topic, key, value, headers)] = cluster.arrived
    assert (topic, key, value) == (PREDICTIONS, b"room", sent.json_line())
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_type": b"io.affectd.prediction.v1",
        "ce_source": b"urn:affectd:predictions",
        "ce_id": sent.id.encode(),
        "ce_time": b"2000-01-01T00:00:16Z",
        "ce_subject": b"room",
        "ce_dataschema": b"urn:affectd:prediction:1",
        "content-type": b"application/json",
    }


def test_a_dead_letter_keeps_its_key_bytes_and_headers_and_says_where_it_lay() -> None:
    cluster = Cluster()
    sink = sink_into(cluster)
    assert isinstance(sink, DeadLetterSink)
    sink.dead_letter(letter())
    assert flushed(sink) == []
    [(topic, key, value, headers)] = cluster.arrived
    assert (topic, key, value) == (DEAD_LETTERS, b"room", b"\xff")
    expected = {"content-type": b"text/plain", "x-topic": b"affectd.text", "x-partition": b"2", "x-offset": b"7"}
    assert expected.items() <= dict(headers).items()


def test_nothing_is_sent_before_the_flush_and_then_a_whole_group_at_once() -> None:
    cluster = Cluster()
    sink = sink_into(cluster)
    published(sink, (b"%d" % n for n in range(200)))
    assert cluster.producers == []
    assert flushed(sink) == []
    assert cluster.requests == [[b"%d" % n for n in range(200)]]


def test_one_producer_serves_every_group_and_waits_for_all_replicas() -> None:
    cluster = Cluster()
    sink = sink_into(cluster)
    for n in range(3):
        published(sink, [b"%d" % n])
        flushed(sink)
    [producer] = cluster.producers
    assert producer.options["acks"] == "all"
    assert producer.options["enable_idempotence"] is True
    assert producer.options["compression_type"] == "lz4"


# Waiting.


def test_a_flush_returns_in_time_while_nobody_answers_and_is_called_again() -> None:
    cluster = Cluster()
    cluster.gate.clear()
    sink = sink_into(cluster)
    published(sink, [b"line"])
    assert not sink.flush(0.0)
    assert not sink.flush(0.01)
    cluster.gate.set()
    assert flushed(sink) == []
    assert cluster.values() == [b"line"]


def test_a_cluster_that_cannot_be_reached_is_tried_until_it_can() -> None:
    cluster, clock = Cluster(reachable=False), ManualClock()
    sink = sink_into(cluster, clock)
    published(sink, [b"line"])
    blocked_errors = []
    while clock.monotonic_ns() < 300 * NS_PER_S:
        with pytest.raises(SinkBlockedError, match="1 of 1 are not acknowledged") as blocked:
            sink.flush(_PATIENCE_S)
        blocked_errors.append(blocked)
    assert len(blocked_errors) < 250  # on average every 2.5 s once it is clear that this takes long
    cluster.reachable = True
    assert flushed(sink) == []
    assert cluster.values() == [b"line"]


# What is sent again.


def test_only_what_was_not_acknowledged_is_sent_again_with_the_same_bytes_by_a_new_producer() -> None:
    failing = {b"1", b"3"}

    def answer(value: bytes) -> KafkaError | None:
        return TIMED_OUT if value in failing else None

    cluster = Cluster(answer)
    sink = sink_into(cluster)
    published(sink, [b"0", b"1", b"2", b"3"])
    with pytest.raises(SinkBlockedError, match="2 of 4"):
        sink.flush(_PATIENCE_S)
    failing.clear()
    published(sink, [b"4"])
    assert flushed(sink) == []
    assert cluster.values() == [b"0", b"2", b"1", b"3", b"4"]
    assert [producer.closed for producer in cluster.producers] == [True, False]


@pytest.mark.parametrize(
    "error",
    [TIMED_OUT, TopicAuthorizationFailedError(PREDICTIONS), ClusterAuthorizationFailedError("no idempotent sends")],
    ids=["nobody answers", "not authorised for the topic", "not authorised at all"],
)
def test_what_can_be_put_right_is_tried_until_it_is(error: KafkaError) -> None:
    answers = iter([error] * 20)
    cluster = Cluster(lambda value: next(answers, None))
    sink = sink_into(cluster)
    published(sink, [b"line"])
    blocked_errors = flushed(sink)
    assert len(blocked_errors) == 20
    assert all(isinstance(each, SinkBlockedError) for each in blocked_errors)
    assert cluster.values() == [b"line"]


def test_a_topic_that_is_not_there_holds_up_only_its_own_messages_and_repeats_no_other() -> None:
    cluster = Cluster(absent={DEAD_LETTERS: KafkaTimeoutError("Failed to update metadata")})
    sink = sink_into(cluster)
    published(sink, [b"line"])
    sink.dead_letter(letter())
    for _ in range(5):
        with pytest.raises(SinkBlockedError, match="Failed to update metadata"):
            sink.flush(_PATIENCE_S)
    assert cluster.values() == [b"line"]
    cluster.absent.clear()
    assert flushed(sink) == []
    assert cluster.values() == [b"line", b"\xff"]


# What is given up.


def refusing(*poison: bytes) -> Callable[[bytes], KafkaError | None]:
    return lambda value: MessageSizeTooLargeError("message.max.bytes") if value in poison else None


@pytest.mark.parametrize("poison", [(b"0",), (b"7",), (b"3", b"4"), tuple(b"%d" % n for n in range(8))], ids=str)
def test_a_record_that_the_cluster_refuses_costs_itself_only(poison: tuple[bytes, ...]) -> None:
    cluster = Cluster(refusing(*poison))
    sink = sink_into(cluster)
    published(sink, (b"%d" % n for n in range(8)))
    blocked_errors = flushed(sink)
    assert len(blocked_errors) == len(poison)
    assert not any(isinstance(each, SinkBlockedError) for each in blocked_errors)
    assert cluster.values() == [b"%d" % n for n in range(8) if b"%d" % n not in poison]


def test_a_record_that_is_given_up_is_named() -> None:
    sink = sink_into(Cluster(refusing(b"\xff")))
    sink.dead_letter(letter())
    [error] = flushed(sink)
    assert str(error).startswith(
        "dead-letters: dead letter of affectd.text[2] at 7 is given up: MessageSizeTooLargeError: "
    )


def test_after_a_refusal_whole_groups_are_sent_again() -> None:
    cluster = Cluster(refusing(b"1"))
    sink = sink_into(cluster)
    published(sink, [b"0", b"1", b"2"])
    flushed(sink)
    cluster.requests.clear()
    published(sink, [b"3", b"4"])
    assert flushed(sink) == []
    assert cluster.requests == [[b"3", b"4"]]


def test_what_no_request_can_hold_is_given_up_without_disturbing_the_others() -> None:
    cluster = Cluster()
    sink = sink_into(cluster)
    huge = bytes(64 * 2**20 + 1)
    published(sink, [b"0", huge, b"2"])
    [error] = flushed(sink)
    assert "MessageSizeTooLargeError" in str(error)
    assert cluster.values() == [b"0", b"2"]


# The end.


def test_closing_ends_the_producer_and_leaves_an_attempt_behind() -> None:
    cluster = Cluster()
    sink = sink_into(cluster)
    published(sink, [b"0"])
    flushed(sink)
    cluster.gate.clear()
    published(sink, [b"1"])
    assert not sink.flush(0.0)
    sink.close()
    assert cluster.producers[0].closed
    cluster.gate.set()


def test_closing_what_never_sent_anything_does_nothing() -> None:
    cluster = Cluster()
    sink_into(cluster).close()
    assert cluster.producers == []
