"""Mean recall of each of two people in one session, beside their session's and theirs alone.

Sessions are composed of two people with different emotions: two voices on the channels of a call (RAVDESS, EMO-DB), two
cameras, two faces in one picture (FER+), two authors (GoEmotions). Each person is scored with the other one there, and
alone. The session's own answer is compared with both of its people.

`python -m tests.benchmarks.participants_accuracy --data DIR` prints a row of JSON for each kind of session. Voices are
of people whom the model was trained on: what is compared are differences. Nothing is timed.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from daemon.config import Config
from daemon.scoring.inline import InlineScorer
from daemon.scoring.preparer import build_preparer
from daemon.scoring.results import BadRow, WindowScores
from models.data.corpora.ferplus import read_ferplus
from models.data.corpora.speech import read_emodb, read_pcm, read_ravdess
from models.data.corpora.text import read_corpus
from models.face.detector import FaceDetector
from models.face.expressions import EXPRESSIONS
from models.labels import EMOTIONS
from models.model import AffectModel
from models.scores import Scores
from models.speech.whisper import SAMPLE_RATE_HZ
from streams.alignment.driver import AlignmentDriver
from streams.alignment.sessions import Sessions
from streams.alignment.timeline_config import TimelineConfig
from streams.alignment.watermark import WatermarkConfig
from streams.alignment.windows import SegmentGrid, WindowGrid
from streams.clock import NS_PER_S, ManualClock
from streams.decoding.decode import Limits
from streams.delivery.ledger import Ledger
from streams.participants import NamedBy, Participant
from streams.records import EndOfSession, Modality, OfSession, Record
from streams.sources.stored.media_session import START_NS
from streams.telemetry import NullTelemetry

WINDOW_S = 4
_PICTURES_HZ = 1
_FACE_PX, _PICTURE_PX = 192, (240, 320)
_NAMES = ("a", "b")

Sound = NDArray[np.float32]
Grey = NDArray[np.uint8]
Colour = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Row:
    """Mean recalls over the people of one kind of session."""

    kind: str
    people: int
    uar_in_session: float
    uar_alone: float
    uar_of_session: float
    """Of the session's answer, compared with both of its people."""
    same_label: float
    """How many people have the same most probable emotion in the session and alone, 0..1."""


@dataclass(frozen=True, slots=True)
class Person:
    """What one person shows, and the emotion of it."""

    emotion: str
    content: Any


class Scorer:
    """Scores a session of one window, in the caller's thread."""

    def __init__(self, model: AffectModel) -> None:
        self._model = model
        self._preparer = build_preparer(Config(), model)

    def score(self, records: Sequence[Record]) -> WindowScores:
        """The scores of the window that begins with the session."""
        second_ns = NS_PER_S
        timeline = TimelineConfig(
            WindowGrid(WINDOW_S * second_ns, WINDOW_S * second_ns),
            WatermarkConfig(0, 3 * second_ns),
            segments=SegmentGrid(2 * second_ns, second_ns),
        )
        clock, telemetry = ManualClock(START_NS), NullTelemetry()
        sessions = Sessions(timeline, 3600 * second_ns, clock, telemetry, Ledger(timeline.grid))
        scorer = InlineScorer(AlignmentDriver(sessions, Limits(), clock, telemetry), self._preparer, self._model)
        ordered = sorted(records, key=lambda record: record.event_time_ns)
        items: list[OfSession] = [*ordered, EndOfSession("room")]
        windows = [window for item in items for window in scorer.take(item, "file")]
        [scores] = scorer.scores([window for window in windows if window.start_ns == START_NS])
        if isinstance(scores, BadRow):
            raise ArithmeticError(f"a window cannot be scored: {scores.reason}")
        return scores


def compare(
    kind: str,
    scorer: Scorer,
    pairs: Sequence[tuple[Person, ...]],
    compose: Callable[..., list[Record]],
    names: tuple[str, str] = _NAMES,
) -> Row:
    """Scores every pair together and each of its people alone.

    names: of the two people, as they are told apart.
    """
    people, together, alone, sessions = list[str](), list[str](), list[str](), list[str]()
    for pair in pairs:
        both = scorer.score(compose(*(person.content for person in pair)))
        found = {each.participant.id: each.scores for each in both.participants}
        for at, (name, person) in enumerate(zip(names, pair, strict=True)):
            by_itself = scorer.score(compose(*(each.content if at == i else None for i, each in enumerate(pair))))
            people.append(person.emotion)
            together.append(_likeliest(found[name]))
            alone.append(_likeliest(by_itself.session))
            sessions.append(_likeliest(both.session))
    same = sum(one == other for one, other in zip(together, alone, strict=True)) / len(people)
    return Row(kind, len(people), _uar(people, together), _uar(people, alone), _uar(people, sessions), same)


def call(*voices: Sound | None) -> list[Record]:
    """A call with a voice on each channel; alone, a voice has the only one."""
    there = {name: _cut(voice) for name, voice in zip(_NAMES, voices, strict=True) if voice is not None}
    samples = np.stack([*there.values()], axis=1)
    step = SAMPLE_RATE_HZ // 2
    kind = f"audio/L16;rate={SAMPLE_RATE_HZ};channels={len(there)}"
    channels = tuple(there) if len(there) > 1 else ()
    return [
        _record(Modality.AUDIO, kind, samples[at : at + step].tobytes(), at / SAMPLE_RATE_HZ, channels=channels)
        for at in range(0, len(samples), step)
    ]


