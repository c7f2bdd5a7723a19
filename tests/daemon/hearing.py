"""Sessions of synthesised speech, heard in the caller's thread: the way from records to words, without a model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import soxr

from daemon.scoring.inline import InlineScorer
from daemon.scoring.preparer import UnitPreparer
from daemon.scoring.results import Untranscribed
from daemon.scoring.transcription import QueuedUtterance, Transcriber
from models.face.detector import FaceDetector
from models.face.tracking import FaceTracker, TrackerConfig
from models.transcription.recognizer import Recognizer, RecognizerSettings
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.driver import AlignmentDriver
from streams.alignment.sessions import Sessions
from streams.clock import NS_PER_S
from streams.decoding.decode import Limits
from streams.decoding.sound import render_segment
from streams.delivery.ledger import Ledger
from streams.events import EncodingUnit, Line, SoundPieces, Task, Transcript
from streams.records import EndOfSession, Modality, OfSession, Progress, Record
from streams.speech.session_speech import SpeechConfig
from tests.daemon.making import instruments
from tests.daemon.test_engine import FakeModel
from tests.speech.synthesis import RATE_HZ, Samples, synthesize
from tests.speech.transcripts import error_rate
from tests.streams.making import config, ns, seconds

_WINDOW_S = 4.0


@cache
def recognizer() -> Recognizer:
    return Recognizer.load(RecognizerSettings(model="tiny", language="en", device="cpu", threads=1))


def said(sentences: Iterable[str], pause_s: float, voice: str = "en-us", words_per_minute: int = 165) -> Samples:
    """Sentences with a pause before each and after the last."""
    pause = np.zeros(round(pause_s * RATE_HZ), np.float32)
    pieces = [
        piece for text in sentences for piece in (pause, synthesize(text, voice, words_per_minute=words_per_minute).pcm)
    ]
    return np.concatenate([*pieces, pause])


def pcm16(pcm: Samples) -> bytes:
    return (np.clip(pcm, -1, 1) * 32767).astype("<i2").tobytes()


def chunk(
    pcm: Samples, at_s: float, rate_hz: int = RATE_HZ, session: str = "room", sequence: int | None = None
) -> Record:
    """A record of sound; pcm at rate_hz."""
    kind = f"audio/L16;rate={rate_hz};channels=1"
    return Record(session, Modality.AUDIO, kind, pcm16(pcm), ns(at_s), ns(at_s), sequence)


def chunks(
    pcm: Samples,
    lengths_s: Sequence[float] = (0.2,),
    rate_hz: int = RATE_HZ,
    jitter_s: Sequence[float] = (0.0,),
    session: str = "room",
) -> list[Record]:
    """Sound of 16 kHz cut into records of another rate, whose lengths and jitter of stamps come in turn."""
    there = pcm if rate_hz == RATE_HZ else soxr.resample(pcm, RATE_HZ, rate_hz)
    records: list[Record] = []
    at = 0
    while at < len(there):
        number = len(records)
        length = max(1, round(lengths_s[number % len(lengths_s)] * rate_hz))
        at_s = at / rate_hz + jitter_s[number % len(jitter_s)]
        records.append(chunk(there[at : at + length], at_s, rate_hz, session, number))
        at += length
    return records


@dataclass
class Listening:
    """A transcriber that notes what it was given."""

    transcriber: Transcriber
    utterances: list[tuple[float, float, str]] = field(default_factory=list)
    """Start and end in seconds, and text."""
    sounds: list[Samples] = field(default_factory=list)

    def transcribe(self, queued: Sequence[QueuedUtterance]) -> list[Transcript | Untranscribed]:
        answers = self.transcriber.transcribe(queued)
        for each, answer in zip(queued, answers, strict=True):
            text = answer.text if isinstance(answer, Transcript) else ""
            if isinstance(pieces := each.unit.payload, SoundPieces):
                self.sounds.append(render_segment(pieces, each.unit.start_ns, each.unit.end_ns))
            self.utterances.append((seconds(each.unit.start_ns), seconds(each.unit.end_ns), text))
        return answers


class Hearing:
    """Takes records; tells windows and the words in them."""

    def __init__(self, speech: SpeechConfig | None = None) -> None:
        self.instruments = of = instruments()
        self.windows: list[ClosedWindow] = []
        timeline = config(size_s=_WINDOW_S, step_s=_WINDOW_S, speech=speech or SpeechConfig())
        sessions = Sessions(timeline, 3600 * NS_PER_S, of.clock, of.metrics, Ledger(timeline.grid))
        self.driver = AlignmentDriver(sessions, Limits(), of.clock, of.metrics)
        self._listening = Listening(Transcriber(recognizer(), 3600, of.clock, of.metrics))
        preparer = UnitPreparer({}, _no_tracker, 640, recognizer())
        self._scorer = InlineScorer(
            self.driver,
            preparer,
            FakeModel(),
            _is_utterance,
            self._listening,  # type: ignore[arg-type]
        )

    def take(self, *items: OfSession) -> "Hearing":
        for item in items:
            self.windows += self._scorer.take(item, "file")
        return self

    def end(self, *sessions: str) -> "Hearing":
        return self.take(*(EndOfSession(session) for session in sessions or ("room",)))

    def promise(self, through_s: float, session: str = "room") -> "Hearing":
        return self.take(Progress(session, Modality.AUDIO, ns(through_s)))

    @property
    def utterances(self) -> list[tuple[float, float, str]]:
        """Start and end in seconds, and text, in order of transcription."""
        return self._listening.utterances

    @property
    def sounds(self) -> list[Samples]:
        """What the recogniser was given, in the same order."""
        return self._listening.sounds

    def words(self, session: str = "room") -> list[tuple[float, str]]:
        """Time and text of each word in the windows of a session."""
        return [
            (seconds(unit.start_ns), unit.payload.text)
            for window in self.windows
            if window.session == session
            for unit in window.units[Modality.TEXT]
            if isinstance(unit.payload, Line) and unit.payload.spoken
        ]

    def text(self, session: str = "room") -> str:
        return " ".join(text for _, text in self.words(session))


def heard(records: Iterable[Record]) -> Hearing:
    """Sessions to their ends."""
    taken = list(records)
    return Hearing().take(*taken).end(*sorted({record.session for record in taken}))


def errors(wanted: Iterable[str], found: str) -> float:
    """The word error rate: case and punctuation do not count."""
    return error_rate([" ".join(wanted)], [found])


def _no_tracker() -> FaceTracker:
    return FaceTracker(FaceDetector(), TrackerConfig())


def _is_utterance(unit: EncodingUnit) -> bool:
    return unit.task is Task.TRANSCRIBE
