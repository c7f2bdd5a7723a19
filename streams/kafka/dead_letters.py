"""Dead letters: what a record that cannot be used looks like in the dead-letter topic, and how it is sent once more.

A letter has the key, bytes and headers of the record as they came, and headers of ours that say where it lay and what
was wrong. Sent once more it goes where it lay, without our headers but one that counts the attempts, so that a letter
that comes back is seen to have done so. A record whose event time was its timestamp is given a `ce_time` then, for its
new timestamp says when it was sent. Headers of the record that are named as ours are lost when it is sent once more.
"""

from dataclasses import dataclass
from typing import Any

from kafka.consumer.fetcher import ConsumerRecord

from streams.coordinates import Partition
from streams.formats import rfc3339
from streams.kafka.contract import Headers, KafkaMessage
from streams.records import RejectedRecord

ATTEMPTS = "x-resubmitted"
"""Header of a record that was a dead letter: how often it was sent once more."""

_REASON, _WHY, _TOPIC, _PARTITION, _OFFSET = "x-error-reason", "x-error-message", "x-topic", "x-partition", "x-offset"
_FIRST_SEEN, _TIMESTAMP = "x-first-seen", "x-timestamp"
_OURS = frozenset({_REASON, _WHY, _TOPIC, _PARTITION, _OFFSET, _FIRST_SEEN, _TIMESTAMP, ATTEMPTS})


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead-letter topic; what its headers do not say is None or empty."""

    partition: int
    offset: int
    origin: Partition | None
    """Where the record lay, and `origin_offset` at which place; None where nobody says."""
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
        """What is printed of it, as JSON: nothing of what was said, written or seen, nor who."""
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
    """The message that keeps the record, for the dead-letter topic."""
    at = record.coordinates
    said = {
        _REASON: record.reason,
        _WHY: record.why,
        _TOPIC: at.partition.topic,
        _PARTITION: str(at.partition.number),
        _OFFSET: str(at.offset),
        _FIRST_SEEN: rfc3339.format_ns(record.received_ns),
        _TIMESTAMP: rfc3339.format_ns(at.written_ns),
    }
    ours = [(name, value.encode("utf-8", "replace")) for name, value in said.items()]
    return KafkaMessage(at.key, record.payload, [*at.headers, *ours])


def read_dead_letter(message: ConsumerRecord) -> DeadLetter:
    """What a message of the dead-letter topic says; never raises, whoever wrote it."""
    headers = [(name, value or b"") for name, value in message.headers]
    said = {name: value.decode("utf-8", "replace") for name, value in headers}
    number, offset = _whole(said.get(_PARTITION)), _whole(said.get(_OFFSET))
    return DeadLetter(
        partition=message.partition,
        offset=message.offset,
        origin=Partition(said[_TOPIC], number) if said.get(_TOPIC) and number is not None else None,
        origin_offset=offset,
        reason=said.get(_REASON, ""),
        why=said.get(_WHY, ""),
        first_seen_ns=_time_ns(said.get(_FIRST_SEEN)),
        timestamp=said.get(_TIMESTAMP, ""),
        attempts=_whole(said.get(ATTEMPTS)) or 0,
        key=message.key,
        value=message.value or b"",
        headers=headers,
    )


def resubmission(letter: DeadLetter) -> KafkaMessage:
    """The record as it came, to be sent to `letter.origin`."""
    headers = [(name, value) for name, value in letter.headers if name not in _OURS]
    if letter.timestamp and all(name.lower() != "ce_time" for name, _ in headers):
        headers.append(("ce_time", letter.timestamp.encode()))
    return KafkaMessage(letter.key, letter.value, [*headers, (ATTEMPTS, str(letter.attempts + 1).encode())])


def _whole(digits: str | None) -> int | None:
    """A number that fits a partition or an offset."""
    return int(digits) if digits and digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def _time_ns(text: str | None) -> int | None:
    try:
        return None if text is None else rfc3339.parse(text)
    except ValueError:
        return None
