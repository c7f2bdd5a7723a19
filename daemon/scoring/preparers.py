"""The CPU work of each modality: decode, then find the face, find the voice, or cut into tokens.

All workers share one set. Faces are followed per session, which one worker serves at a time; sound and lines remember
nothing.
"""

import os
from collections.abc import Mapping
from dataclasses import replace

from daemon.config import Config
from daemon.scoring.preparation import Preparer
from daemon.scoring.results import UnitRows
from models.face.detector import FaceDetector
from models.face.rotated import RotatedFaceDetector
from models.face.tracking import FaceTracker, TrackerConfig
from models.model import AffectModel
from models.speech.encoder import SpeechEncoder
from models.text.encoder import TextEncoder
from streams.clock import NS_PER_S
from streams.decoding import pictures, sound
from streams.events import EncodingUnit, Line, Picture, SoundPieces
from streams.records import Modality

_LEAST_WORKERS = 2  # so that a picture that takes long leaves one to the other sessions
_MOST_WORKERS = 8  # beyond it, the timeline thread and the device are what is waited for


class FacesOfPictures:
    """A picture becomes the faces on it; none where nobody is seen."""

    def __init__(
        self, detector: FaceDetector, follow: TrackerConfig, max_side_px: int, turned: RotatedFaceDetector | None = None
    ) -> None:
        self._detector = detector
        self._turned = turned
        self._follow = follow
        self._max_side_px = max_side_px
        self._followers: dict[str, FaceTracker] = {}

    def prepare(self, unit: EncodingUnit) -> UnitRows:
        if not isinstance(unit.payload, Picture):
            raise TypeError(f"a video unit holds a Picture, not {type(unit.payload).__name__}")
        follower = self._followers.get(unit.session)
        if follower is None:
            follower = self._followers[unit.session] = FaceTracker(self._detector, self._follow, self._turned)
        faces = follower.faces(pictures.decode_picture(unit.payload, self._max_side_px), unit.start_ns)
        if not faces:
            return UnitRows((), {})
        largest = max(faces, key=lambda face: face.size_px)
        quality = {
            "faces": float(len(faces)),
            "size_px": largest.size_px,
            "sharpness": largest.sharpness,
            "brightness": largest.brightness,
        }
        return UnitRows(faces, quality)

    def forget(self, session: str) -> None:
        self._followers.pop(session, None)


class VoiceOfSound:
    """A segment of sound becomes one row if there is a voice in it, and none if there is not."""

    def __init__(self, encoder: SpeechEncoder) -> None:
        self._encoder = encoder

    def prepare(self, unit: EncodingUnit) -> UnitRows:
        if not isinstance(unit.payload, SoundPieces):
            raise TypeError(f"an audio unit holds SoundPieces, not {type(unit.payload).__name__}")
        whole = self._encoder.prepare(sound.render_segment(unit.payload, unit.start_ns, unit.end_ns))
        segment = replace(whole, unbroken_s=unit.unbroken_s)
        quality = {"level_db": segment.level_db, "snr_db": segment.snr_db}
        return UnitRows((segment,) if segment.voiced_fraction > 0 else (), quality)

    def forget(self, session: str) -> None:
        """Nothing is remembered."""


class TokensOfLines:
    """A line of chat becomes its tokens."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder

    def prepare(self, unit: EncodingUnit) -> UnitRows:
        if not isinstance(unit.payload, Line):
            raise TypeError(f"a text unit holds a Line, not {type(unit.payload).__name__}")
        return UnitRows((self._encoder.prepare(unit.payload.text),), {"characters": float(len(unit.payload.text))})

    def forget(self, session: str) -> None:
        """Nothing is remembered."""


def following(config: Config) -> TrackerConfig:
    """Whose faces are followed, and how far: not into the next window, whose faces must not depend on earlier ones."""
    cells_ns = round(config.video.detect_every_s * NS_PER_S), config.windows.step_ns
    return TrackerConfig(policy=config.video.face_policy, cells_ns=cells_ns)


def build_workers(config: Config, model: AffectModel) -> list[Mapping[Modality, Preparer]]:
    """Preparers for each worker thread: as many workers as there are cores, up to a few, and two at least."""
    detector = FaceDetector()
    turned = RotatedFaceDetector(detector)
    follow = following(config)
    speech, text = model.encoders["audio"], model.encoders["text"]
    if not (isinstance(speech, SpeechEncoder) and isinstance(text, TextEncoder)):
        raise TypeError(f"model {model.name}: its encoders are not those that sound and lines are prepared for here")
    preparers: Mapping[Modality, Preparer] = {
        Modality.VIDEO: FacesOfPictures(detector, follow, config.video.max_side_px, turned),
        Modality.AUDIO: VoiceOfSound(speech),
        Modality.TEXT: TokensOfLines(text),
    }
    return [preparers] * max(_LEAST_WORKERS, min(_MOST_WORKERS, os.cpu_count() or 1))
