"""The input contract: which message is which record."""

from dataclasses import replace
from typing import Any

import pytest
from kafka.consumer.fetcher import ConsumerRecord

from streams.clock import NS_PER_S
from streams.coordinates import Coordinates, Partition
from streams.formats import rfc3339
from streams.kafka.contract import CONTENT_TYPES, InputTopic, from_kafka, to_kafka
from streams.participants import NamedBy, Participant
from streams.records import MEDIA, Modality, Record, RejectedRecord

pytestmark = pytest.mark.unit

RECEIVED_NS = rfc3339.parse("2026-01-01T12:00:00Z")
WRITTEN_MS = (RECEIVED_NS - 2 * NS_PER_S) // 1_000_000
TOPICS = {modality: InputTopic(f"affectd.{modality}", modality, CONTENT_TYPES[modality]) for modality in MEDIA}

Headers = list[tuple[str, bytes | None]]


def message(
    key: bytes | None = b"room-1",
    value: bytes | None = b"hello",
    headers: Headers | None = None,
    timestamp: int = WRITTEN_MS,
    topic: str = "affectd.text",
) -> ConsumerRecord:
    return ConsumerRecord(topic, 2, 0, 17, timestamp, 0, key, value, headers or [], None, -1, -1, -1)


def read(sent: ConsumerRecord) -> Record:
    item = from_kafka(sent, TOPICS[Modality.TEXT], RECEIVED_NS)
    assert isinstance(item, Record)
    return item


def refused(sent: ConsumerRecord) -> RejectedRecord:
    item = from_kafka(sent, TOPICS[Modality.TEXT], RECEIVED_NS)
    assert isinstance(item, RejectedRecord)
    return item


def test_a_plain_message_is_a_record_of_its_key_at_its_timestamp() -> None:
    assert read(message()) == Record(
        "room-1",
        Modality.TEXT,
        "text/plain",
        b"hello",
        WRITTEN_MS * 1_000_000,
        RECEIVED_NS,
        None,
        Coordinates(Partition("affectd.text", 2), 17, WRITTEN_MS * 1_000_000, b"room-1", ()),
    )


@pytest.mark.parametrize("modality", MEDIA)
def test_a_message_that_names_no_content_type_has_that_of_its_topic(modality: Modality) -> None:
    item = from_kafka(message(topic=TOPICS[modality].name), TOPICS[modality], RECEIVED_NS)
    assert isinstance(item, Record)
    assert (item.modality, item.content_type) == (modality, CONTENT_TYPES[modality])


def test_a_cloud_event_says_session_time_sequence_and_content_type_in_headers() -> None:
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"com.example.chat"),
        ("ce_source", b"/chat"),
        ("ce_id", b"1"),
        ("ce_subject", "comité".encode()),
        ("ce_time", b"2026-01-01T12:59:59.123456789+01:00"),
        ("ce_sequence", b"00041"),
        ("content-type", b"application/json"),
    ]
    record = read(message(key=None, value=b'{"text": "hi"}', headers=headers))
    assert record.session == "comité"
    assert record.event_time_ns == RECEIVED_NS - NS_PER_S + 123_456_789
    assert record.sequence == 41
    assert record.content_type == "application/json"
    assert record.coordinates is not None
    assert record.coordinates.headers == tuple(headers)


def test_the_key_names_the_session_even_where_a_subject_does() -> None:
    assert read(message(headers=[("ce_subject", b"other")])).session == "room-1"


@pytest.mark.parametrize("name", ["content-type", "Content-Type", "CONTENT-TYPE"])
def test_header_names_are_compared_without_case(name: str) -> None:
    assert read(message(headers=[(name, b"application/json")])).content_type == "application/json"


def test_of_headers_that_repeat_the_last_counts() -> None:
    assert read(message(headers=[("ce_sequence", b"1"), ("ce_sequence", b"2")])).sequence == 2


def test_a_content_encoding_that_changes_nothing_is_read() -> None:
    assert read(message(headers=[("content-encoding", b"identity")])).payload == b"hello"


