"""Two authors, a named record and a call of two channels on a real broker: each has an answer, as without Kafka."""

import json
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from streams.clock import NS_PER_S, SystemClock
from streams.participants import NamedBy, Participant
from streams.records import Modality, Record
from tests.kafka.conftest import Topics
from tests.kafka.hashing import content, expected
from tests.kafka.in_process import configured, daemon
from tests.kafka.reading import everything
from tests.kafka.test_idle_partitions import Writer

pytestmark = pytest.mark.kafka

WINDOWS = {"size_s": 2.0, "step_s": 1.0, "idle_after_s": 1.5}
PATIENCE_S = 60.0
CALL_S = 6
RATE_HZ = 8000
LONG = "x" * 1024


def records(start_ns: int) -> list[Record]:
    """A chat of two authors with one line from elsewhere, and a call of two channels."""
    made = []
    for number in range(CALL_S * 2):
        at_ns = start_ns + number * NS_PER_S // 2
        line = {"text": f"line {number}", "author": ("ann", "ben")[number % 2]}
        made.append(Record("chat", Modality.TEXT, "application/json", json.dumps(line).encode(), at_ns, 0, number))
        pcm = np.full((RATE_HZ // 2, 2), (100 + number, -100 - number), "<i2").tobytes()
        kind, channels = f"audio/L16;rate={RATE_HZ};channels=2", ("agent", "customer")
        made.append(Record("call", Modality.AUDIO, kind, pcm, at_ns, 0, number, channels=channels))
    eve = Participant("eve", NamedBy.HEADER)
    made.append(Record("chat", Modality.TEXT, "text/plain", b"hello", start_ns + NS_PER_S, 0, 0, participant=eve))
    return made


def until(holds: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up_s
        time.sleep(0.1)  # the daemon and the broker work in real time


def test_each_author_and_each_channel_is_scored_and_a_name_of_1_kb_is_a_dead_letter(topics: Topics) -> None:
    topics.create(partitions=1)
    start_ns = SystemClock().wall_ns() // NS_PER_S * NS_PER_S - 60 * NS_PER_S
    good = records(start_ns)
    bad = replace(good[0], payload=b"{}", participant=Participant(LONG, NamedBy.HEADER))
    config = configured(topics, WINDOWS)
    wanted = expected(good, config)

    def published() -> dict[str, bytes]:
        lines = [message.value for message in everything(topics.cluster.bootstrap, topics.predictions)]
        return {json.loads(line)["id"]: line for line in lines}

    with daemon(config):
        writer = Writer(topics)
        try:
            writer.write([(0, record) for record in [bad, *sorted(good, key=lambda each: each.event_time_ns)]])
        finally:
            writer.close()
        until(lambda: published().keys() >= wanted.keys())
    found = {key: content(line) for key, line in published().items()}
    assert found == wanted
    people = {each["session"]: set[tuple[str, str]]() for each in found.values()}
    for each in found.values():
        people[each["session"]] |= {(one["id"], one["named_by"]) for one in each["participants"]}
    assert people == {
        "chat": {("ann", "author"), ("ben", "author"), ("eve", "header")},
        "call": {("agent", "channel"), ("customer", "channel")},
    }
    [letter] = everything(topics.cluster.bootstrap, topics.dead_letters)
    headers = dict(letter.headers)
    assert headers["x-error-reason"] == b"invalid_participant"
    assert headers["x-error-message"].startswith(b"header ce_participant")
    assert headers["ce_participant"] == LONG.encode()
