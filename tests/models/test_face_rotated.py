"""Faces on their side or upside down: found, and shown to the network upright."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut

from models.face.crop import Face
from models.face.detector import Detection, FaceDetector
from models.face.geometry import overlap
from models.face.rotated import RotatedFaceDetector, lean_degrees
from models.face.tracking import FaceTracker
from tests.models.detectors import CountingDetector

pytestmark = pytest.mark.unit

_S = 1_000_000_000
_Picture = NDArray[np.uint8]
_PORTRAIT: _Picture = np.asarray(cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR), np.uint8)[20:220, 140:310]  # type: ignore[no-untyped-call]


def _room(left: int | None = 200) -> _Picture:
    """A picture with the portrait at `left`, or without it."""
    rows, columns = np.mgrid[0:360, 0:640]
    room = np.repeat((60 + 30 * np.sin(rows / 9) * np.cos(columns / 13))[..., None], 3, axis=2).astype(np.uint8)
    if left is not None:
        room[80 : 80 + _PORTRAIT.shape[0], left : left + _PORTRAIT.shape[1]] = _PORTRAIT
    return room


def _turned(picture: _Picture, turns: int) -> _Picture:
    return np.ascontiguousarray(np.rot90(picture, turns))


@pytest.fixture(scope="module")
def centerface() -> FaceDetector:
    return FaceDetector()


@pytest.fixture
def detector(centerface: FaceDetector) -> CountingDetector:
    return CountingDetector(centerface)


def _follower(detector: CountingDetector) -> FaceTracker:
    return FaceTracker(detector, turned=RotatedFaceDetector(detector))


def _likeness(crop: _Picture, other: _Picture) -> float:
    return float(cv2.matchTemplate(crop, other, cv2.TM_CCOEFF_NORMED)[0, 0])


def _upright(detector: CountingDetector, left: int = 200) -> Face:
    (face,) = FaceTracker(detector).faces(_room(left), 0)
    return face


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_face_is_found_where_it_is_and_shown_upright(detector: CountingDetector, turns: int) -> None:
    upright = _upright(detector)
    (face,) = _follower(detector).faces(_turned(_room(), turns), 0)
    assert _likeness(face.crop, upright.crop) > 0.9
    assert _likeness(np.ascontiguousarray(np.rot90(face.crop, turns)), upright.crop) < 0.7
    left, top, right, bottom = (round(edge) for edge in upright.box)
    marked = np.zeros((360, 640, 3), np.uint8)
    marked[top:bottom, left:right] = 255
    rows, columns = np.nonzero(_turned(marked, turns)[..., 0])
    assert overlap(face.box, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)) > 0.8


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_face_is_followed_upright_without_looking_again(detector: CountingDetector, turns: int) -> None:
    follower = _follower(detector)
    follower.faces(_turned(_room(200), turns), 0)
    first = detector.calls
    for step in range(1, 5):
        (face,) = follower.faces(_turned(_room(200 + 6 * step), turns), step * _S // 5)
        assert _likeness(face.crop, _upright(detector, 200 + 6 * step).crop) > 0.85
    assert detector.calls == first + 4  # those of the upright faces it is compared with


def test_an_upright_face_stays_what_it_is_and_costs_one_look(detector: CountingDetector) -> None:
    upright = _upright(detector)
    detector.calls = 0
    (face,) = _follower(detector).faces(_room(), 0)
    assert (face.box, face.score) == (upright.box, upright.score)
    assert np.array_equal(face.crop, upright.crop)
    assert detector.calls == 1


def test_an_empty_room_is_looked_at_every_way_up_once_a_cell(detector: CountingDetector) -> None:
    follower = _follower(detector)
    for fifth in range(10):
        assert follower.faces(_room(None), fifth * _S // 5) == []
    assert detector.calls == 2 * (4 + 4)


@pytest.mark.parametrize(
    ("lean", "turns"), [(0, 0), (30, 0), (-30, 0), (60, 1), (100, 1), (-90, 3), (170, 2), (-170, 2)]
)
def test_the_landmarks_say_how_far_a_face_leans(lean: float, turns: int) -> None:
    upright = np.array([(-10, -10), (10, -10), (0, 0), (-7, 10), (7, 10)])
    angle = np.radians(lean)
    marks = upright @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + 50
    face = Detection((30, 30, 70, 70), 0.6, tuple(map(tuple, marks.tolist())))
    assert lean_degrees(face) == pytest.approx(lean)
    looked: list[tuple[int, ...]] = []

    class Watched:
        def detect(self, picture: _Picture) -> list[Detection]:
            looked.append(picture.shape)
            return []

    picture = np.zeros((100, 200, 3), np.uint8)
    assert RotatedFaceDetector(Watched()).set_upright(picture, [face]) == [face]
    shapes = {0: [], 1: [(200, 100, 3)], 2: [(100, 200, 3)], 3: [(200, 100, 3)]}
    assert looked == shapes[turns]


def test_a_face_without_landmarks_is_taken_for_upright() -> None:
    assert lean_degrees(Detection((0, 0, 10, 10), 0.9, ())) == 0
