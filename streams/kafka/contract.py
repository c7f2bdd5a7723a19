"""Converts Kafka messages to records and back: the input contract.

Reading: a topic holds one modality. The session is the key, else `ce_subject`; event time is `ce_time`, else the
message's timestamp; `ce_sequence`, `content-type`, `ce_participant` (whose it is) and `ce_channel` (names of the
channels of a sound, with commas between) may be there. So plain messages and CloudEvents 1.0 (binary mode,
Kafka protocol binding) are read alike. Of headers that repeat the last counts, and names are compared without case.
Writing: always CloudEvents, with an id that depends on nothing but the record.

Reading any bytes gives a record, or a `RejectedRecord` where there is no session, no time or no content. The content is
decoded later (`streams.decoding.decode`). Left out: CloudEvents' structured and batched modes.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from kafka.consumer.fetcher import ConsumerRecord

from streams.clock import NS_PER_MS
from streams.coordinates import Coordinates, Partition
from streams.formats import rfc3339
from streams.participants import (
    CHANNEL_RULE,
    NAME_RULE,
    NamedBy,
    Participant,
    are_channel_names,
    is_participant_name,
)
from streams.reasons import BadRecord, DeadLetterReason
from streams.records import Modality, Record, RejectedRecord, is_session_name

CONTENT_TYPES = {
    Modality.VIDEO: "image/jpeg",
    Modality.AUDIO: "audio/L16;rate=16000;channels=1",
    Modality.TEXT: "text/plain",
    Modality.SIGNALS: "application/json",
}
"""The content type of messages where neither they nor the configuration say it."""

_MOST_SEQUENCE = 2**63 - 1
_SOURCE = b"urn:affectd:produce"

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class InputTopic:
    """A topic of one modality."""

    name: str
    modality: Modality
    content_type: str
    """Of messages that name none."""
    channels: tuple[str, ...] = ()
    """Names of the channels of sounds that name none."""


class KafkaMessage(NamedTuple):
    """What a producer sends, without its topic."""

    key: bytes | None
    value: bytes
    headers: Headers


def from_kafka(message: ConsumerRecord, topic: InputTopic, received_ns: int) -> Record | RejectedRecord:
    """Converts a message to a record; never raises.

    Reasons of a rejected one: missing_key, invalid_session, invalid_participant, invalid_time, empty, content_encoding.
    """
    headers = tuple((name, value or b"") for name, value in message.headers) if message.headers else ()
    written_ns = message.timestamp * NS_PER_MS if message.timestamp >= 0 else received_ns
    coordinates = Coordinates(
        Partition(message.topic, message.partition),
        message.offset,
        min(written_ns, received_ns),
        message.key,
        headers,
    )
    named = {name.lower(): value for name, value in headers}
    try:
        return Record(
            _session(message.key, named),
            topic.modality,
            named["content-type"].decode("utf-8", "replace") if named.get("content-type") else topic.content_type,
            _content(message.value, named),
            _event_time_ns(message.timestamp, named),
            received_ns,
            _sequence(named["ce_sequence"]) if "ce_sequence" in named else None,
            coordinates,
            _participant(named),
            _channels(named) or topic.channels,
        )
    except BadRecord as rejected:
        payload = message.value or b""
        return RejectedRecord(topic.modality, payload, received_ns, coordinates, rejected.reason, str(rejected))


def to_kafka(record: Record) -> KafkaMessage:
    """Converts a record to a CloudEvent in binary mode.

    `from_kafka` gives the same record back, without coordinates. Its payload must be bytes, which that of a raw picture
    is not; ValueError if its event time is before 1970 or after 2262. Records that are the same in all that is sent
    have the same `ce_id`.
    """
    key = record.session.encode()
    time = rfc3339.format_ns(record.event_time_ns).encode()
    content_type = record.content_type.encode()
    sequence = [] if record.sequence is None else [("ce_sequence", str(record.sequence).encode())]
    participant = [] if record.participant is None else [("ce_participant", record.participant.id.encode())]
    channels = [("ce_channel", ",".join(record.channels).encode())] if record.channels else []
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", f"io.affectd.{record.modality}.v1".encode()),
        ("ce_source", _SOURCE),
        ("ce_subject", key),
        ("ce_time", time),
        ("content-type", content_type),
        *sequence,
        *participant,
        *channels,
    ]
    headers.append(("ce_id", _event_id(headers, record.payload)))
    return KafkaMessage(key, record.payload, headers)


def _session(key: bytes | None, named: dict[str, bytes]) -> str:
    if key is None:
        key = named.get("ce_subject")
        if key is None:
            raise BadRecord(
                DeadLetterReason.MISSING_KEY, "there is neither a key nor a header ce_subject to name the session"
            )
    try:
        session = key.decode()
    except UnicodeDecodeError as error:
        raise BadRecord(
            DeadLetterReason.INVALID_SESSION, f"byte {error.start} of the session's name is not UTF-8"
        ) from None
    if not is_session_name(session):
        raise BadRecord(DeadLetterReason.INVALID_SESSION, "a session's name has 1 to 256 printable characters")
    return session


def _participant(named: dict[str, bytes]) -> Participant | None:
    return Participant(_name("ce_participant", named), NamedBy.HEADER) if "ce_participant" in named else None


def _channels(named: dict[str, bytes]) -> tuple[str, ...]:
    if "ce_channel" not in named:
        return ()
    channels = tuple(name.strip() for name in _text("ce_channel", named).split(","))
    if not are_channel_names(channels):
        raise BadRecord(DeadLetterReason.INVALID_PARTICIPANT, f"header ce_channel: {CHANNEL_RULE}")
    return channels


def _name(header: str, named: dict[str, bytes]) -> str:
    name = _text(header, named)
    if not is_participant_name(name):
        raise BadRecord(DeadLetterReason.INVALID_PARTICIPANT, f"header {header}: {NAME_RULE}")
    return name


def _text(header: str, named: dict[str, bytes]) -> str:
    try:
        return named[header].decode()
    except UnicodeDecodeError as error:
        raise BadRecord(
            DeadLetterReason.INVALID_PARTICIPANT, f"header {header}: byte {error.start} is not UTF-8"
        ) from None


def _event_time_ns(timestamp_ms: int, named: dict[str, bytes]) -> int:
    written = named.get("ce_time")
    if written is not None:
        try:
            return rfc3339.parse(written.decode())
        except ValueError as error:  # that of UTF-8 too
            raise BadRecord(DeadLetterReason.INVALID_TIME, f"header ce_time: {error}") from None
    if timestamp_ms < 0:
        raise BadRecord(DeadLetterReason.INVALID_TIME, "there is neither a timestamp nor a header ce_time")
    return timestamp_ms * NS_PER_MS


def _content(value: bytes | None, named: dict[str, bytes]) -> bytes:
    if not value:
        raise BadRecord(DeadLetterReason.EMPTY, "the message has no value")
    encoding = named.get("content-encoding", b"").decode("utf-8", "replace").strip().lower()
    if encoding not in ("", "identity"):
        raise BadRecord(
            DeadLetterReason.CONTENT_ENCODING, f"header content-encoding: {encoding[:16]!r} is not read, only identity"
        )
    return value


def _sequence(digits: bytes) -> int | None:
    """The sequence number, for counting gaps; None where it is unreadable."""
    try:
        number = int(digits)
    except ValueError:
        return None
    return number if abs(number) <= _MOST_SEQUENCE else None


def _event_id(headers: Headers, payload: bytes) -> bytes:
    digest = hashlib.sha256()
    for _, value in headers:
        digest.update(len(value).to_bytes(4, "big") + value)
    digest.update(payload)
    return digest.hexdigest()[:32].encode()
