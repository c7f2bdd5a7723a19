"""How open eyes are: on the sample's face, in bad light, behind glasses, and where nothing can be told."""

import time

import cv2
import numpy as np
import pytest

from models.face.detector import Detection, FaceDetector
from models.face.drowsiness import CLOSED_BELOW
from models.face.eyes import EyeReader, eye_patches
from models.face.head_pitch import head_pitch_degrees
from models.face.tracking import FaceTracker
from models.training.face.eyelids import draw_eyelids
from tests.models.drivers import Picture, driver

pytestmark = pytest.mark.unit

_LIGHTS = (0.35, 0.6, 1.0, 1.3)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.fixture(scope="module")
def reader() -> EyeReader:
    return EyeReader()


def _face(detector: FaceDetector, picture: Picture) -> Detection:
    return max(detector.detect(picture), key=lambda detection: detection.score)


def _grey(picture: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)


def _openness(reader: EyeReader, detector: FaceDetector, picture: Picture) -> float | None:
    return reader.openness(_grey(picture), _face(detector, picture).landmarks)


@pytest.mark.parametrize("light", _LIGHTS)
def test_open_eyes_are_read_as_open_and_closed_ones_as_closed(
    light: float, reader: EyeReader, detector: FaceDetector
) -> None:
    is_open = _openness(reader, detector, driver(0.0, light=light))
    closed = _openness(reader, detector, driver(1.0, light=light))
    assert is_open is not None
    assert closed is not None
    assert is_open > 0.6
    assert closed < CLOSED_BELOW


def test_the_further_lids_come_down_the_less_open_eyes_are(reader: EyeReader, detector: FaceDetector) -> None:
    found = [_openness(reader, detector, driver(closed)) for closed in (0.0, 0.4, 0.8)]
    assert all(value is not None for value in found)
    assert found == sorted(found, key=lambda value: -(value or 0.0))


@pytest.mark.parametrize("closed", [0.0, 1.0])
def test_blur_and_a_small_face_do_not_turn_the_answer_round(
    closed: float, reader: EyeReader, detector: FaceDetector
) -> None:
    picture = driver(closed)
    blurred = np.asarray(cv2.GaussianBlur(picture, (0, 0), 2.5), np.uint8)
    small = np.asarray(cv2.resize(picture, None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA), np.uint8)
    for worse in (blurred, small):
        openness = _openness(reader, detector, worse)
        assert openness is None or (openness < CLOSED_BELOW) == bool(closed)


def test_eyes_behind_dark_glasses_or_in_the_dark_are_not_told(reader: EyeReader, detector: FaceDetector) -> None:
    picture = driver()
    landmarks, covered = _face(detector, picture).landmarks, picture.copy()
    for x, y in landmarks[:2]:
        cv2.ellipse(covered, (int(x), int(y) + 3), (28, 18), 0, 0, 360, (12, 12, 12), -1)
    assert reader.openness(_grey(covered), landmarks) is None
    assert reader.openness(_grey(driver(light=0.02)), landmarks) is None


def test_eyes_that_are_too_small_or_without_landmarks_are_not_told(reader: EyeReader, detector: FaceDetector) -> None:
    grey = _grey(driver())
    assert reader.openness(grey, ()) is None
    assert (
        reader.openness(grey, ((100.0, 100.0), (108.0, 100.0), (104.0, 105.0), (101.0, 110.0), (107.0, 110.0))) is None
    )
    assert reader.openness(grey, ((-500.0, -500.0), (-440.0, -500.0))) is None  # out of the picture: one shade


def test_a_face_that_leans_is_cut_out_upright(detector: FaceDetector) -> None:
    picture = driver()
    turned = np.asarray(np.ascontiguousarray(np.rot90(picture)), np.uint8)
    landmarks = _face(detector, picture).landmarks
    moved = tuple((y, picture.shape[1] - 1 - x) for x, y in landmarks)
    upright, again = eye_patches(_grey(picture), landmarks), eye_patches(_grey(turned), moved)
    assert upright is not None
    assert again is not None
    assert np.abs(upright - again).mean() < 2


def test_the_same_picture_has_the_same_answer_and_costs_well_under_a_millisecond(
    reader: EyeReader, detector: FaceDetector
) -> None:
    picture = driver()
    grey, landmarks = _grey(picture), _face(detector, picture).landmarks
    seconds, answers = [], set()
    for _ in range(50):
        began_s = time.thread_time()
        answers.add(reader.openness(grey, landmarks))
        seconds.append(time.thread_time() - began_s)
    assert len(answers) == 1
    assert min(seconds) < 1e-3


def test_a_head_that_bends_down_has_a_rising_pitch(detector: FaceDetector) -> None:
    found = [head_pitch_degrees(_face(detector, driver(bent_degrees=bent)).landmarks) for bent in (-15, 0, 10, 20, 30)]
    pitches = [pitch for pitch in found if pitch is not None]
    assert len(pitches) == len(found)
    assert pitches == sorted(pitches)
    assert pitches[-1] - pitches[1] > 12


def test_a_pitch_needs_five_landmarks_that_do_not_lie_on_a_line() -> None:
    assert head_pitch_degrees(()) is None
    assert head_pitch_degrees(((0, 0), (0, 0), (5, 5), (0, 10), (10, 10))) is None
    assert head_pitch_degrees(((0, 0), (10, 0), (5, 0), (0, 0), (10, 0))) is None


def test_a_tracker_reads_eyes_on_every_picture_only_where_it_is_given_a_reader(
    reader: EyeReader, detector: FaceDetector
) -> None:
    reading, plain = FaceTracker(detector, eyes=reader), FaceTracker(detector)
    for index, closed in enumerate((0.0, 0.0, 1.0, 1.0)):
        (read,) = reading.faces(driver(closed), index * 100_000_000)
        (unread,) = plain.faces(driver(closed), index * 100_000_000)
        assert read.eyes_open is not None
        assert (read.eyes_open < CLOSED_BELOW) == bool(closed)
        assert read.pitch_degrees is not None
        assert (unread.eyes_open, unread.pitch_degrees) == (None, None)


def test_lids_change_nothing_but_the_eyes() -> None:
    picture = driver()
    pupils = ((308.0, 153.0), (371.0, 156.0))
    changed = (draw_eyelids(picture, pupils, 1.0) != picture).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert changed.any()
    assert rows.min() > 125
    assert rows.max() < 185
    assert columns.min() > 280
    assert columns.max() < 400
    assert (draw_eyelids(picture, pupils, 0.0) == picture).all()
