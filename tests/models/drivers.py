"""Pictures of a drawn driver: the sample's portrait in a room, with eyelids drawn and the head bent."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.data import astronaut

from models.training.face.eyelids import draw_eyelids

Picture = NDArray[np.uint8]

_PUPILS = (206.0, 102.0), (248.0, 105.0)
_NOSE_TIP = 226.0, 124.0
_HEAD = (58.0, 78.0)  # half its width and height
_SCALE = 1.5


@cache
def _portrait() -> Picture:
    rgb = astronaut()[:400, :400]  # type: ignore[no-untyped-call]
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)


def driver(closed: float = 0.0, bent_degrees: float = 0.0, light: float = 1.0, shift_px: int = 0) -> Picture:
    """One picture, (480, 640, 3) BGR: eyes closed by a share, head bent down, in some light."""
    portrait = _bent(draw_eyelids(_portrait(), _PUPILS, closed), bent_degrees)
    person = cv2.resize(portrait, None, fx=_SCALE, fy=_SCALE, interpolation=cv2.INTER_AREA)
    room = np.full((480, 640, 3), (110, 120, 130), np.uint8)
    room[:, shift_px : shift_px + person.shape[1]] = person[:480]
    return np.asarray(cv2.convertScaleAbs(room, alpha=light), np.uint8)


def _bent(portrait: Picture, degrees: float) -> Picture:
    """The head as an ellipsoid with a nose, bent about the axis through its ears."""
    if not degrees:
        return portrait
    rows, columns = np.mgrid[0 : portrait.shape[0], 0 : portrait.shape[1]].astype(np.float32)
    x, y = (columns - _NOSE_TIP[0]) / _HEAD[0], (rows - _NOSE_TIP[1] + 14) / _HEAD[1]
    out = _HEAD[0] * np.sqrt(np.clip(1 - x**2 - y**2, 0, None))
    nose = np.hypot((columns - _NOSE_TIP[0]) / 9, (rows - _NOSE_TIP[1] + 4) / 12)
    out += 16 * np.exp(-(nose**2))
    moved = rows + out * np.float32(np.sin(np.radians(degrees)))
    source = np.empty_like(rows)
    for column in range(portrait.shape[1]):
        rising = np.maximum.accumulate(moved[:, column])
        source[:, column] = np.interp(rows[:, column], rising, rows[:, column])
    return np.asarray(cv2.remap(portrait, columns, source, cv2.INTER_LINEAR), np.uint8)
