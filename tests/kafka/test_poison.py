"""Bad records are dead-lettered with a reason, and cost only themselves.

All of it lies in the same partitions as the good records, most of it in the same sessions.
"""

import io
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import CoordinatorNotAvailableError

from daemon.config import Config
from daemon.wiring import limits
from streams.clock import NS_PER_MS, NS_PER_S, SystemClock
from streams.decoding import pictures
from streams.decoding.decode import decode_record
from streams.events import Picture
from streams.formats.rfc3339 import format_ns
from streams.kafka.contract import CONTENT_TYPES, Headers, InputTopic, from_kafka, to_kafka
from streams.kafka.dead_letters import read_dead_letter
from streams.reasons import BadRecord
from streams.records import MEDIA, Modality, Record, RejectedRecord
from tests.kafka.conftest import Topics
from tests.kafka.hashing import content, expected
from tests.kafka.in_process import Daemon, configured, daemon
from tests.kafka.reading import everything

pytestmark = pytest.mark.kafka

PARTITIONS = 2
LENGTH_S = 6
PATIENCE_S = 60.0
LARGE_BYTES = 5_000_000
WINDOWS = {"size_s": 2.0, "step_s": 1.0, "idle_after_s": 1.5}
DAMAGED = b"room of damaged pictures"
DAY_S = 24 * 3600

At = tuple[str, int, int]
"""Topic, partition and offset."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message, what is wrong with it, and the expected reason.

    What is None is left out of the message.
    """

    modality: Modality
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int | None = None
    name: str = ""
    reason: str = ""


def jpeg() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1600, np.float32), 16_000, format="WAV")
    return file.getvalue()


