"""Predictions into a real Kafka, at least once."""

import statistics
import threading
import time
from collections.abc import Callable, Iterable

import jsonschema
import pytest

from streams.clock import SystemClock
from streams.coordinates import Coordinates, Partition
from streams.kafka.connection import Connection
from streams.kafka.producer import ProducerConfig
from streams.kafka.sink import KafkaSink
from streams.predictions import Prediction, json_schema
from streams.reasons import DeadLetterReason
from streams.records import Modality, RejectedRecord
from streams.sinks.base import SinkBlockedError, SinkError
from tests.daemon.predicting import prediction
from tests.kafka.broker import Broker
from tests.kafka.conftest import Topics
from tests.kafka.reading import everything

pytestmark = pytest.mark.kafka

_PATIENCE_S = 90.0


def sink_into(topics: Topics, compression: str = "lz4") -> KafkaSink:
    connection = Connection((topics.cluster.bootstrap,))
    return KafkaSink(
        "kafka", ProducerConfig(connection, topics.predictions, topics.dead_letters, compression), SystemClock()
    )


def of_session(number: int, window: int) -> Prediction:
    """The prediction of one window of one session."""
    made = prediction(start_s=float(window)).model_copy(update={"session": f"session {number}"})
    return made.model_copy(update={"id": f"{number}-{window}"})


def grid(sessions: int, windows: int) -> list[Prediction]:
    """Of each window in turn, the predictions of all sessions."""
    return [of_session(number, window) for window in range(windows) for number in range(sessions)]


def published(sink: KafkaSink, predictions: Iterable[Prediction]) -> None:
    for each in predictions:
        sink.publish(each, each.json_line())


def flushed(sink: KafkaSink) -> list[SinkError]:
    """Flushes until all is settled; returns the errors raised.

    No flush may block its caller.
    """
    errors: list[SinkError] = []
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        began = time.monotonic()
        try:
            if sink.flush(0.5):
                return errors
        except SinkError as error:
            errors.append(error)
        assert time.monotonic() - began < 10.0
    raise AssertionError(f"not settled after {_PATIENCE_S} s: {errors}")


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_predictions_are_read_back_as_they_were_in_the_order_of_their_session(topics: Topics, compression: str) -> None:
    topics.create()
    sink, sent = sink_into(topics, compression), grid(sessions=8, windows=20)
    published(sink, sent)
    assert flushed(sink) == []
    sink.close()
    found = everything(topics.cluster.bootstrap, topics.predictions)
    assert len(found) == len(sent)
    for session in {each.session for each in sent}:
        lines = [each.json_line() for each in sent if each.session == session]
        read = [message for message in found if message.key == session.encode()]
        assert [message.value for message in read] == lines
        assert len({message.partition for message in read}) == 1


def test_a_prediction_is_a_cloud_event_whose_value_is_of_the_schema(topics: Topics) -> None:
    topics.create()
    sink, sent = sink_into(topics), prediction()
    published(sink, [sent])
    flushed(sink)
    sink.close()
    [message] = everything(topics.cluster.bootstrap, topics.predictions)
    headers = dict(message.headers)
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_type"] == b"io.affectd.prediction.v1"
    assert headers["ce_id"] == sent.id.encode()
    assert headers["content-type"] == b"application/json"
    jsonschema.Draft202012Validator(json_schema()).validate(
        Prediction.model_validate_json(message.value).model_dump(mode="json", by_alias=True)
    )


def dead_letter(payload: bytes = b"\xff") -> RejectedRecord:
    at = Coordinates(Partition("affectd.text", 1), 42, 0, b"room", (("ce_time", b"yesterday"),))
    return RejectedRecord(Modality.TEXT, payload, 0, at, DeadLetterReason.INVALID_TIME, "header ce_time: no time")


def test_a_dead_letter_is_kept_with_its_own_bytes_key_and_headers(topics: Topics) -> None:
    topics.create()
    sink = sink_into(topics)
    sink.dead_letter(dead_letter())
    assert flushed(sink) == []
    sink.close()
    [message] = everything(topics.cluster.bootstrap, topics.dead_letters)
    headers = dict(message.headers)
    assert (message.key, message.value, headers["ce_time"]) == (b"room", b"\xff", b"yesterday")
    assert (headers["x-topic"], headers["x-partition"], headers["x-offset"]) == (b"affectd.text", b"1", b"42")


