"""Items that sources hand on: records, progress and partition changes.

A record is one picture, one stretch of sound, one line of text or one signal, still in the form it arrived in. Nothing
here decodes.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from streams.coordinates import Coordinates, Partition
from streams.delivery.ledger import PartitionAssignment
from streams.participants import Participant
from streams.reasons import DeadLetterReason


class Modality(StrEnum):
    """One kind of evidence about a session."""

    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    SIGNALS = "signals"
    """Scores from elsewhere, of which nothing is encoded."""


MEDIA = (Modality.VIDEO, Modality.AUDIO, Modality.TEXT)
"""The modalities that are encoded."""


_LONGEST_SESSION_CHARACTERS = 256


def is_session_name(session: str) -> bool:
    """Whether it has 1 to 256 printable characters."""
    return 0 < len(session) <= _LONGEST_SESSION_CHARACTERS and session.isprintable()


RAW_PICTURE = "image/x-raw"
"""Content type of an undecoded-by-us picture: a BGR array from a camera, or a PyAV frame of a media file."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as received.

    `payload` is bytes for every content type but RAW_PICTURE, whose payload is a (height, width, 3) BGR uint8 array
    or a PyAV VideoFrame (see `streams.decoding.frames`; converted only if a window uses it). `event_time_ns` is when it
    happened (sound: its first sample).
    """

    session: str
    modality: Modality
    content_type: str
    payload: Any
    event_time_ns: int
    received_ns: int
    sequence: int | None = None
    coordinates: Coordinates | None = None
    participant: Participant | None = None
    """Whose it is, where the record or its source says so."""
    channels: tuple[str, ...] = ()
    """Of sound: names of its channels, where the record or its source says them."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A source's promise: the stream has nothing more before `through_ns`."""

    session: str
    modality: Modality
    through_ns: int


@dataclass(frozen=True, slots=True)
class EndOfSession:
    """Nothing more will come for this session: its windows close now."""

    session: str


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """A record of a log that cannot be used, for dead-lettering.

    The payload is as it came.
    """

    modality: Modality
    payload: bytes
    received_ns: int
    coordinates: Coordinates
    reason: DeadLetterReason
    why: str


@dataclass(frozen=True, slots=True)
class PartitionIdle:
    """A partition was at its end, and stayed so for `idle_ns`."""

    partition: Partition
    idle_ns: int


@dataclass(frozen=True, slots=True)
class Assigned:
    """A group of partitions is read from here on.

    A group is the partitions of one number, of all topics. assignment: from `Ledger.assigned`.
    """

    number: int
    assignment: PartitionAssignment


@dataclass(frozen=True, slots=True)
class Revoked:
    """Groups of partitions belong to another instance now.

    Their sessions are dropped, not finished: the other rebuilds them.
    """

    numbers: frozenset[int]


OfSession = Record | Progress | EndOfSession
"""What tells of one session."""
Item = OfSession | RejectedRecord | PartitionIdle | Assigned | Revoked
"""What travels from a source to the timeline, in order; all but the first three are a log's."""
