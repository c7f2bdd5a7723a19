"""CenterFace on real and empty pictures."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.data import astronaut

from models.face.detector import DetectorConfig, FaceDetector, _strongest
from models.face.geometry import framing_square
from tests.models.boxes import overlap

pytestmark = pytest.mark.unit

_FACE = (180.0, 58.0, 270.0, 178.0)  # the astronaut's, by eye


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR), np.uint8)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def test_a_face_is_found_once_where_it_is_with_its_landmarks_inside(
    detector: FaceDetector, picture: NDArray[np.uint8]
) -> None:
    (found,) = detector.detect(picture)
    assert overlap(found.box, _FACE) > 0.8
    assert found.score > 0.8
    (left_eye, right_eye, nose, *_), (left, top, right, bottom) = found.landmarks, found.box
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_eye[1] < nose[1]
    assert all(left < x < right and top < y < bottom for x, y in found.landmarks)


@pytest.mark.parametrize("longest_side_px", [192, 256, 512])
def test_boxes_are_in_pixels_of_the_whole_picture_whatever_the_reduction(
    picture: NDArray[np.uint8], longest_side_px: int
) -> None:
    (found,) = FaceDetector(DetectorConfig(longest_side_px=longest_side_px)).detect(picture)
    assert overlap(found.box, _FACE) > 0.75


def test_two_faces_are_two_detections(detector: FaceDetector, picture: NDArray[np.uint8]) -> None:
    pair = np.hstack([picture[:, 100:400], picture[:, 100:400]])
    boxes = sorted(found.box for found in detector.detect(pair))
    assert len(boxes) == 2
    assert boxes[1][0] - boxes[0][0] == pytest.approx(300, abs=10)


@pytest.mark.parametrize("shape", [(480, 640), (1, 1), (7, 900)])
def test_a_picture_without_a_face_gives_none(detector: FaceDetector, shape: tuple[int, int]) -> None:
    assert detector.detect(np.full((*shape, 3), 90, np.uint8)) == []


@pytest.mark.parametrize("shape", [(48, 48), (48, 48, 4), (0, 48, 3)])
def test_what_is_no_colour_picture_is_refused(detector: FaceDetector, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"a picture is \(height, width, 3\) uint8"):
        detector.detect(np.zeros(shape, np.uint8))


def test_the_framing_square_shares_the_boxs_centre() -> None:
    left, top, side = framing_square((10, 20, 30, 60))
    assert (left + side / 2, top + side / 2) == pytest.approx((20, 40))
    assert side > 40


def test_of_a_picture_of_thousands_of_faces_only_the_best_are_told_and_few_are_compared() -> None:
    side, rows = 12.0, 100
    corner = np.stack(np.meshgrid(np.arange(rows), np.arange(rows)), -1).reshape(-1, 2).astype(np.float32) * side
    boxes = np.concatenate([corner, corner + side - 1], axis=1)
    scores = np.linspace(0.4, 0.9, len(boxes), dtype=np.float32)
    kept = _strongest(boxes, scores, 0.3)
    assert kept == list(range(len(boxes) - 1, len(boxes) - 65, -1))
