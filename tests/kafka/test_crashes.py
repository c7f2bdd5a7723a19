"""A record that kills the process decoding it, on a real broker."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from daemon.config import Config
from streams.clock import NS_PER_MS, NS_PER_S, SystemClock
from streams.kafka.contract import CONTENT_TYPES, to_kafka
from streams.kafka.dead_letters import read_dead_letter
from streams.records import Modality, Record
from tests.kafka.conftest import Topics
from tests.kafka.hashing import KILLER, NO_SPEECH, content, expected
from tests.kafka.instance import Instance
from tests.kafka.outcome import GUARANTEES, Guarantee
from tests.kafka.reading import everything

pytestmark = pytest.mark.kafka

_PATIENCE_S = 120.0
_LINES = 12
_KILLED = -9


def settings(topics: Topics, guarantee: Guarantee, state_dir: Path) -> dict[str, Any]:
    source = {"bootstrap_servers": [topics.cluster.bootstrap], "group_id": topics.group, "session_timeout_s": 3.0}
    inputs = dict(zip(("video_topic", "audio_topic", "text_topic"), topics.inputs, strict=True))
    outputs = dict(zip(("predictions_topic", "alerts_topic", "dead_letters_topic"), topics.outputs, strict=True))
    return {
        "windows": {"size_s": 2.0, "step_s": 1.0, "idle_after_s": 1.5},
        "sources": [{"kind": "kafka", "kafka": source | inputs}],
        "sinks": [{"kind": "kafka", "kafka": outputs}],
        "delivery": {
            "guarantee": guarantee,
            "transactional_id": f"{topics.group}.one" if guarantee == "exactly_once" else "",
        },
        "http": {"bind": ""},
        "transcription": NO_SPEECH,
        "lifecycle": {"state_dir": str(state_dir)},
    }


def lines(start_ns: int) -> list[Record]:
    """Two sessions in turn; the first has the killer in the middle."""
    made = []
    for number in range(_LINES):
        text = KILLER if number == _LINES // 2 else f"it is {number}"
        at_ns = start_ns + number * NS_PER_S // 2
        made.append(
            Record(
                f"room {number % 2}", Modality.TEXT, CONTENT_TYPES[Modality.TEXT], text.encode(), at_ns, at_ns, number
            )
        )
    return made


def written(topics: Topics, records: list[Record]) -> None:
    with KafkaProducer(bootstrap_servers=topics.cluster.bootstrap) as producer:
        for record in records:
            key, value, headers = to_kafka(record)
            producer.send(
                topics.text,
                key=key,
                value=value,
                headers=headers,
                partition=0,
                timestamp_ms=record.event_time_ns // NS_PER_MS,
            )
        producer.flush()


def all_is_committed(topics: Topics) -> bool:
    at = TopicPartition(topics.text, 0)
    with topics.cluster.admin() as admin:
        end = admin.list_partition_offsets({at: -1})[at].offset
        try:
            committed = admin.list_group_offsets({topics.group: None})[topics.group].get(at)
        except KafkaError:  # the group is not there yet
            return False
    return committed is not None and committed.offset == end


@contextmanager
def restarted(folder: Path, of: dict[str, Any], topics: Topics) -> Iterator[list[int]]:
    """Restarts a killed instance until all is committed; returns its exits."""
    exits: list[int] = []
    deadline_s = time.monotonic() + _PATIENCE_S
    while True:
        instance = Instance("one", of, folder / f"{len(exits)}.log")
        while instance.exit_status is None and not (done := all_is_committed(topics)):
            assert time.monotonic() < deadline_s, f"not within {_PATIENCE_S:g} s, after {len(exits)} deaths"
            time.sleep(0.2)
        if instance.exit_status is None and done:
            break
        exits.append(instance.exit_status or 0)
    try:
        yield exits
    finally:
        instance.terminate()
        if instance.join(30) is None:
            instance.kill()


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_a_record_that_kills_is_a_dead_letter_after_two_deaths_and_costs_only_itself(
    guarantee: Guarantee, topics: Topics, tmp_path: Path
) -> None:
    topics.create(1)
    start_ns = (SystemClock().wall_ns() // NS_PER_S - _LINES // 2) * NS_PER_S
    records = lines(start_ns)
    written(topics, records)
    of = settings(topics, guarantee, tmp_path / "state")
    with restarted(tmp_path, of, topics) as exits:
        assert exits == [_KILLED] * 2
        letters = [read_dead_letter(message) for message in everything(topics.cluster.bootstrap, topics.dead_letters)]
        assert [(letter.reason, letter.value.decode(), letter.origin_offset) for letter in letters] == [
            ("crashed", KILLER, _LINES // 2)
        ]
        good = [record for record in records if record.payload != KILLER.encode()]
        published = [content(message.value) for message in everything(topics.cluster.bootstrap, topics.predictions)]
        assert {each["id"]: each for each in published} == expected(good, Config.model_validate(of))
