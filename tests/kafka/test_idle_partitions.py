"""Idle partitions stall no window; an absent broker closes none.

Sessions are written at the pace at which they happen; each loses one or all of its streams, some beside others of the
same partition that go on.
"""

import contextlib
import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from kafka import KafkaProducer
from kafka.consumer.fetcher import ConsumerRecord

from streams.clock import NS_PER_MS, NS_PER_S, SystemClock
from streams.formats import rfc3339
from streams.kafka.contract import to_kafka
from streams.records import MEDIA, Modality, Record
from tests.kafka.broker import Broker, Cluster
from tests.kafka.conftest import Topics
from tests.kafka.hashing import Content, content, expected
from tests.kafka.in_process import configured, daemon
from tests.kafka.reading import everything
from tests.kafka.test_poison import jpeg

pytestmark = pytest.mark.kafka

SIZE_S, STEP_S, IDLE_AFTER_S, BOUND_S = 2.0, 1.0, 2.0, 0.5
WINDOWS = {"size_s": SIZE_S, "step_s": STEP_S, "idle_after_s": IDLE_AFTER_S, "disorder_bound_ms": BOUND_S * 1000}
LENGTH_S = 12.0
BUSY_S = 3.0  # what a machine that is busy with other things may add; a window that is stalled is later than that
PATIENCE_S = 60.0
PARTITIONS = 3

VIDEO, AUDIO, TEXT = MEDIA
STEPS_S = {VIDEO: 0.2, AUDIO: 0.25, TEXT: 0.8}


@dataclass(frozen=True, slots=True)
class Room:
    """A session: its partition, and the end of each stream."""

    name: str
    number: int
    until_s: dict[Modality, float]


def going_on(**until_s: float) -> dict[Modality, float]:
    return {modality: until_s.get(modality, LENGTH_S) for modality in MEDIA}


ROOMS = (
    Room("all of it", 0, going_on()),
    Room("no text, beside others", 0, going_on(text=0)),
    Room("text stops, beside others", 0, going_on(text=3)),
    Room("sound stops, beside others", 0, going_on(audio=3)),
    Room("falls silent, beside others", 0, going_on(video=3, audio=3, text=3)),
    Room("no text", 1, going_on(text=0)),
    Room("text stops", 2, going_on(text=3)),
    Room("pictures stop", 2, going_on(video=3)),
)


def records(rooms: tuple[Room, ...], start_ns: int, from_s: float, to_s: float) -> list[tuple[int, Record]]:
    """Partition and record of what happens in a span, in order."""
    made = []
    for room in rooms:
        for modality, step_s in STEPS_S.items():
            for number in range(int(LENGTH_S / step_s)):
                at_s = number * step_s
                if from_s <= at_s < min(to_s, room.until_s[modality]):
                    event_ns = start_ns + round(at_s * NS_PER_S)
                    kind, payload = {
                        VIDEO: ("image/jpeg", jpeg()),
                        AUDIO: ("audio/L16;rate=8000;channels=1", bytes(2 * 2000)),
                        TEXT: ("text/plain", f"line {number}".encode()),
                    }[modality]
                    made.append((room.number, Record(room.name, modality, kind, payload, event_ns, 0, number)))
    return sorted(made, key=lambda each: each[1].event_time_ns)


class Writer:
    """Writes records as they happen, or with past timestamps."""

    def __init__(self, topics: Topics) -> None:
        self._topic_of = dict(zip(MEDIA, topics.inputs, strict=True))
        self._producer = KafkaProducer(bootstrap_servers=topics.cluster.bootstrap, acks="all")

    def write(self, planned: list[tuple[int, Record]], now_ns: Callable[[], int] | None = None) -> None:
        """Writes and waits for acknowledgements; with `now_ns`, in real time."""
        for number, record in planned:
            if now_ns is not None:
                time.sleep(max(0, record.event_time_ns - now_ns()) / NS_PER_S)
            key, value, headers = to_kafka(record)
            self._producer.send(
                self._topic_of[record.modality],
                key=key,
                value=value,
                headers=headers,
                partition=number,
                timestamp_ms=record.event_time_ns // NS_PER_MS,
            )
        self._producer.flush()

    def close(self) -> None:
        self._producer.close()