def test_what_the_cluster_refuses_costs_itself_only(topics: Topics) -> None:
    topics.create(max_message_bytes="100000")
    sink, sent = sink_into(topics, "none"), grid(sessions=4, windows=5)
    published(sink, sent[:10])
    sink.dead_letter(dead_letter(bytes(200_000)))
    published(sink, sent[10:])
    [error] = flushed(sink)
    sink.close()
    assert "dead letter of affectd.text[1] at 42 is given up: MessageSizeTooLargeError" in str(error)
    found = everything(topics.cluster.bootstrap, topics.predictions)
    assert {message.value for message in found} == {each.json_line() for each in sent}
    assert everything(topics.cluster.bootstrap, topics.dead_letters) == []


def test_a_topic_that_is_missing_is_waited_for(topics: Topics) -> None:
    sink = sink_into(topics)
    published(sink, grid(sessions=2, windows=2))
    with pytest.raises(SinkBlockedError, match="4 of 4 are not acknowledged"):
        sink.flush(_PATIENCE_S)
    topics.create()
    flushed(sink)
    sink.close()
    assert len(everything(topics.cluster.bootstrap, topics.predictions)) == 4


def test_a_broker_that_is_killed_while_groups_are_sent_costs_nothing_but_identical_repeats(
    own_broker: Callable[..., Broker], topics: Topics
) -> None:
    broker = own_broker()
    topics = topics.on(broker).create()
    sink, sent = sink_into(topics), grid(sessions=8, windows=250)

    def kill_and_restart() -> None:
        broker.kill()
        time.sleep(2)
        broker.start()

    restart = threading.Thread(target=kill_and_restart)
    for at in range(0, len(sent), 50):
        if at == 500:
            restart.start()
        published(sink, sent[at : at + 50])
        flushed(sink)
    restart.join()
    sink.close()
    found = everything(broker.bootstrap, topics.predictions)
    assert {message.value for message in found} == {each.json_line() for each in sent}
    print(f"\n{len(found) - len(sent)} of {len(sent)} predictions twice after a broker was killed")


def test_a_broker_that_hangs_is_waited_for(own_broker: Callable[..., Broker], topics: Topics) -> None:
    broker = own_broker()
    topics = topics.on(broker).create()
    sink, sent = sink_into(topics), grid(sessions=8, windows=10)
    published(sink, sent[:8])
    flushed(sink)
    broker.pause()
    published(sink, sent[8:])
    assert not any(sink.flush(0.2) for _ in range(15))
    broker.resume()
    assert flushed(sink) == []
    sink.close()
    found = everything(broker.bootstrap, topics.predictions)
    assert {message.value for message in found} == {each.json_line() for each in sent}


def test_closing_while_the_broker_is_away_does_not_wait_for_it(
    own_broker: Callable[..., Broker], topics: Topics
) -> None:
    broker = own_broker()
    topics = topics.on(broker).create()
    sink = sink_into(topics)
    published(sink, grid(sessions=1, windows=1))
    flushed(sink)
    broker.kill()
    published(sink, grid(sessions=1, windows=2))
    assert not sink.flush(0.5)
    began = time.monotonic()
    sink.close()
    assert time.monotonic() - began < 10.0


def test_a_group_takes_about_as_long_as_one_prediction(topics: Topics) -> None:
    topics.create()
    sink, sent = sink_into(topics), grid(sessions=50, windows=20)
    published(sink, sent[:1])
    flushed(sink)
    took: dict[int, list[float]] = {1: [], 200: []}
    for size, times in took.items():
        for at in range(0, 1000, 200):
            began = time.perf_counter()
            published(sink, sent[at : at + size])
            flushed(sink)
            times.append(time.perf_counter() - began)
    sink.close()
    one, group = (statistics.median(times) for times in took.values())
    print(f"\n1 prediction {one * 1e3:.1f} ms, 200 predictions {group * 1e3:.1f} ms; 1,000: {5 * group * 1e3:.0f} ms")
    assert len(everything(topics.cluster.bootstrap, topics.predictions)) == 1 + 5 + 1000