def poisons(start_ns: int) -> Iterator[Sent]:
    """One bad message of every kind, within a session of good records."""
    picture, sound, noise = jpeg(), wav(), np.random.default_rng(0).bytes(LARGE_BYTES)
    at_ns = start_ns + NS_PER_S
    video, audio, text = MEDIA

    def kind(content_type: str, at_ns: int = at_ns) -> Headers:
        return [("content-type", content_type.encode()), ("ce_time", format_ns(at_ns).encode())]

    def bad(
        name: str, reason: str, modality: Modality, value: bytes | None, headers: Headers, key: bytes | None = b"room 0"
    ) -> Sent:
        return Sent(modality, key, value, headers, name=name, reason=reason)

    jpegs, wavs, lines = kind("image/jpeg"), kind("audio/wav"), kind("text/plain")
    damaged = picture[:700].ljust(len(picture), b"\xff")
    yield bad("a JPEG whose body is cut", "corrupt", video, picture[: len(picture) // 2], jpegs, DAMAGED)
    yield bad("a JPEG whose body is damaged", "corrupt", video, damaged, kind("image/jpeg", at_ns + NS_PER_S), DAMAGED)
    yield bad("no JPEG at all", "corrupt", video, b"I am a JPEG", jpegs)
    yield bad("noise of 5 MB", "corrupt", video, noise, jpegs)
    yield bad("a video of text", "content_type", video, b"hello", lines)
    yield bad("a WAV cut in its samples", "corrupt", audio, sound[: len(sound) // 2], wavs)
    yield bad("a WAV cut in its header", "corrupt", audio, sound[:20], wavs)
    yield bad("half a sample", "corrupt", audio, b"abc", kind("audio/L16;rate=16000;channels=1"))
    yield bad("sound of an unknown kind", "content_type", audio, sound, kind("audio/mpeg"))
    yield bad("a line of 5 MB", "oversized", text, b"a" * LARGE_BYTES, lines)
    yield bad("a line that is not UTF-8", "invalid_utf8", text, b"\xff\xfe", lines)
    yield bad("JSON that breaks off", "invalid_json", text, b'{"text": "he', kind("application/json"))
    yield bad("a line of blanks", "empty", text, b"  \n", lines)
    for modality in MEDIA:
        yield bad(f"{modality} without a key", "missing_key", modality, b"something", lines, None)
        yield bad(f"{modality} of a key that is not UTF-8", "invalid_session", modality, b"x", lines, b"\xff")
        yield bad(f"{modality} of no bytes", "empty", modality, b"", lines)
        yield bad(f"{modality} without a value", "empty", modality, None, lines)
    yield bad("a key of 1 MB", "invalid_session", text, b"hello", lines, b"k" * 1_000_000)
    yield bad("a key of no bytes", "invalid_session", text, b"hello", lines, b"")
    yield bad("headers by the thousand", "content_type", text, b"hello", [*[("x", b"y")] * 3000, *jpegs])
    yield bad("headers that are not UTF-8", "content_type", text, b"hello", [("content-type", b"\xff\xfe")])
    yield bad("a time that is not UTF-8", "invalid_time", text, b"hello", [("ce_time", b"\xff")])
    for odd in (
        b"2026-01-01",
        b"2026-01-01T00:00:00",
        b"2026-01-01T00:00:60Z",
        b"2026-13-01T00:00:00Z",
        b"1767225600",
        b"",
    ):
        yield bad(f"the time {odd!r}", "invalid_time", text, b"hello", [("ce_time", odd)])
    for name, second in (("1989", 631_151_999), ("2100", 4_102_444_800), ("tomorrow", at_ns // NS_PER_S + DAY_S)):
        yield bad(f"a time in {name}", "absurd_time", audio, sound, kind("audio/wav", second * NS_PER_S))
    yield bad("a time in words", "invalid_time", text, b"hello", [("ce_time", b"yesterday")])
    yield replace(bad("a timestamp of 1970", "absurd_time", text, b"hello", []), timestamp_ms=1)


def good(start_ns: int) -> list[Record]:
    """Two sessions of pictures, sound and lines, in event-time order."""
    chance = np.random.default_rng(1)
    made = []
    for session in ("room 0", "room 1"):
        for modality, step_s in ((Modality.VIDEO, 0.2), (Modality.AUDIO, 0.25), (Modality.TEXT, 0.7)):
            for number in range(int(LENGTH_S / step_s)):
                payload = {
                    Modality.VIDEO: jpeg(),
                    Modality.AUDIO: chance.bytes(8000),
                    Modality.TEXT: f"it is {number}".encode(),
                }[modality]
                event_ns = start_ns + round(number * step_s * NS_PER_S)
                made.append(Record(session, modality, CONTENT_TYPES[modality], payload, event_ns, event_ns, number))
    return sorted(made, key=lambda record: record.event_time_ns)


class Campaign:
    """Good records and bad ones, sent in the order of their times."""

    def __init__(self, topics: Topics, running: Daemon, config: Config) -> None:
        self._topics = topics
        self._running = running
        self._config = config
        self._topic_of = dict(zip(MEDIA, topics.inputs, strict=True))

    def run(self, bad: Callable[[int], Iterable[Sent]]) -> dict[At, Sent]:
        """Sends everything and waits; returns the coordinates of bad messages."""
        start_ns = (SystemClock().wall_ns() // NS_PER_S - LENGTH_S) * NS_PER_S
        records, others = good(start_ns), list(bad(start_ns))
        self.wanted = expected(records, self._config)
        handed = []
        with KafkaProducer(bootstrap_servers=self._topics.cluster.bootstrap, max_request_size=2**24) as producer:
            for at, record in enumerate(records):
                written_ms = record.event_time_ns // NS_PER_MS
                between = others[at :: len(records)]
                handed += [(other, self._send(producer, other, written_ms)) for other in between]
                message = to_kafka(record)
                self._send(producer, Sent(record.modality, *message), written_ms, int(record.session[-1]))
            producer.flush()
            placed = [(sent, future.get(timeout=PATIENCE_S)) for sent, future in handed]
        self._until(lambda: self._committed() == self._ends(), "all that was read to be committed")
        return {(at.topic, at.partition, at.offset): sent for sent, at in placed}

    def check_predictions(self) -> None:
        """Asserts that good records give what they give alone."""
        contents = [content(m.value) for m in everything(self._topics.cluster.bootstrap, self._topics.predictions)]
        of_good = {each["id"]: each for each in contents if each["session"] in ("room 0", "room 1")}
        assert of_good == self.wanted

    def letters(self) -> dict[At, ConsumerRecord]:
        found = everything(self._topics.cluster.bootstrap, self._topics.dead_letters)
        by_place = {}
        for message in found:
            letter = read_dead_letter(message)
            assert letter.origin is not None
            assert letter.origin_offset is not None
            by_place[letter.origin.topic, letter.origin.number, letter.origin_offset] = message
        assert len(by_place) == len(found), "a record was dead-lettered twice"
        return by_place

    def _send(self, producer: KafkaProducer, sent: Sent, written_ms: int, number: int = 0) -> Any:
        return producer.send(
            self._topic_of[sent.modality],
            key=sent.key,
            value=sent.value,
            headers=sent.headers,
            partition=number,
            timestamp_ms=sent.timestamp_ms or written_ms,
        )

    def _committed(self) -> dict[TopicPartition, int]:
        try:
            with self._topics.cluster.admin() as admin:
                offsets = admin.list_group_offsets({self._topics.group: None})[self._topics.group]
        except CoordinatorNotAvailableError:  # of a broker that has just started
            return {}
        return {at: position.offset for at, position in offsets.items()}

    def _ends(self) -> dict[TopicPartition, int]:
        wanted = [TopicPartition(topic, number) for topic in self._topics.inputs for number in range(PARTITIONS)]
        with self._topics.cluster.admin() as admin:
            return {at: listed.offset for at, listed in admin.list_partition_offsets(dict.fromkeys(wanted, -1)).items()}

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline_s, f"not within {PATIENCE_S:g} s: {what}"
            time.sleep(0.1)


@pytest.fixture
def campaign(topics: Topics) -> Iterator[tuple[Campaign, Daemon]]:
    topics.create(PARTITIONS, max_message_bytes=str(2 * LARGE_BYTES))
    config = configured(topics, WINDOWS)
    with daemon(config) as running:
        yield Campaign(topics, running, config), running


def test_every_kind_of_poison_is_dead_lettered_as_it_came_and_good_records_are_scored_as_without_it(
    campaign: tuple[Campaign, Daemon],
) -> None:
    run, running = campaign
    sent_at = run.run(poisons)
    letters = run.letters()
    assert not [sent.name for at, sent in sent_at.items() if at not in letters]
    assert len(letters) == len(sent_at)
    for at, sent in sent_at.items():
        letter = letters[at]
        assert read_dead_letter(letter).reason == sent.reason, sent.name
        assert (letter.key, letter.value or b"") == (sent.key, sent.value or b""), sent.name
        assert letter.headers[: len(sent.headers)] == sent.headers, sent.name
    run.check_predictions()
    for modality in MEDIA:
        assert running.metric("source_lag_records", source="kafka", modality=modality) == 0
    counts = Counter(sent.reason for sent in sent_at.values())
    assert {reason: running.metric("dead_letters_total", reason=reason) for reason in counts} == counts


TIMES = st.sampled_from(
    [b"2001-02-03T04:05:06Z", b"2001-02-03T04:05:06.789+01:00", b"1970-01-01T00:00:00Z", b"", b"now"]
)
TYPES = st.sampled_from([*CONTENT_TYPES.values(), "audio/wav", "audio/flac", "image/png", "application/json", ""])
HEADERS = st.lists(
    st.tuples(st.just("ce_time"), TIMES)
    | st.tuples(st.just("content-type"), TYPES.map(str.encode) | st.binary(max_size=20))
    | st.tuples(st.text(max_size=10), st.binary(max_size=20)),
    max_size=4,
)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A picture or a sound, of which a few bytes are others."""
    whole = bytearray(draw(st.sampled_from([jpeg(), wav()])))
    for _ in range(draw(st.integers(1, 4))):
        whole[draw(st.integers(0, min(99, len(whole) - 1)))] = draw(st.integers(0, 255))
    return bytes(whole)


ANYTHING = st.builds(
    Sent,
    st.sampled_from(MEDIA),
    st.none() | st.binary(max_size=12) | st.text(max_size=8).map(str.encode),
    st.none() | st.binary(max_size=200) | st.text(max_size=50).map(str.encode) | spoiled(),
    HEADERS,
).filter(lambda message: not (message.key is None and message.value is None))  # kafka-python sends no such thing


def anything(count: int) -> list[Sent]:
    """Messages from hypothesis, gathered, since each alone would take seconds."""
    made: list[Sent] = []

    @settings(max_examples=count, deadline=None, database=None)
    @given(ANYTHING)
    def gather(message: Sent) -> None:
        made.append(message)

    gather()
    return made


def refusal(message: ConsumerRecord, modality: Modality, config: Config) -> str | None:
    """The reason why a message cannot be used, if so.

    A picture that is damaged behind a good header is refused only if it is used.
    """
    item = from_kafka(message, InputTopic(message.topic, modality, CONTENT_TYPES[modality]), SystemClock().wall_ns())
    if isinstance(item, RejectedRecord):
        return item.reason
    try:
        event = decode_record(item, limits(config), live=False)
        if isinstance(event.payload, Picture):
            pictures.decode_picture(event.payload, 640)
    except BadRecord as error:
        return error.reason
    return None


def test_whatever_the_bytes_each_record_is_judged_alone(campaign: tuple[Campaign, Daemon], topics: Topics) -> None:
    run, _ = campaign
    sent_at = run.run(lambda _: anything(400))
    letters, config = run.letters(), configured(topics, WINDOWS)
    assert letters.keys() <= sent_at.keys()
    for modality, topic in zip(MEDIA, topics.inputs, strict=True):
        for message in everything(topics.cluster.bootstrap, topic):
            at = message.topic, message.partition, message.offset
            letter, reason = letters.get(at), refusal(message, modality, config)
            if letter is not None:
                assert read_dead_letter(letter).reason == reason
                assert (letter.key, letter.value or b"") == (message.key, message.value or b"")
                assert letter.headers[: len(message.headers)] == message.headers
            elif reason is not None:
                assert (modality, reason) == (Modality.VIDEO, "corrupt"), "only what was not decoded may stay"
    run.check_predictions()