@dataclass(frozen=True, slots=True)
class Published:
    """A prediction: its window's end, why that closed, and the delay."""

    end_s: float
    closed_by: str
    after_s: float


@pytest.fixture(scope="module")
def published(broker: Cluster) -> dict[str, list[Published]]:
    """All predictions of each room, which say what they must."""
    topics = Topics(broker, f"silence-{uuid.uuid4().hex[:12]}").create(PARTITIONS)
    config, clock = configured(topics, WINDOWS), SystemClock()
    with daemon(config) as running, contextlib.closing(Writer(topics)) as writer:
        until(lambda: len(running.numbers) == PARTITIONS, "the partitions to be read")
        start_ns = (clock.wall_ns() // NS_PER_S + 1) * NS_PER_S
        planned = records(ROOMS, start_ns, 0, LENGTH_S)
        writer.write(planned, clock.wall_ns)
        wanted = expected((record for _, record in planned), config)
        until(lambda: contents(topics).keys() >= wanted.keys(), "all windows to close")
    assert contents(topics) == wanted
    by_room = defaultdict(list)
    for message in predictions(topics):
        prediction = json.loads(message.value)
        end_ns = rfc3339.parse(prediction["window"]["end"])
        after_s = message.timestamp / 1000 - end_ns / NS_PER_S
        by_room[prediction["session"]].append(
            Published((end_ns - start_ns) / NS_PER_S, prediction["window"]["closed_by"], after_s)
        )
    return by_room


def predictions(topics: Topics) -> list[ConsumerRecord]:
    return everything(topics.cluster.bootstrap, topics.predictions)


def contents(topics: Topics) -> dict[str, Content]:
    """What was published, by id."""
    return {each["id"]: each for each in (content(message.value) for message in predictions(topics))}


def until(holds: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, f"not within {PATIENCE_S:g} s: {what}"
        time.sleep(0.1)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_no_window_waits_for_a_stream_longer_than_until_it_counts_as_idle(
    room: Room, published: dict[str, list[Published]]
) -> None:
    latest = max(published[room.name], key=lambda each: each.after_s)
    print(f"{room.name}: at most {latest.after_s:.2f} s after its end, the window that ended at {latest.end_s:g} s")
    assert latest.after_s <= IDLE_AFTER_S + STEP_S + BUSY_S


def test_what_falls_silent_as_a_whole_is_closed_by_idleness_and_what_goes_on_is_not(
    published: dict[str, list[Published]],
) -> None:
    closed_by = {room: [each.closed_by for each in windows] for room, windows in published.items()}
    assert closed_by["falls silent, beside others"][-1] == "idle"
    before_the_end = [each.closed_by for each in published["all of it"] if each.end_s < LENGTH_S - BOUND_S]
    assert set(before_the_end) == {"watermark"}


def test_while_the_broker_is_away_no_time_passes_and_no_window_closes(
    own_broker: Callable[..., Broker], topics: Topics
) -> None:
    broker = own_broker()
    here = topics.on(broker).create(PARTITIONS)
    config, rooms = configured(here, WINDOWS), ROOMS[:2]
    start_ns = (SystemClock().wall_ns() // NS_PER_S - round(LENGTH_S)) * NS_PER_S
    before, after = records(rooms, start_ns, 0, LENGTH_S / 2), records(rooms, start_ns, LENGTH_S / 2, LENGTH_S)
    with daemon(config) as running, contextlib.closing(Writer(here)) as writer:
        until(lambda: len(running.numbers) == PARTITIONS, "the partitions to be read")
        writer.write(before)
        until(lambda: running.taken == len(before), "the first half to be taken")
        broker.pause()
        closed = running.closed
        time.sleep(2 * IDLE_AFTER_S + SIZE_S)  # the clock goes on: real time
        assert running.closed == closed
        broker.resume()
        writer.write(after)
        wanted = expected((record for _, record in (*before, *after)), config)
        until(lambda: contents(here).keys() >= wanted.keys(), "all windows to close")
        assert running.metric("late_events_total", modality="video") == 0
    assert contents(here) == wanted
