"""Following faces: tracks, cells of event time, policies."""

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut

from models.face.crop import Face
from models.face.detector import Detection, FaceDetector
from models.face.flow import moved_box
from models.face.follow import FaceFollower, FollowConfig
from models.face.geometry import Box, overlaps

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


class _Counted:
    """The real detector, counting its calls."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self.calls = 0

    def detect(self, picture: _Picture) -> list[Detection]:
        self.calls += 1
        return self._detector.detect(picture)


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
def detector(centerface: FaceDetector) -> _Counted:
    return _Counted(centerface)


def _moving(step: int) -> tuple[int, int, float]:
    return 40 + 12 * step, 60 + 2 * step, 1.0


def test_a_moving_face_keeps_its_track_between_detections_and_across_them(detector: _Counted) -> None:
    follower = FaceFollower(detector)
    for step in range(20):
        (face,) = follower.faces(_room(_moving(step)), _START + step * _S // 5)
        assert face.track == 0
        assert overlaps([face.box], [_face_at(*_moving(step))])[0, 0] > 0.6, step
    assert detector.calls == 4


def test_a_growing_face_grows_its_box_by_flow_alone() -> None:
    before, after = _room((200, 80, 1.0)), _room((190, 70, 1.12))
    grey = [np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8) for picture in (before, after)]
    box = moved_box(grey[0], grey[1], _face_at(200, 80, 1.0))
    assert box is not None
    assert overlaps([box], [_face_at(190, 70, 1.12)])[0, 0] > 0.85


def test_a_brief_occlusion_shows_no_face_and_keeps_the_track(detector: _Counted) -> None:
    follower = FaceFollower(detector)
    tracks = []
    for step in range(10):
        shown = () if 3 <= step <= 6 else ((200, 80, 1.0),)
        tracks.append([face.track for face in follower.faces(_room(*shown), _START + step * _S // 5)])
    assert tracks == [[0]] * 3 + [[]] * 4 + [[0]] * 3


def test_a_face_that_was_away_for_long_is_somebody_new() -> None:
    box = _face_at(200, 80, 1.0)
    follower = FaceFollower(_Told([box], [], [box]), FollowConfig(remember_s=2.0))
    picture = _room()
    numbers = [[face.track for face in follower.faces(picture, _START + step * 2 * _S)] for step in range(3)]
    assert numbers == [[0], [], [1]]


@pytest.mark.parametrize("first", [1, 4, 7, 11])
def test_boxes_do_not_depend_on_the_moment_following_began(detector: _Counted, first: int) -> None:
    def boxes(steps: Iterable[int]) -> dict[int, list[Box]]:
        follower = FaceFollower(detector)
        return {s: [f.box for f in follower.faces(_room(_moving(s)), _START + s * _S // 5)] for s in steps}

    whole, late = boxes(range(20)), boxes(range(first, 20))
    next_cell = -(-first // 5) * 5
    assert {step: whole[step] for step in range(next_cell, 20)} == {step: late[step] for step in range(next_cell, 20)}


def test_another_scene_is_detected_on_and_not_followed_into(detector: _Counted) -> None:
    follower = FaceFollower(detector)
    follower.faces(_room((200, 80, 1.0)), _START)
    (face,) = follower.faces(_room((400, 120, 0.6)), _START + _S // 5)
    assert detector.calls == 2
    assert overlaps([face.box], [_face_at(400, 120, 0.6)])[0, 0] > 0.6


def test_a_picture_out_of_order_is_detected_on_and_changes_nothing(detector: _Counted) -> None:
    def rest(follower: FaceFollower) -> list[tuple[int | None, Box]]:
        found = []
        for step in range(3, 8):
            found += [(f.track, f.box) for f in follower.faces(_room(_moving(step)), _START + step * _S // 5)]
        return found

    undisturbed, disturbed = FaceFollower(detector), FaceFollower(detector)
    for follower in (undisturbed, disturbed):
        follower.faces(_room(_moving(2)), _START + 2 * _S // 5)
    (late,) = disturbed.faces(_room(_moving(1)), _START + _S // 5)
    assert late.track == 0
    assert overlaps([late.box], [_face_at(*_moving(1))])[0, 0] > 0.6
    assert rest(disturbed) == rest(undisturbed)


def test_a_late_picture_shows_its_face_even_when_none_was_seen_since() -> None:
    follower = FaceFollower(_Told([], [_face_at(200, 80, 1.0)]))
    assert follower.faces(_room(), _START) == []
    assert [face.track for face in follower.faces(_room(), _START - 1)] == [None]


def _sides(policy: str, *answers: Iterable[Box]) -> list[list[float]]:
    follower = FaceFollower(_Told(*answers), FollowConfig(policy=policy))  # type: ignore[arg-type]
    picture = _room()
    seen: Callable[[int], list[Face]] = lambda step: follower.faces(picture, _START + step * _S)  # noqa: E731
    return [[face.size_px for face in seen(step)] for step in range(len(answers))]


def _square(left: float, side: float) -> Box:
    return left, 100.0, left + side, 100.0 + side


def test_the_largest_policy_does_not_flip_between_faces_of_nearly_equal_size() -> None:
    answers = [[_square(50, 100 + wobble), _square(400, 100 - wobble)] for wobble in (2, -3, 4, -8, -10)]
    assert _sides("largest", *answers) == [[102], [97], [104], [92], [90]]


def test_the_largest_policy_moves_on_when_its_face_is_clearly_smaller() -> None:
    answers = [[_square(50, 100), _square(400, 80)], [_square(55, 60), _square(400, 100)]]
    assert _sides("largest", *answers) == [[100], [100]]


def test_the_largest_policy_takes_nobody_for_a_face_that_is_hidden_for_a_moment() -> None:
    both, other = [_square(50, 100), _square(400, 60)], [_square(400, 60)]
    assert _sides("largest", both, other, both, other, other, other, other) == [[100], [], [100], [], [], [60], [60]]


def test_the_largest_policy_takes_a_newcomer_for_the_face_that_left() -> None:
    assert _sides("largest", [_square(50, 100)], [_square(450, 60)]) == [[100], [60]]


def test_the_all_policy_gives_every_face_its_own_track() -> None:
    follower = FaceFollower(_Told([_square(50, 100), _square(400, 60)]), FollowConfig(policy="all"))
    assert [(face.track, face.size_px) for face in follower.faces(_room(), _START)] == [(0, 100), (1, 60)]


def test_a_face_is_described_by_its_crop(detector: _Counted) -> None:
    sharp_room, dark_room = _room((200, 80, 1.0)), _room((200, 80, 1.0)) // 2
    blurred_room = np.asarray(cv2.GaussianBlur(sharp_room, (0, 0), 5), np.uint8)
    (sharp,), (dark,), (blurred,) = (FaceFollower(detector).faces(p, 0) for p in (sharp_room, dark_room, blurred_room))
    assert sharp.crop.shape == (48, 48)
    assert sharp.crop.dtype == np.uint8
    assert dark.brightness == pytest.approx(sharp.brightness / 2, abs=0.05)
    assert blurred.sharpness < sharp.sharpness / 4


def test_a_face_at_the_edge_is_cut_with_the_edge_repeated() -> None:
    (face,) = FaceFollower(_Told([(0.0, 0.0, 60.0, 90.0)])).faces(_room(), 0)
    assert face.crop.shape == (48, 48)
    assert face.crop.min() > 0


@pytest.mark.parametrize("settings", [{"detect_every_s": 0}, {"remember_s": -1}])
def test_lengths_of_time_that_are_none_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0 s"):
        FollowConfig(**settings)  # type: ignore[arg-type]
