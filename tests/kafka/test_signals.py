"""A monitor's signals beside chat, through a real broker. Real commands and the shipped model."""

import json
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from streams.clock import NS_PER_MS, NS_PER_S
from streams.formats import rfc3339
from tests.kafka.conftest import Topics
from tests.kafka.reading import everything
from tests.kafka.test_same_as_replay import Instance, configuration, published, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

START_NS = 946_684_800 * NS_PER_S  # 2000
CHAT = [
    (0.5, "ann", "good morning, the parcel came today, thank you"),
    (6.5, "ann", "the weather is lovely here"),
    (9.5, "ann", "see you at the meeting on Monday"),
]
SIGNALS: list[tuple[float, dict[str, Any]]] = [
    (6.0, {"name": "heart-rate", "value": 1.5}),  # is no share of anything
    (6.2, {"name": "heart-rate", "value": 0.99, "participant": "ann"}),
]
WINDOWS = "[windows]\nsize_s = 4.0\nstep_s = 4.0\n"


def headers(at_s: float, **more: str) -> list[tuple[str, bytes]]:
    named = {"ce_time": rfc3339.format_ns(START_NS + round(at_s * NS_PER_S)), **more}
    return [(name, value.encode()) for name, value in named.items()]


@pytest.fixture
def predictions(topics: Topics, tmp_path: Path) -> dict[float, dict[str, Any]]:
    """What is published of the chat, by the seconds at which windows start."""
    signals = f"{topics.prefix}.signals"
    topics.create()
    topics.cluster.create_topics([signals])
    records = [(at_s, topics.text, text.encode(), {"ce_participant": who}) for at_s, who, text in CHAT]
    records += [(at_s, signals, json.dumps(signal).encode(), {}) for at_s, signal in SIGNALS]
    with KafkaProducer(bootstrap_servers=topics.cluster.bootstrap) as producer:
        for at_s, topic, value, more in sorted(records, key=lambda record: record[0]):
            at_ms = START_NS // NS_PER_MS + round(at_s * 1000)
            told = headers(at_s, **more)
            producer.send(topic, key=b"room", value=value, headers=told, partition=0, timestamp_ms=at_ms)
        producer.flush()
    of = configuration(topics).replace("[[sinks]]", f'signals_topic = "{signals}"\n[[sinks]]', 1)
    of = of.replace("[windows]\n", WINDOWS) + "[risk.signals]\nheart-rate = 1.0\n"
    instance = Instance(tmp_path, of)
    try:
        until(lambda: len(published(topics)) == 3, "three windows")
        instance.terminate()
    finally:
        instance.process.kill()
        instance.process.wait()
    begins = {(rfc3339.parse(each["window"]["start"]) - START_NS) / NS_PER_S: each for each in published(topics)}
    return dict(sorted(begins.items()))


def test_a_signal_counts_in_its_window_and_for_whose_it_is(
    predictions: dict[float, dict[str, Any]], topics: Topics
) -> None:
    first, second, last = predictions.values()
    assert "signals" not in first["modalities"]
    assert first["risk"]["level"] == "none"

    (ann,) = second["participants"]
    assert second["risk"]["level"] == ann["risk"]["level"] == "critical"
    assert [reason["code"] for reason in ann["risk"]["reasons"]] == ["signal"]
    assert ann["modalities"]["signals"]["quality"] == {"heart-rate": 0.99}
    assert second["modalities"]["signals"]["events"] == 1

    assert "signals" not in last["modalities"]
    (rejected,) = everything(topics.cluster.bootstrap, topics.dead_letters)
    assert dict(rejected.headers)["x-error-reason"] == b"invalid_signal"