@pytest.mark.parametrize("value", [None, b""])
def test_an_empty_content_type_is_none(value: bytes | None) -> None:
    assert read(message(headers=[("content-type", value)])).content_type == "text/plain"


@pytest.mark.parametrize("digits", [b"", b"one", b"1.5", b"\xff", b"9" * 5000, b"9" * 20])
def test_a_sequence_that_cannot_be_read_is_none(digits: bytes) -> None:
    assert read(message(headers=[("ce_sequence", digits)])).sequence is None


def test_a_log_that_runs_ahead_of_our_clock_is_taken_to_be_written_as_it_is_received() -> None:
    record = read(message(timestamp=WRITTEN_MS + 3_600_000))
    assert record.coordinates is not None
    assert record.coordinates.written_ns == RECEIVED_NS
    assert record.event_time_ns == (WRITTEN_MS + 3_600_000) * 1_000_000


def test_event_time_can_stand_in_for_a_timestamp_that_is_missing() -> None:
    record = read(message(timestamp=-1, headers=[("ce_time", b"2000-01-01T00:00:00Z")]))
    assert record.coordinates is not None
    assert (record.event_time_ns, record.coordinates.written_ns) == (rfc3339.parse("2000-01-01T00:00:00Z"), RECEIVED_NS)


@pytest.mark.parametrize(
    ("changes", "reason", "why"),
    [
        ({"key": None}, "missing_key", "neither a key nor a header ce_subject"),
        ({"key": b""}, "invalid_session", "1 to 256 printable characters"),
        ({"key": b"a" * 257}, "invalid_session", "1 to 256 printable characters"),
        ({"key": b"a\nb"}, "invalid_session", "1 to 256 printable characters"),
        ({"key": b"abc\xff"}, "invalid_session", "byte 3"),
        ({"key": None, "headers": [("ce_subject", b"\xff")]}, "invalid_session", "byte 0"),
        ({"key": None, "headers": [("ce_subject", None)]}, "invalid_session", "1 to 256 printable characters"),
        ({"headers": [("ce_time", b"yesterday")]}, "invalid_time", "'yesterday'"),
        ({"headers": [("ce_time", b"\xff\xff")]}, "invalid_time", "ce_time"),
        ({"headers": [("ce_time", None)]}, "invalid_time", "ce_time"),
        ({"headers": [("ce_time", b"2000-02-30T00:00:00Z")]}, "invalid_time", "no such time"),
        ({"timestamp": -1}, "invalid_time", "neither a timestamp nor a header ce_time"),
        ({"value": None}, "empty", "no value"),
        ({"value": b""}, "empty", "no value"),
        ({"headers": [("Content-Encoding", b"gzip")]}, "content_encoding", "content-encoding: 'gzip'"),
    ],
)
def test_a_message_that_cannot_be_a_record_is_refused_with_its_bytes_and_a_reason(
    changes: dict[str, Any], reason: str, why: str
) -> None:
    sent = message(**changes)
    item = refused(sent)
    assert item.reason == reason
    assert why in item.why
    assert item.payload == (sent.value or b"")
    assert item.modality is Modality.TEXT
    assert (item.coordinates.partition, item.coordinates.offset) == (Partition("affectd.text", 2), 17)
    assert item.coordinates.key == sent.key


RECORD = Record("room-1", Modality.AUDIO, "audio/L16;rate=8000;channels=1", b"\0\1", RECEIVED_NS + 7, 0, 3)


def test_a_record_is_written_as_a_cloud_event_in_binary_mode() -> None:
    key, value, headers = to_kafka(RECORD)
    assert (key, value) == (b"room-1", b"\0\1")
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": dict(headers)["ce_id"],
        "ce_type": b"io.affectd.audio.v1",
        "ce_source": b"urn:affectd:produce",
        "ce_subject": b"room-1",
        "ce_time": b"2026-01-01T12:00:00.000000007Z",
        "ce_sequence": b"3",
        "content-type": b"audio/L16;rate=8000;channels=1",
    }


