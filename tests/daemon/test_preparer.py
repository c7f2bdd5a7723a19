"""What each modality makes of a unit before the device sees it."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from daemon.config import Config
from daemon.scoring.preparer import UnitPreparer, tracker_config
from models.face.detector import Detection
from models.face.encoder import FaceEncoder
from models.face.tracking import FaceTracker, TrackerConfig
from models.speech.encoder import SpeechEncoder
from models.speech.segment import SEGMENT_SAMPLES, SegmentSound, SpeechSegment
from models.text.encoder import ChatLine, PreparedLine, Reading, TextEncoder
from streams.events import EncodingUnit, Picture, Sound, SoundPieces
from streams.participants import NamedBy, Participant
from streams.reasons import BadRecord
from streams.records import MEDIA, RAW_PICTURE, Modality
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


class PlainFaces(FaceEncoder):
    """Prepares faces as the encoder does, and has no network."""

    def __init__(self) -> None:
        pass


class FakeVoice(SpeechEncoder):
    """Hears a voice in whatever is not silent."""

    def __init__(self) -> None:
        pass

    def prepare(self, event: NDArray[np.float32] | SegmentSound) -> SpeechSegment:
        assert isinstance(event, SegmentSound)
        assert event.pcm.shape == (SEGMENT_SAMPLES,)
        voiced = float(np.abs(event.pcm).max() > 0)
        mel = np.zeros((80, 100), np.float32)
        return SpeechSegment(mel, np.full(50, bool(voiced)), voiced, -20.0, 30.0, event.unbroken_s)


class FakeTokens(TextEncoder):
    """Each character is a token."""

    def __init__(self) -> None:
        pass

    def prepare(self, event: str | ChatLine) -> PreparedLine:
        assert isinstance(event, ChatLine)
        length = len(event.text)
        reading = Reading([ord(character) for character in event.text])
        return PreparedLine((reading,), (), (length,), length, length)


def made(
    detector: FakeDetector | None = None, tracking: TrackerConfig | None = None, max_side_px: int = 640
) -> UnitPreparer:
    encoders = {"video": PlainFaces(), "audio": FakeVoice(), "text": FakeTokens()}
    finds = detector or FakeDetector()
    return UnitPreparer(encoders, lambda: FaceTracker(finds, tracking), max_side_px)


def shown(at_s: float = 0.0, session: str = "room", picture: Picture | None = None) -> EncodingUnit:
    camera = unit(Modality.VIDEO, at_s, session=session)
    camera.payload = picture or Picture(RAW_PICTURE, PIXELS)
    return camera


def heard(level: float) -> EncodingUnit:
    microphone = unit(Modality.AUDIO, 0, 2)
    sound = Sound(np.full(SEGMENT_SAMPLES, level, np.float32), SEGMENT_SAMPLES // 2)
    microphone.payload = SoundPieces(((microphone.start_ns, sound),))
    return microphone


def test_a_picture_becomes_the_face_on_it_with_its_quality() -> None:
    prepared = made(FakeDetector((LARGE,))).prepare(shown())
    assert [face.box for face in prepared.rows] == [LARGE]
    assert set(prepared.quality) == {"faces", "size_px", "sharpness", "brightness"}
    assert prepared.quality["size_px"] == 120


def test_the_policy_says_whose_face_counts() -> None:
    detector = FakeDetector((SMALL, LARGE))
    assert [face.box for face in made(detector).prepare(shown()).rows] == [LARGE]
    everyone = made(detector, TrackerConfig(policy="all")).prepare(shown())
    assert len(everyone.rows) == everyone.quality["faces"] == 2


def test_a_picture_without_a_face_has_no_rows() -> None:
    assert made().prepare(shown()).rows == []


def test_a_damaged_picture_is_named_as_such() -> None:
    with pytest.raises(BadRecord):
        made().prepare(shown(picture=Picture("image/jpeg", b"\xff\xd8 no picture")))


def test_pictures_are_scaled_down_before_faces_are_looked_for() -> None:
    detector = FakeDetector()
    made(detector, max_side_px=160).prepare(shown())
    assert detector.shown == [(120, 160, 3)]


def test_faces_are_followed_within_a_session_until_it_is_forgotten() -> None:
    detector = FakeDetector((LARGE,))
    preparer = made(detector, TrackerConfig(cells_ns=(1_000_000_000,)))
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
    assert tracker_config(config) == TrackerConfig("all", cells_ns=(2_000_000_000, 500_000_000), most_faces=8)


def test_faces_that_nobody_names_are_prepared_beside_the_sessions_own_largest_first() -> None:
    several = made(FakeDetector((SMALL, LARGE)), TrackerConfig(most_faces=2)).prepare(shown())
    assert [face.box for face in several.rows] == [LARGE, SMALL]
    assert several.others == 1
    assert several.quality["size_px"] == several.faces[0].quality["size_px"] == 120
    assert [(face.row, round(face.sight.size * 320)) for face in several.faces] == [(0, 120), (1, 50)]
    everyone = made(FakeDetector((SMALL, LARGE)), TrackerConfig("all", most_faces=1)).prepare(shown())
    assert (len(everyone.rows), everyone.others, [face.row for face in everyone.faces]) == (2, 0, [1])


def test_faces_before_somebodys_camera_are_theirs_and_not_told_apart() -> None:
    camera = shown()
    camera.participant = Participant("ann", NamedBy.CONFIG)
    theirs = made(FakeDetector((SMALL, LARGE)), TrackerConfig(most_faces=2)).prepare(camera)
    assert [face.box for face in theirs.rows] == [LARGE]
    assert theirs.faces == ()


@pytest.mark.parametrize("people", [{"follow_faces": False}, {"most_participants": 0}])
def test_faces_are_left_unnamed_where_the_configuration_says_so(people: dict[str, int]) -> None:
    assert tracker_config(Config.model_validate({"participants": people})).most_faces == 0
    assert made(FakeDetector((SMALL, LARGE))).prepare(shown()).faces == ()


def test_forgetting_an_unknown_session_is_nothing() -> None:
    made().forget("never seen")


def test_a_voice_is_one_row_and_silence_none_but_both_tell_their_level() -> None:
    voice, silence = made().prepare(heard(0.5)), made().prepare(heard(0.0))
    assert len(voice.rows) == 1
    assert voice.voiced == (1.0,) * 10
    assert len(silence.rows) == 0
    assert voice.quality == silence.quality == {"level_db": -20.0, "snr_db": 30.0}


def test_a_line_becomes_its_tokens() -> None:
    prepared = made().prepare(unit(text="ab"))
    assert [row.whole[0].ids for row in prepared.rows] == [[97, 98]]
    assert prepared.quality == {"characters": 2.0, "read": 1.0}


@pytest.mark.parametrize("modality", list(MEDIA))
def test_a_unit_that_holds_what_its_modality_does_not_is_refused_by_name(modality: Modality) -> None:
    wrong = Modality.AUDIO if modality is Modality.TEXT else Modality.TEXT
    odd = unit(modality)
    odd.payload = unit(wrong).payload
    with pytest.raises(TypeError, match=f"cannot hold a {type(odd.payload).__name__}"):
        made().prepare(odd)


def test_a_unit_of_a_modality_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(KeyError, match="text"):
        UnitPreparer({}, lambda: FaceTracker(FakeDetector()), 640).prepare(unit())
