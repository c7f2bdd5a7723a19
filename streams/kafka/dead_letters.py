"""Converts records that cannot be used to dead letters, and back.

A dead letter has the key, bytes and headers of the record as they came, and headers of ours that say where it was and
what was wrong. Resubmitted, it goes where it was, without our headers but one that counts the attempts, so that a
letter that comes back is recognised. A record whose event time was its timestamp is given a `ce_time` then, for its new
timestamp says when it was sent. Headers of the record that are named as ours are lost when it is resubmitted.
"""

from dataclasses import dataclass
from typing import Any

from kafka.consumer.fetcher import ConsumerRecord

from streams.coordinates import Partition
from streams.formats import rfc3339
from streams.kafka.contract import Headers, KafkaMessage
from streams.records import RejectedRecord

ATTEMPTS = "x-resubmitted"
"""Header of a record that was a dead letter: how often it was resubmitted."""

_REASON, _WHY, _TOPIC, _PARTITION, _OFFSET = "x-error-reason", "x-error-message", "x-topic", "x-partition", "x-offset"
_FIRST_SEEN, _TIMESTAMP = "x-first-seen", "x-timestamp"
_OURS = frozenset({_REASON, _WHY, _TOPIC, _PARTITION, _OFFSET, _FIRST_SEEN, _TIMESTAMP, ATTEMPTS})


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead-letter topic.

    What its headers do not say is None or empty.
    """

    partition: int
    offset: int
    origin: Partition | None
    """The partition of the record; None where the headers do not say."""
    origin_offset: int | None
    reason: str
    why: str
    first_seen_ns: int | None
    timestamp: str
    attempts: int
    key: bytes | None
    value: bytes
    headers: Headers

    def described(self, topic: str) -> dict[str, Any]:
        """Its description as JSON, without content and without names of persons."""
        origin = None
        if self.origin is not None:
            origin = {"topic": self.origin.topic, "partition": self.origin.number, "offset": self.origin_offset}
        return {
            "topic": topic,
            "partition": self.partition,
            "offset": self.offset,
            "original": origin,
            "reason": self.reason,
            "message": self.why,
            "first_seen": None if self.first_seen_ns is None else rfc3339.format_ns(self.first_seen_ns),
            "attempts": self.attempts,
            "size_bytes": len(self.value),
        }


def dead_letter_message(record: RejectedRecord) -> KafkaMessage:
    """Converts a rejected record to a message for the dead-letter topic."""
    at = record.coordinates
    texts = {
        _REASON: record.reason,
        _WHY: record.why,
        _TOPIC: at.partition.topic,
        _PARTITION: str(at.partition.number),
        _OFFSET: str(at.offset),
        _FIRST_SEEN: rfc3339.format_ns(record.received_ns),
        _TIMESTAMP: rfc3339.format_ns(at.written_ns),
    }
    ours = [(name, value.encode("utf-8", "replace")) for name, value in texts.items()]
    return KafkaMessage(at.key, record.payload, [*at.headers, *ours])


def read_dead_letter(message: ConsumerRecord) -> DeadLetter:
    """Parses a message of the dead-letter topic; never raises."""
    headers = [(name, value or b"") for name, value in message.headers]
    texts = {name: value.decode("utf-8", "replace") for name, value in headers}
    number, offset = _whole(texts.get(_PARTITION)), _whole(texts.get(_OFFSET))
    return DeadLetter(
        partition=message.partition,
        offset=message.offset,
        origin=Partition(texts[_TOPIC], number) if texts.get(_TOPIC) and number is not None else None,
        origin_offset=offset,
        reason=texts.get(_REASON, ""),
        why=texts.get(_WHY, ""),
        first_seen_ns=_time_ns(texts.get(_FIRST_SEEN)),
        timestamp=texts.get(_TIMESTAMP, ""),
        attempts=_whole(texts.get(ATTEMPTS)) or 0,
        key=message.key,
        value=message.value or b"",
        headers=headers,
    )


def resubmission(letter: DeadLetter) -> KafkaMessage:
    """Converts a dead letter back to the record, for `letter.origin`."""
    headers = [(name, value) for name, value in letter.headers if name not in _OURS]
    if letter.timestamp and all(name.lower() != "ce_time" for name, _ in headers):
        headers.append(("ce_time", letter.timestamp.encode()))
    return KafkaMessage(letter.key, letter.value, [*headers, (ATTEMPTS, str(letter.attempts + 1).encode())])


def _whole(digits: str | None) -> int | None:
    """Parses a partition number or an offset."""
    return int(digits) if digits and digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def _time_ns(text: str | None) -> int | None:
    try:
        return None if text is None else rfc3339.parse(text)
    except ValueError:
        return None
