"""The example that shows how predictions are read."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kafka import KafkaProducer

from streams.predictions import Prediction
from tests.daemon.predicting import prediction
from tests.kafka.conftest import Topics

pytestmark = pytest.mark.kafka

EXAMPLE = Path(__file__).parents[2] / "deploy" / "kafka" / "consumer.py"


def publish(topics: Topics, *values: bytes) -> None:
    with KafkaProducer(bootstrap_servers=topics.cluster.bootstrap) as producer:
        for value in values:
            producer.send(topics.predictions, value, key=b"room").get(timeout=10)


def line(start_s: float, revision: int = 0) -> bytes:
    one: Prediction = prediction(start_s, revision=revision)
    return one.json_line()


def test_the_example_shows_each_prediction_once_and_each_revision(topics: Topics) -> None:
    topics.create(partitions=1)
    publish(topics, line(0), line(0), line(1), line(0), line(1, revision=1), line(2))
    command = [sys.executable, str(EXAMPLE), topics.cluster.bootstrap, topics.predictions]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as example:
        assert example.stdout is not None
        shown = [example.stdout.readline() for _ in range(4)]
        example.send_signal(signal.SIGINT)
        example.wait(60)
    starts = [text.split()[1] for text in shown]
    assert starts == [f"2000-01-01T00:00:0{second}Z" for second in (0, 1, 1, 2)]
    assert shown[0].split() == ["room", "2000-01-01T00:00:00Z", "sadness", "medium"]


def test_the_example_ends_where_a_message_is_no_prediction(topics: Topics) -> None:
    topics.create(partitions=1)
    publish(topics, line(0).replace(b'"revision":0', b'"revision":-1'))
    command = [sys.executable, str(EXAMPLE), topics.cluster.bootstrap, topics.predictions]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "revision\n  Input should be greater than or equal to 0" in done.stderr
    assert done.stdout == ""