def event_id(record: Record) -> bytes:
    return dict(to_kafka(record).headers)["ce_id"]


def test_an_event_has_the_same_id_whenever_it_is_written() -> None:
    assert event_id(RECORD) == event_id(replace(RECORD, received_ns=1, payload=bytes(RECORD.payload)))


@pytest.mark.parametrize(
    "change",
    [
        {"session": "room-2"},
        {"modality": Modality.TEXT},
        {"content_type": "audio/wav"},
        {"payload": b"\0\2"},
        {"event_time_ns": RECEIVED_NS},
        {"sequence": 4},
        {"sequence": None},
    ],
)
def test_events_that_differ_have_different_ids(change: dict[str, Any]) -> None:
    assert event_id(RECORD) != event_id(replace(RECORD, **change))


@pytest.mark.parametrize("version", [b"0.3", b"1.0", b"2.0", b"\xff"])
def test_a_cloud_event_of_any_version_is_read_alike(version: bytes) -> None:
    headers: Headers = [("ce_specversion", version), ("ce_time", b"2026-01-01T11:59:59Z")]
    assert read(message(headers=headers)).event_time_ns == RECEIVED_NS - NS_PER_S


def test_where_the_broker_stamps_records_an_event_without_a_time_happened_when_it_was_appended() -> None:
    stamped = message()._replace(timestamp_type=1)  # LogAppendTime
    assert read(stamped).event_time_ns == WRITTEN_MS * 1_000_000
    timed = message(headers=[("ce_time", b"2026-01-01T11:59:00Z")])._replace(timestamp_type=1)
    assert read(timed).event_time_ns == RECEIVED_NS - 60 * NS_PER_S


def test_a_header_without_a_value_is_kept_as_an_empty_one() -> None:
    record = read(message(headers=[("trace", None)]))
    assert record.coordinates is not None
    assert record.coordinates.headers == (("trace", b""),)


def test_a_record_names_its_participant_and_its_channels() -> None:
    record = read(message(headers=[("ce_participant", "安".encode()), ("ce_channel", b"agent, customer")]))
    assert record.participant == Participant("安", NamedBy.HEADER)
    assert record.channels == ("agent", "customer")


def test_channels_of_a_record_that_names_none_are_those_of_its_topic() -> None:
    topic = replace(TOPICS[Modality.AUDIO], channels=("agent", "customer"))
    plain = from_kafka(message(), topic, RECEIVED_NS)
    named = from_kafka(message(headers=[("ce_channel", b"one")]), topic, RECEIVED_NS)
    assert isinstance(plain, Record)
    assert isinstance(named, Record)
    assert (plain.channels, named.channels) == (("agent", "customer"), ("one",))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("ce_participant", b"", "header ce_participant: a participant's name has 1 to 256 printable characters"),
        ("ce_participant", None, "header ce_participant: a participant's name has 1 to 256 printable characters"),
        (
            "ce_participant",
            b"x" * 1024,
            "header ce_participant: a participant's name has 1 to 256 printable characters",
        ),
        ("ce_participant", b"a\nb", "header ce_participant: a participant's name has 1 to 256 printable characters"),
        ("ce_participant", b"ann\xff", "header ce_participant: byte 3 is not UTF-8"),
        ("ce_channel", b"", "header ce_channel: 1 to 64 names"),
        ("ce_channel", b"agent,", "header ce_channel: 1 to 64 names"),
        ("ce_channel", b"agent,agent", "header ce_channel: 1 to 64 names"),
        ("ce_channel", b"\xff", "header ce_channel: byte 0 is not UTF-8"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_and_its_header_is_told(name: str, value: bytes | None, why: str) -> None:
    item = refused(message(headers=[(name, value)]))
    assert item.reason == "invalid_participant"
    assert item.why.startswith(why)
    assert item.payload == b"hello"
