"""Sights of faces: what is kept to know them again."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.crop import Face

LOOK_PX = 24


@dataclass(frozen=True, slots=True, eq=False)
class FaceSight:
    """One face on one picture.

    centre: (x, y) of its box, and size: its longest side, both in longest sides of the picture. look: (24, 24) uint8
    grey.
    """

    centre: tuple[float, float]
    size: float
    look: NDArray[np.uint8]


def sight_of(face: Face, longest_side_px: int) -> FaceSight:
    """The sight of a face, given the longest side of its picture."""
    left, top, right, bottom = face.box
    centre = (left + right) / 2 / longest_side_px, (top + bottom) / 2 / longest_side_px
    look = cv2.resize(face.crop, (LOOK_PX, LOOK_PX), interpolation=cv2.INTER_AREA)
    return FaceSight(centre, face.size_px / longest_side_px, np.asarray(look, np.uint8))