def cameras(*faces: Grey | None) -> list[Record]:
    """A camera before each face."""
    return [
        _record(Modality.VIDEO, "image/png", png, at / _PICTURES_HZ, participant=Participant(name, NamedBy.CONFIG))
        for name, face in zip(_NAMES, faces, strict=True)
        if face is not None
        for png in [_picture(face)]
        for at in range(WINDOW_S * _PICTURES_HZ)
    ]


def faces(*shown: Grey | None) -> list[Record]:
    """A picture of all faces, side by side."""
    halves = [_canvas(face) if face is not None else _wall() for face in shown]
    png = cv2.imencode(".png", np.concatenate(halves, axis=1))[1].tobytes()
    return [_record(Modality.VIDEO, "image/png", png, at / _PICTURES_HZ) for at in range(WINDOW_S * _PICTURES_HZ)]


def chat(*lines: str | None) -> list[Record]:
    """A line of each author."""
    return [
        _record(Modality.TEXT, "application/json", json.dumps({"text": line, "author": name}).encode(), at + 1.0)
        for at, (name, line) in enumerate(zip(_NAMES, lines, strict=True))
        if line is not None
    ]


def rows(data: Path, of_each: int, scorer: Scorer) -> Iterator[Row]:
    """A row for each kind of session. of_each: people of each emotion, at most."""
    clips = _pairs([(clip.emotion, clip) for clip in (*read_ravdess(data), *read_emodb(data))], of_each)
    yield compare("channels", scorer, [_mapped(pair, read_pcm) for pair in clips], call)
    valid, detector = read_ferplus(data, "valid"), FaceDetector()
    shown = zip(valid.images, valid.labels, strict=True)
    seen = [(EXPRESSIONS[label], image) for image, label in shown if EXPRESSIONS[label] in EMOTIONS]
    people = _pairs(seen, of_each, lambda image: _is_found(detector, image))
    yield compare("cameras", scorer, people, cameras)
    yield compare("faces", scorer, people, faces, ("face-1", "face-2"))
    said = [
        (EMOTIONS[sample.emotion.index(1.0)], sample.text)
        for sample in read_corpus("goemotions", data, "valid")
        if sample.emotion is not None and 1.0 in sample.emotion
    ]
    yield compare("authors", scorer, _pairs(said, of_each), chat)


def _pairs(
    labelled: Sequence[tuple[str, Any]], of_each: int, usable: Callable[[Any], bool] = lambda _: True
) -> list[tuple[Person, ...]]:
    """Pairs of people with different emotions, each emotion as often."""
    drawn = [labelled[at] for at in np.random.default_rng(0).permutation(len(labelled))]
    by_emotion: dict[str, list[Person]] = {emotion: [] for emotion in EMOTIONS}
    for emotion, content in drawn:
        found = by_emotion[emotion]
        if len(found) < of_each and usable(content):
            found.append(Person(emotion, content))
    count = min(map(len, by_emotion.values())) // 2
    return [
        (by_emotion[emotion][2 * at], by_emotion[EMOTIONS[(place + 1 + at % 6) % 7]][2 * at + 1])
        for place, emotion in enumerate(EMOTIONS)
        for at in range(count)
    ]


def _mapped(pair: tuple[Person, ...], to: Callable[[Any], Any]) -> tuple[Person, ...]:
    return tuple(Person(person.emotion, to(person.content)) for person in pair)


def _cut(voice: Sound) -> NDArray[np.int16]:
    """A window's length of sound, as PCM."""
    whole = np.zeros(WINDOW_S * SAMPLE_RATE_HZ, np.float32)
    whole[: len(voice)] = voice[: len(whole)]
    return (whole * 32_767).astype("<i2")


def _is_found(detector: FaceDetector, face: Grey) -> bool:
    """Whether the face is found beside an empty half, and before its own camera."""
    return all(detector.detect(each) for each in (_canvas(face), np.concatenate([_canvas(face), _wall()], axis=1)))


def _wall() -> Colour:
    return np.full((*_PICTURE_PX, 3), 128, np.uint8)


def _canvas(face: Grey) -> Colour:
    """A picture with the face in its middle: (height, width, 3) BGR."""
    (height, width), large = _PICTURE_PX, cv2.resize(face, (_FACE_PX, _FACE_PX), interpolation=cv2.INTER_CUBIC)
    picture = np.full((height, width), 128, np.uint8)
    top, left = (height - _FACE_PX) // 2, (width - _FACE_PX) // 2
    picture[top : top + _FACE_PX, left : left + _FACE_PX] = large
    return np.repeat(picture[:, :, None], 3, axis=2)


def _picture(face: Grey) -> bytes:
    return cv2.imencode(".png", _canvas(face))[1].tobytes()


def _record(modality: Modality, kind: str, payload: bytes, at_s: float, **named: Any) -> Record:
    time_ns = START_NS + round(at_s * NS_PER_S)
    return Record("room", modality, kind, payload, time_ns, time_ns, **named)


def _likeliest(scores: Scores) -> str:
    return EMOTIONS[max(range(len(EMOTIONS)), key=lambda at: scores.emotion[at])]


def _uar(people: Sequence[str], said: Sequence[str]) -> float:
    """Mean recall over the emotions that people have."""
    right: defaultdict[str, list[bool]] = defaultdict(list)
    for emotion, answer in zip(people, said, strict=True):
        right[emotion].append(emotion == answer)
    return sum(sum(each) / len(each) for each in right.values()) / len(right)


def main() -> None:
    """Prints a row of JSON for each kind of session."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--of-each", type=int, default=30)
    options = parser.parse_args()
    for row in rows(options.data, options.of_each, Scorer(AffectModel.load("default"))):
        rounded = {key: round(each, 3) if isinstance(each, float) else each for key, each in asdict(row).items()}
        print(json.dumps(rounded), flush=True)


if __name__ == "__main__":
    main()
