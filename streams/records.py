"""What sources hand on: records as received, and what a source knows about the time it has covered.

A record is one picture, one stretch of sound or one line of text, still in the form it arrived in. Nothing here
decodes.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Modality(StrEnum):
    """One kind of evidence about a session."""

    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"


RAW_PICTURE = "image/x-raw"
"""Content type of an undecoded-by-us picture: a BGR array from a camera, or a PyAV frame of a media file."""


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Where a record lies in a log: enough to read it again."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record as received.

    `payload` is bytes for every content type but RAW_PICTURE, whose payload is a (height, width, 3) BGR uint8 array
    or a PyAV VideoFrame (converted only if a window uses it). `event_time_ns` is when it happened (sound: its first
    sample).
    """

    session: str
    modality: Modality
    content_type: str
    payload: Any
    event_time_ns: int
    received_ns: int
    sequence: int | None = None
    coordinates: Coordinates | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """A source's promise: this stream has nothing (more) before `through_ns`, though it may be silent."""

    session: str
    modality: Modality
    through_ns: int


@dataclass(frozen=True, slots=True)
class EndOfSession:
    """Nothing more will come for this session: its windows close now."""

    session: str


Item = Record | Progress | EndOfSession
"""What travels from a source to the timeline, in order."""
