"""Face crops: 48x48 grey squares, with measures of their quality."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.detector import Detection
from models.face.geometry import Box, framing_square, longest_side
from models.face.network import CROP_PX


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face on one picture.

    box: in pixels of the picture. score: of the detection, 0..1. crop: (48, 48) uint8 grey. size_px: longest side of
    the box. sharpness: variance of the crop's Laplacian (Pech-Pacheco et al., 2000), below about 50 on a blurred face.
    brightness: mean of the crop, 0..1. eyes_open: 0..1, and pitch_degrees: of the head, downwards; None where they are
    not read or cannot be told.
    """

    box: Box
    score: float
    crop: NDArray[np.uint8]
    size_px: float
    sharpness: float
    brightness: float
    eyes_open: float | None = None
    pitch_degrees: float | None = None


def cut_face(grey: NDArray[np.uint8], detection: Detection) -> Face:
    """Cuts a detected face from a picture, upright.

    grey: (height, width) uint8. Beyond the picture its edge is repeated.
    """
    left, top, side = framing_square(detection.box)
    x, y, px = round(left), round(top), max(1, round(side))
    height, width = grey.shape
    inside = grey[max(0, y) : max(0, y + px), max(0, x) : max(0, x + px)]
    if not inside.size:
        raise ValueError(f"the box {detection.box} lies outside the picture of {width}x{height} pixels")
    beyond = max(0, -y), max(0, y + px - height), max(0, -x), max(0, x + px - width)
    square = cv2.copyMakeBorder(inside, *beyond, cv2.BORDER_REPLICATE) if any(beyond) else inside
    crop = np.asarray(cv2.resize(square, (CROP_PX, CROP_PX), interpolation=cv2.INTER_AREA), np.uint8)
    upright = np.ascontiguousarray(np.rot90(crop, detection.quarter_turns))
    return _described(upright, detection.box, detection.score)


def given_face(crop: NDArray[np.uint8]) -> Face:
    """A face that is cut out already, as in FER+.

    Raises ValueError unless it is (48, 48) uint8.
    """
    if crop.shape != (CROP_PX, CROP_PX) or crop.dtype != np.uint8:
        raise ValueError(f"a face crop is ({CROP_PX}, {CROP_PX}) uint8, not {crop.shape} {crop.dtype}")
    return _described(crop, (0.0, 0.0, CROP_PX, CROP_PX), 1.0)


def _described(crop: NDArray[np.uint8], box: Box, score: float) -> Face:
    return Face(
        box=box,
        score=score,
        crop=crop,
        size_px=longest_side(box),
        sharpness=float(cv2.Laplacian(crop, cv2.CV_32F).var()),
        brightness=float(crop.mean()) / 255,
    )
