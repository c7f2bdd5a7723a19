"""Following faces: cells of event time, and whose faces they are."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut

import daemon.sample
from models.face.crop import Face
from models.face.detector import Detection, FaceDetector
from models.face.geometry import Box
from models.face.optical_flow import moved_box
from models.face.tracking import FaceTracker, TrackerConfig
from tests.models.boxes import overlap
from tests.models.detectors import CountingDetector

pytestmark = pytest.mark.unit

_S = 1_000_000_000
_START = 946_684_800 * _S
_Picture = NDArray[np.uint8]

_ASTRONAUT = astronaut()  # type: ignore[no-untyped-call]
_PORTRAIT: _Picture = np.asarray(cv2.cvtColor(_ASTRONAUT, cv2.COLOR_RGB2BGR), np.uint8)[20:220, 140:310]
_FACE: Box = (42, 40, 128, 155)  # within the portrait


def _room(*faces: tuple[int, int, float]) -> _Picture:
    """A picture with the portrait at each (left, top, scale)."""
    rows, columns = np.mgrid[0:360, 0:640]
    room = np.repeat((60 + 30 * np.sin(rows / 9) * np.cos(columns / 13))[..., None], 3, axis=2).astype(np.uint8)
    for left, top, scale in faces:
        portrait = cv2.resize(_PORTRAIT, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        room[top : top + portrait.shape[0], left : left + portrait.shape[1]] = portrait
    return room


def _face_at(left: int, top: int, scale: float) -> Box:
    return left + scale * _FACE[0], top + scale * _FACE[1], left + scale * _FACE[2], top + scale * _FACE[3]


class _Told:
    """A detector that is told what it sees: the boxes of each call."""

    def __init__(self, *answers: Iterable[Box]) -> None:
        self._answers = iter(answers)

    def detect(self, picture: _Picture) -> list[Detection]:
        return [Detection(box, 0.9, ()) for box in next(self._answers)]


@pytest.fixture(scope="module")
def centerface() -> FaceDetector:
    return FaceDetector()


@pytest.fixture
def detector(centerface: FaceDetector) -> CountingDetector:
    return CountingDetector(centerface)


def _moving(step: int) -> tuple[int, int, float]:
    return 40 + 12 * step, 60 + 2 * step, 1.0


def test_a_moving_face_is_detected_once_a_cell_and_followed_in_between(detector: CountingDetector) -> None:
    follower = FaceTracker(detector)
    for step in range(20):
        (face,) = follower.faces(_room(_moving(step)), _START + step * _S // 5)
        assert overlap(face.box, _face_at(*_moving(step))) > 0.6, step
    assert detector.calls == 4


def test_a_growing_face_grows_its_box_by_flow_alone() -> None:
    before, after = _room((200, 80, 1.0)), _room((190, 70, 1.12))
    grey = [np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8) for picture in (before, after)]
    box = moved_box(grey[0], grey[1], _face_at(200, 80, 1.0))
    assert box is not None
    assert overlap(box, _face_at(190, 70, 1.12)) > 0.85


def test_a_cell_begins_at_every_multiple_of_each_length(detector: CountingDetector) -> None:
    follower = FaceTracker(detector, TrackerConfig(cells_ns=(_S, 1_500_000_000)))
    detected = []
    for tenth in range(31):
        before = detector.calls
        follower.faces(_room((200, 80, 1.0)), _START + tenth * _S // 10)
        if detector.calls > before:
            detected.append(tenth)
    assert detected == [0, 10, 15, 20, 30]


def _sample(first_s: float, last_s: float) -> list[tuple[int, _Picture]]:
    """Pictures of the sample session with their event times, counted from _START."""
    pictures = []
    with av.open(str(Path(daemon.sample.__file__).with_name("sample.mp4"))) as container:
        for frame in container.decode(video=0):
            if first_s <= frame.time < last_s:
                picture = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
                pictures.append((_START + round(frame.time * _S), picture))
    return pictures


def _cells(config: TrackerConfig, first_ns: int, last_ns: int) -> list[int]:
    """When cells begin, in order of time."""
    begins = {
        time_ns for length in config.cells_ns for time_ns in range(-(-first_ns // length) * length, last_ns, length)
    }
    return sorted(begins)


def test_starting_at_any_cell_gives_the_faces_that_starting_before_it_gives(centerface: FaceDetector) -> None:
    config = TrackerConfig(cells_ns=(_S, 700_000_000))
    pictures = _sample(13.0, 19.0)  # somebody leaves
    follower = FaceTracker(centerface, config)
    whole = {time_ns: follower.faces(picture, time_ns) for time_ns, picture in pictures}
    cells = _cells(config, pictures[0][0], pictures[-1][0])
    compared = 0
    for begin, end in zip(cells, cells[2:], strict=False):
        late = FaceTracker(centerface, config)
        for time_ns, picture in pictures:
            if begin <= time_ns < end:
                assert _described(late.faces(picture, time_ns)) == _described(whole[time_ns]), time_ns
                compared += len(whole[time_ns])
    assert compared > 50


def _described(faces: list[Face]) -> list[tuple[Box, float, bytes]]:
    return [(face.box, face.score, face.crop.tobytes()) for face in faces]


def test_what_comes_between_from_other_cells_changes_nothing(detector: CountingDetector) -> None:
    def boxes(follower: FaceTracker, others: Iterable[int]) -> list[Box]:
        found = []
        for step, other in zip(range(5), others, strict=True):
            found += [face.box for face in follower.faces(_room(_moving(step)), _START + step * _S // 5)]
            follower.faces(_room((400, 120, 0.6)), _START + other * _S)
        return found

    alone = boxes(FaceTracker(detector), [1, 1, 1, 1, 1])
    assert boxes(FaceTracker(detector), [7, -3, 7, -3, 2]) == alone


def test_another_scene_is_detected_on_and_not_followed_into(detector: CountingDetector) -> None:
    follower = FaceTracker(detector)
    follower.faces(_room((200, 80, 1.0)), _START)
    (face,) = follower.faces(_room((400, 120, 0.6)), _START + _S // 5)
    assert detector.calls == 2
    assert overlap(face.box, _face_at(400, 120, 0.6)) > 0.6


def test_a_picture_out_of_order_is_detected_on_and_changes_nothing(detector: CountingDetector) -> None:
    def rest(follower: FaceTracker) -> list[Box]:
        steps = range(3, 8)
        return [f.box for s in steps for f in follower.faces(_room(_moving(s)), _START + s * _S // 5)]

    undisturbed, disturbed = FaceTracker(detector), FaceTracker(detector)
    for follower in (undisturbed, disturbed):
        follower.faces(_room(_moving(2)), _START + 2 * _S // 5)
    (late,) = disturbed.faces(_room(_moving(1)), _START + _S // 5)
    assert overlap(late.box, _face_at(*_moving(1))) > 0.6
    assert rest(disturbed) == rest(undisturbed)


def test_a_face_that_comes_within_a_cell_is_found() -> None:
    follower = FaceTracker(_Told([], [_face_at(200, 80, 1.0)]))
    assert follower.faces(_room(), _START) == []
    assert len(follower.faces(_room(), _START + _S // 5)) == 1


def _square(left: float, side: float) -> Box:
    return left, 100.0, left + side, 100.0 + side


@pytest.mark.parametrize(("policy", "sides"), [("largest", [100]), ("all", [60, 100])])
def test_the_policy_says_whose_faces_are_given(policy: Literal["largest", "all"], sides: list[float]) -> None:
    follower = FaceTracker(_Told([_square(400, 60), _square(50, 100)]), TrackerConfig(policy=policy))
    assert [face.size_px for face in follower.faces(_room(), _START)] == sides


def test_the_largest_face_of_a_cell_is_followed_to_its_end(detector: CountingDetector) -> None:
    follower = FaceTracker(detector)
    for step in range(4):  # one walks away, the other comes near
        going, coming = (40, 60, 1.0 - 0.06 * step), (350, 60, 0.88 + 0.06 * step)
        (face,) = follower.faces(_room(going, coming), _START + step * _S // 5)
        assert overlap(face.box, _face_at(*going)) > 0.6, step
    assert detector.calls == 1
    (face,) = follower.faces(_room(going, coming), _START + _S)
    assert overlap(face.box, _face_at(*coming)) > 0.6


def test_a_face_is_described_by_its_crop(detector: CountingDetector) -> None:
    sharp_room, dark_room = _room((200, 80, 1.0)), _room((200, 80, 1.0)) // 2
    blurred_room = np.asarray(cv2.GaussianBlur(sharp_room, (0, 0), 5), np.uint8)
    (sharp,), (dark,), (blurred,) = (FaceTracker(detector).faces(p, 0) for p in (sharp_room, dark_room, blurred_room))
    assert sharp.crop.shape == (48, 48)
    assert sharp.crop.dtype == np.uint8
    assert dark.brightness == pytest.approx(sharp.brightness / 2, abs=0.05)
    assert blurred.sharpness < sharp.sharpness / 4


def test_a_face_at_the_edge_is_cut_with_the_edge_repeated() -> None:
    (face,) = FaceTracker(_Told([(0.0, 0.0, 60.0, 90.0)])).faces(_room(), 0)
    assert face.crop.shape == (48, 48)
    assert face.crop.min() > 0


@pytest.mark.parametrize("length_ns", [0, -1])
def test_a_cell_of_no_length_is_refused(length_ns: int) -> None:
    with pytest.raises(ValueError, match="must be above 0 ns"):
        TrackerConfig(cells_ns=(_S, length_ns))
