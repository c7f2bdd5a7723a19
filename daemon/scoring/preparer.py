"""Prepares units for their encoders, on the CPU.

Media are decoded, the events in them are found, and the encoder makes each a row.
Which faces a picture shows is followed per session, since a face is looked for on few pictures only, and so is voice
from block to block. All else that a modality needs is its encoder's (`models.encoder.Encoder`), and of an utterance the
recogniser's. Left out: threads (`daemon.scoring.preparation`).
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from daemon.config import Config
from daemon.scoring.results import PreparedFace, UnitRows
from daemon.scoring.transcription import SpeechRecognizer
from models.encoder import Encoder
from models.face.detector import FaceDetector
from models.face.eyes import EyeReader
from models.face.rotated import RotatedFaceDetector
from models.face.sight import sight_of
from models.face.tracking import FacesSeen, FaceTracker, TrackerConfig
from models.model import AffectModel
from models.speech.segment import SegmentSound
from models.speech.voice_stream import VoiceStream
from models.text.encoder import ChatLine
from streams.clock import NS_PER_S
from streams.decoding import pictures, sound
from streams.events import EncodingUnit, Line, Picture, SoundPieces, Task, Voice
from streams.records import Modality

_MOST_STREAMS = 64  # of one session and modality: more than people speak in one minute, 5 MB of sound and pictures

Followed = TypeVar("Followed")


class UnitPreparer:
    """Implements `daemon.scoring.preparation.Preparer` for all modalities. Shared by all workers.

    No lock: each session has its own face trackers and streams of voice, one for each participant, and is served by one
    worker at a time.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        new_tracker: Callable[[], FaceTracker],
        max_side_px: int,
        recognizer: SpeechRecognizer | None = None,
    ) -> None:
        """max_side_px: larger pictures are scaled down before faces are looked for.

        recognizer: None where speech is not transcribed.
        """
        self._encoders = encoders
        self._new_tracker = new_tracker
        self._max_side_px = max_side_px
        self._recognizer = recognizer
        self._trackers: dict[str, OrderedDict[str, FaceTracker]] = {}
        self._voices: dict[str, OrderedDict[str, VoiceStream]] = {}

    @classmethod
    def of_speech(cls, recognizer: SpeechRecognizer) -> "UnitPreparer":
        """Builds a preparer that finds voice and prepares utterances, and encodes nothing."""
        return cls({}, _no_faces, 0, recognizer)

    def prepare(self, unit: EncodingUnit) -> UnitRows:
        if unit.task is Task.TRANSCRIBE and self._recognizer is not None:
            return UnitRows([self._recognizer.prepare(_rendered(unit))], {})
        encoder = self._encoders[unit.modality]
        if unit.modality is Modality.VIDEO and isinstance(unit.payload, Picture):
            return self._faces(unit, unit.payload, encoder)
        prepared = [encoder.prepare(event) for event in self._events(unit)]
        voiced = tuple(share for row in prepared for share in encoder.voiced(row))
        return UnitRows([row for row in prepared if encoder.weight(row) > 0], encoder.quality(prepared), voiced=voiced)

    def forget(self, session: str) -> None:
        self._trackers.pop(session, None)
        for stream in self._voices.pop(session, ()):
            if self._recognizer is not None:
                self._recognizer.forget(stream)

    def _events(self, unit: EncodingUnit) -> Sequence[Any]:
        """Finds a segment's sound, or a line."""
        match unit.modality, unit.payload:
            case Modality.AUDIO, SoundPieces():
                return [SegmentSound(_rendered(unit), unit.unbroken_s)]
            case Modality.TEXT, Line(text=text, spoken=spoken):
                return [ChatLine(text, spoken=spoken)]
            case modality, held:
                raise TypeError(f"a unit of {modality} cannot hold a {type(held).__name__}")

    def detect_voice(self, unit: EncodingUnit) -> Voice:
        voice, left = _followed(self._voices, unit, VoiceStream)
        if left is not None and self._recognizer is not None:
            self._recognizer.forget(left)
        probability, level_db = voice(unit.start_ns // (unit.end_ns - unit.start_ns), _rendered(unit))
        return Voice(tuple(probability.tolist()), tuple(level_db.tolist()))

    def _faces(self, unit: EncodingUnit, picture: Picture, encoder: Encoder) -> UnitRows:
        """The rows of a picture: the session's faces, then the others.

        Of a picture that somebody's camera took, all faces are theirs.
        """
        tracker, _ = _followed(self._trackers, unit, self._new_tracker)
        pixels = pictures.decode_picture(picture, self._max_side_px)
        if unit.participant is None:
            seen = tracker.all_faces(pixels, unit.start_ns)
        else:
            seen = FacesSeen(tracker.faces(pixels, unit.start_ns), [])
        chosen, others = ([encoder.prepare(face) for face in faces] for faces in (seen.chosen, seen.others))
        rows = [row for row in chosen if encoder.weight(row) > 0]
        quality = encoder.quality(chosen)
        if unit.participant is not None or not tracker.config.most_faces:
            return UnitRows(rows, quality)
        others = [row for row in others if encoder.weight(row) > 0]
        rows += others
        side_px = max(pixels.shape)
        followed = sorted(range(len(rows)), key=lambda at: (-rows[at].size_px, at))[: tracker.config.most_faces]
        faces = tuple(PreparedFace(at, sight_of(rows[at], side_px), encoder.quality([rows[at]])) for at in followed)
        return UnitRows(rows, quality, others=len(others), faces=faces)


def _followed(
    sessions: dict[str, OrderedDict[str, Followed]], unit: EncodingUnit, new: Callable[[], Followed]
) -> tuple[Followed, str | None]:
    """What follows the unit's stream, and a stream given up for it."""
    streams = sessions.setdefault(unit.session, OrderedDict())
    if unit.stream not in streams:
        streams[unit.stream] = new()
    streams.move_to_end(unit.stream)
    left = streams.popitem(last=False)[0] if len(streams) > _MOST_STREAMS else None
    return streams[unit.stream], left


def _no_faces() -> FaceTracker:
    raise TypeError("there are no pictures")


def _rendered(unit: EncodingUnit) -> NDArray[np.float32]:
    """The sound of a unit: (samples,) at 16 kHz."""
    if not isinstance(unit.payload, SoundPieces):
        raise TypeError(f"a unit of sound cannot hold a {type(unit.payload).__name__}")
    return sound.render_segment(unit.payload, unit.start_ns, unit.end_ns)


def tracker_config(config: Config) -> TrackerConfig:
    """Returns whose faces are followed, and how far.

    Not into the next window: its faces must not depend on earlier windows.
    """
    cells_ns = round(config.video.detect_every_s * NS_PER_S), config.windows.step_ns
    people = config.participants
    most_faces = people.most_participants if people.follow_faces else 0
    return TrackerConfig(policy=config.video.face_policy, cells_ns=cells_ns, most_faces=most_faces)


def build_preparer(config: Config, model: AffectModel, recognizer: SpeechRecognizer | None = None) -> UnitPreparer:
    """Builds the preparer that all workers share."""
    detector = FaceDetector()
    rotated, tracking = RotatedFaceDetector(detector), tracker_config(config)
    eyes = EyeReader() if config.risk.drowsiness else None
    side_px = config.video.max_side_px
    return UnitPreparer(model.encoders, lambda: FaceTracker(detector, tracking, rotated, eyes), side_px, recognizer)
