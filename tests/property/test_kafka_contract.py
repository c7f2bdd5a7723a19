"""Whatever a message holds, it is a record or it is said why not; and what is written is read back."""

import json
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kafka.consumer.fetcher import ConsumerRecord

from streams.formats.rfc3339 import MAX_NS
from streams.kafka.contract import InputTopic, from_kafka, to_kafka
from streams.kafka.dead_letters import dead_letter_message, read_dead_letter, resubmission
from streams.kafka.resubmissions import Resubmissions
from streams.participants import NamedBy, Participant, are_channel_names, is_participant_name
from streams.reasons import DeadLetterReason
from streams.records import MEDIA, Modality, Record, RejectedRecord, is_session_name

pytestmark = pytest.mark.property

RECEIVED_NS = 1_700_000_000_000_000_000
REASONS = {"missing_key", "invalid_session", "invalid_participant", "invalid_time", "empty"}
NAMES = [
    "ce_participant",
    "ce_channel",
    "ce_subject",
    "ce_time",
    "ce_sequence",
    "content-type",
    "CE_Time",
    "x-topic",
    "x-offset",
    "x-resubmitted",
]

nullable = st.none() | st.binary(max_size=40)
header_values = nullable | st.sampled_from([b"room", b"12", b"-3", b"2000-01-01T00:00:00Z", b"text/plain"])
headers = st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=10), header_values), max_size=6)
int64 = st.integers(-(2**63), 2**63 - 1)
times_ns = st.integers(0, MAX_NS)


@st.composite
def messages(draw: st.DrawFn) -> ConsumerRecord:
    key, value = draw(nullable | st.just(b"room")), draw(nullable)
    timestamp = draw(int64 | st.integers(0, 2_000_000_000_000))
    offset = draw(st.integers(0, 2**63 - 1))
    return ConsumerRecord("topic", 0, 0, offset, timestamp, 0, key, value, draw(headers), None, -1, -1, -1)


names = st.text(min_size=1, max_size=20).filter(is_participant_name)
sessions = st.text(min_size=1, max_size=256).filter(is_session_name)
records = st.builds(
    Record,
    session=sessions,
    modality=st.sampled_from(MEDIA),
    content_type=st.text(min_size=1, max_size=40),
    payload=st.binary(min_size=1, max_size=200),
    event_time_ns=times_ns,
    received_ns=times_ns,
    sequence=st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
    participant=st.none() | st.builds(Participant, names, st.just(NamedBy.HEADER)),
    channels=st.lists(names.map(str.strip), max_size=3)
    .map(tuple)
    .filter(lambda found: not found or are_channel_names(found)),
)


def as_consumed(topic: str, key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]) -> ConsumerRecord:
    return ConsumerRecord(topic, 3, 0, 99, 1_700_000_000_000, 0, key, value, headers, None, -1, -1, -1)


@given(messages(), st.sampled_from(MEDIA), times_ns)
def test_any_message_is_a_record_or_says_why_not(message: ConsumerRecord, modality: Modality, received_ns: int) -> None:
    item = from_kafka(message, InputTopic("topic", modality, "text/plain"), received_ns)
    assert item.coordinates is not None
    assert item.coordinates.offset == message.offset
    assert 0 <= item.coordinates.written_ns <= received_ns
    if isinstance(item, RejectedRecord):
        assert item.reason in REASONS
        assert 0 < len(item.why) < 500
        assert item.payload == (message.value or b"")
    else:
        assert is_session_name(item.session)
        assert item.payload == message.value
        item.content_type.encode()  # raises where half a character was let through


@given(records)
@example(Record("Ω", Modality.VIDEO, "image/png", b"x", MAX_NS, 0, 0))
def test_what_is_written_is_read_back_as_it_was(record: Record) -> None:
    topic = InputTopic(f"affectd.{record.modality}", record.modality, "application/octet-stream")
    item = from_kafka(as_consumed(topic.name, *to_kafka(record)), topic, record.received_ns)
    assert isinstance(item, Record)
    assert replace(item, coordinates=None) == record


@given(messages(), st.text(max_size=300))
def test_a_dead_letter_gives_back_the_message_it_was(message: ConsumerRecord, why: str) -> None:
    item = from_kafka(message, InputTopic("topic", Modality.TEXT, "text/plain"), RECEIVED_NS)
    assert item.coordinates is not None
    kept = message.value or b""
    record = RejectedRecord(Modality.TEXT, kept, RECEIVED_NS, item.coordinates, DeadLetterReason.CORRUPT, why)
    letter = read_dead_letter(as_consumed("dead", *dead_letter_message(record)))
    assert (letter.origin, letter.origin_offset) == (("topic", 0), message.offset)
    assert (letter.reason, letter.first_seen_ns) == ("corrupt", RECEIVED_NS)
    again = resubmission(letter)
    assert (again.key, again.value) == (message.key, kept)
    came = [(name, value or b"") for name, value in message.headers if not name.startswith("x-")]
    assert [(name, value) for name, value in again.headers if not name.startswith("x-")][: len(came)] == came


@given(messages())
def test_whatever_lies_in_the_dead_letter_topic_can_be_looked_at(message: ConsumerRecord) -> None:
    letter = read_dead_letter(message)
    json.dumps(letter.described("dead"))
    assert letter.value == (message.value or b"")
    assert letter.attempts >= 0


@given(st.sets(st.integers(0, 60)), st.lists(st.sets(st.integers(0, 60)), max_size=4))
def test_of_letters_sent_once_more_none_is_forgotten_and_no_other_is_taken_for_one(
    letters: set[int], picks: list[set[int]]
) -> None:
    committed, sent = (0, ""), set[int]()
    for pick in picks:
        done = Resubmissions(*committed)
        for offset in sorted(pick & letters):
            done.add(offset)
            sent.add(offset)
        remaining = [offset for offset in letters if offset >= committed[0]]
        committed = done.committable(remaining, end=61)
        assert committed[1].count(",") <= len(remaining) - len(
            sent & set(remaining)
        )  # only those not sent part a range
        assert {offset for offset in letters if offset in Resubmissions(*committed)} == sent


@given(st.integers(0, 100), st.text(max_size=30))
def test_whatever_was_committed_can_be_read(offset: int, metadata: str) -> None:
    assert (offset in Resubmissions(offset + 1, metadata)) is True
