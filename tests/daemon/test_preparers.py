"""What each modality makes of a unit before the device sees it."""

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from daemon.config import Config
from daemon.scoring.preparation import Preparer
from daemon.scoring.preparers import FacesOfPictures, TokensOfLines, VoiceOfSound, following
from models.face.detector import Detection, FaceDetector
from models.face.tracking import TrackerConfig
from models.speech.encoder import SpeechEncoder
from models.speech.segment import SEGMENT_SAMPLES, SpeechSegment
from models.text.encoder import TextEncoder
from streams.events import EncodingUnit, Picture, Sound, SoundPieces
from streams.reasons import BadRecord
from streams.records import RAW_PICTURE, Modality
from tests.daemon.making import unit

pytestmark = pytest.mark.unit

PIXELS = np.random.default_rng(3).integers(0, 255, (240, 320, 3), np.uint8)
SMALL, LARGE = (10.0, 10.0, 50.0, 60.0), (150.0, 40.0, 250.0, 160.0)


@dataclass
class FakeDetector:
    """Sees faces in these boxes (left, top, right, bottom); keeps the sizes of the pictures it was shown."""

    boxes: tuple[tuple[float, float, float, float], ...] = ()
    shown: list[tuple[int, ...]] = field(default_factory=list)

    def detect(self, picture: NDArray[np.uint8]) -> list[Detection]:
        self.shown.append(picture.shape)
        return [Detection(box=box, score=0.9, landmarks=()) for box in self.boxes]


class FakeVoice:
    """Hears a voice in whatever is not silent."""

    def prepare(self, pcm: NDArray[np.float32]) -> SpeechSegment:
        assert pcm.shape == (SEGMENT_SAMPLES,)
        voiced = float(np.abs(pcm).max() > 0)
        return SpeechSegment(np.zeros((80, 100), np.float32), np.full(50, bool(voiced)), voiced, -20.0, 30.0)


class FakeTokens:
    def prepare(self, text: str) -> list[int]:
        return [ord(character) for character in text]


def faces(detector: FakeDetector, follow: TrackerConfig | None = None, max_side_px: int = 640) -> FacesOfPictures:
    return FacesOfPictures(cast(FaceDetector, detector), follow or TrackerConfig(), max_side_px)


def voices() -> VoiceOfSound:
    return VoiceOfSound(cast(SpeechEncoder, FakeVoice()))


def lines() -> TokensOfLines:
    return TokensOfLines(cast(TextEncoder, FakeTokens()))


def shown(at_s: float = 0.0, session: str = "room", picture: Picture | None = None) -> EncodingUnit:
    made = unit(Modality.VIDEO, at_s, session=session)
    made.payload = picture or Picture(RAW_PICTURE, PIXELS)
    return made


def heard(level: float) -> EncodingUnit:
    made = unit(Modality.AUDIO, 0, 2)
    sound = Sound(np.full(SEGMENT_SAMPLES, level, np.float32), SEGMENT_SAMPLES // 2)
    made.payload = SoundPieces(((made.start_ns, sound),))
    return made


def test_a_picture_becomes_the_face_on_it_with_its_quality() -> None:
    prepared = faces(FakeDetector((LARGE,))).prepare(shown())
    assert [face.box for face in prepared.rows] == [LARGE]
    assert set(prepared.quality) == {"faces", "size_px", "sharpness", "brightness"}
    assert prepared.quality["size_px"] == 120


def test_the_policy_says_whose_face_counts() -> None:
    detector = FakeDetector((SMALL, LARGE))
    assert [face.box for face in faces(detector).prepare(shown()).rows] == [LARGE]
    everyone = faces(detector, TrackerConfig(policy="all")).prepare(shown())
    assert len(everyone.rows) == everyone.quality["faces"] == 2


def test_a_picture_without_a_face_has_no_rows() -> None:
    assert faces(FakeDetector()).prepare(shown()).rows == ()


def test_a_damaged_picture_is_named_as_such() -> None:
    with pytest.raises(BadRecord):
        faces(FakeDetector()).prepare(shown(picture=Picture("image/jpeg", b"\xff\xd8 no picture")))


def test_pictures_are_scaled_down_before_faces_are_looked_for() -> None:
    detector = FakeDetector()
    faces(detector, max_side_px=160).prepare(shown())
    assert detector.shown == [(120, 160, 3)]


def test_faces_are_followed_within_a_session_until_it_is_forgotten() -> None:
    detector = FakeDetector((LARGE,))
    preparer = faces(detector, TrackerConfig(cells_ns=(1_000_000_000,)))
    for at_s in (0.0, 0.2, 0.4):
        preparer.prepare(shown(at_s))
    assert len(detector.shown) == 1
    preparer.prepare(shown(0.4, session="elsewhere"))
    assert len(detector.shown) == 2
    preparer.forget("room")
    preparer.prepare(shown(0.6))
    preparer.prepare(shown(0.6, session="elsewhere"))
    assert len(detector.shown) == 3


def test_faces_are_not_followed_from_one_window_into_the_next() -> None:
    config = Config.model_validate({"windows": {"step_s": 0.5}, "video": {"detect_every_s": 2, "face_policy": "all"}})
    assert following(config) == TrackerConfig("all", cells_ns=(2_000_000_000, 500_000_000))


def test_forgetting_an_unknown_session_is_nothing() -> None:
    faces(FakeDetector()).forget("never seen")


def test_a_voice_is_one_row_and_silence_none_but_both_tell_their_level() -> None:
    voice, silence = voices().prepare(heard(0.5)), voices().prepare(heard(0.0))
    assert len(voice.rows) == 1
    assert len(silence.rows) == 0
    assert voice.quality == silence.quality == {"level_db": -20.0, "snr_db": 30.0}


def test_a_line_becomes_its_tokens() -> None:
    prepared = lines().prepare(unit(text="ab"))
    assert list(prepared.rows) == [[97, 98]]
    assert prepared.quality == {"characters": 2.0}


@pytest.mark.parametrize(
    ("preparer", "wrong"),
    [(faces(FakeDetector()), Modality.TEXT), (voices(), Modality.VIDEO), (lines(), Modality.AUDIO)],
    ids=["pictures", "sound", "lines"],
)
def test_a_unit_of_another_modality_is_refused_by_name(preparer: Preparer, wrong: Modality) -> None:
    held: Any = unit(wrong)
    with pytest.raises(TypeError, match=f"not {type(held.payload).__name__}"):
        preparer.prepare(held)
