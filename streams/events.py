"""Events, and the encoding units that they are assembled into."""

import hashlib
import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.coordinates import Coordinates
from streams.participants import Participant
from streams.reasons import DeadLetterReason
from streams.records import Modality, Record


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture, still compressed (or not yet converted), its header already checked."""

    content_type: str
    payload: Any
    """Bytes, a (height, width, 3) BGR uint8 array, or a PyAV VideoFrame."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples at `rate_hz`: (n,), or (n, channels) of several.

    They are float32 in -1..1, or int16 as they came.
    """

    samples: NDArray[np.float32] | NDArray[np.int16]
    rate_hz: int
    _cache: list[tuple[bytes, bool]] = field(default_factory=list, init=False, repr=False, compare=False)
    """Cache of what reading all samples gave: a long sound lies in many segments."""

    def channel(self, at: int) -> "Sound":
        """One of several channels."""
        return Sound(self.samples[:, at].copy(), self.rate_hz)

    def digest(self) -> bytes:
        """Digest of the samples and their form."""
        return self._read_through()[0]

    def is_constant(self) -> bool:
        """Whether all samples are alike, as in silence."""
        return self._read_through()[1]

    def _read_through(self) -> tuple[bytes, bool]:
        if not self._cache:
            form = f"{self.samples.dtype}{self.samples.shape}".encode()
            digest = hashlib.blake2b(np.ascontiguousarray(self.samples).data, digest_size=16, key=form[:64]).digest()
            self._cache.append((digest, not np.ptp(self.samples)))
        return self._cache[0]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of chat, or what was said in one utterance.

    spoken: whether a recogniser wrote it. participant: whose it is, where the line says more than its author.
    """

    text: str
    author: str | None = None
    lang: str | None = None
    spoken: bool = False
    participant: str | None = None


@dataclass(frozen=True, slots=True)
class Signal:
    """A score from elsewhere, named; value and confidence are in 0..1.

    participant: whose it is, where it says so.
    """

    name: str
    value: float
    confidence: float = 1.0
    participant: str | None = None


@dataclass(frozen=True, slots=True)
class Voice:
    """Voice in a block of sound, frame by frame.

    probability: of voice, 0..1. level_db: loudness, dB full scale.
    """

    probability: tuple[float, ...]
    level_db: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """One word, with the event times at which it begins and ends."""

    text: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in one utterance; no words where that is nothing.

    text: the words as one line. confidence: the recogniser's, 0..1.
    """

    words: tuple[SpokenWord, ...]
    text: str
    language: str
    confidence: float


class Task(StrEnum):
    """What the engine does with a unit."""

    ENCODE = "encode"
    """Features for fusion."""
    DETECT_VOICE = "detect_voice"
    """A block of sound: where there is voice in it."""
    TRANSCRIBE = "transcribe"
    """An utterance: the words in it."""


@dataclass(frozen=True, slots=True)
class Event:
    """One decoded, timed unit of one modality.

    `time_ns` is UTC; `duration_ns` is 0 for a picture or a line.
    """

    session: str
    modality: Modality
    time_ns: int
    duration_ns: int
    received_ns: int
    payload: Picture | Sound | Line | Signal
    sequence: int | None = None
    record: Record | None = None
    """As it came from a log, to be dead-lettered if the payload is damaged."""
    participant: Participant | None = None
    """Whose it is; None where nobody says."""
    channels: tuple[str, ...] = ()
    """Of sound that is of several: the names of its channels."""


@dataclass(frozen=True, slots=True)
class SoundPieces:
    """The sounds of one segment, each with its aligned start time."""

    pieces: tuple[tuple[int, Sound], ...]


@dataclass(slots=True, eq=False)
class EncodingUnit:
    """What is encoded once: a picture, a sound segment, or a line.

    A signal is a unit too, and done from the start.

    It spans [start_ns, end_ns). `result` is the engine's, set when `done`; a unit that could not be encoded is done
    without a result. Blocks of sound and utterances are units of other tasks, which no window holds.
    """

    session: str
    modality: Modality
    start_ns: int
    end_ns: int
    received_ns: int
    payload: Picture | SoundPieces | Line | Signal | None
    """What to encode; a picture or a sound is freed when done, since pixels would be most of a session's memory."""
    order: tuple[int, int, str]
    """Where it stands among units of its modality: by time, then sequence, then content, never by arrival."""
    received_fraction: float = 1.0
    """How much of the span was received, 0..1."""
    unbroken_s: float = math.inf
    """Of sound: how long the stretch without a gap is in which the mean instant of it lies."""
    result: Any = None
    done: bool = False
    record: Record | None = None
    """The record of a picture from a log; freed with the payload."""
    sources: tuple[Coordinates, ...] = ()
    """Places of the log's records that it was made of."""
    damage: tuple[DeadLetterReason, str] | None = None
    """Why the payload could not be used, where it is at fault: a reason for counting, and a sentence."""
    task: Task = Task.ENCODE
    may_expire: bool = False
    """Of an utterance: whether it is dropped where the recogniser comes to it too late."""
    share: float = 1.0
    """How much of its result's weight it carries: a word has a share of what its utterance weighs."""
    participant: Participant | None = None
    """Whose it is; None where nobody says."""

    @property
    def stream(self) -> str:
        """Names what units may be followed in: the session, or its participant."""
        return self.session if self.participant is None else f"{self.session}\0{self.participant.id}"

    def finish(self) -> None:
        """Marks it encoded, or impossible to encode, and frees its payload.

        Windows need its `result` only, the text of a line, and a signal.
        """
        self.done = True
        if not isinstance(self.payload, Line | Signal):
            self.payload = None
        self.record = None
