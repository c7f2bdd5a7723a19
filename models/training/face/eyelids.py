"""Draws eyelids over open eyes, for want of closed ones.

The rule. An upper lid comes down over the eye like a curtain: above a curve between the open lid and the lower one
there is skin, on the curve there are lashes, and what is below stays as it was. The skin of each column goes from the
skin below the eye to that above it. Sizes are in distances between the pupils, after usual proportions of a face (an
eye is about half as wide as the pupils are apart). Left out: how cheeks and brows move in a squeeze or a laugh.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]
_Plane = NDArray[np.float32]

_EYE_REACH = 0.5  # of the region drawn on, to each side of a pupil


@dataclass(frozen=True, slots=True)
class LidShape:
    """The shape of an eye and of its lid.

    In distances between the pupils.     half_width: of the eye. above, below: of its open edges from the pupil.
    skin_above, skin_below: where the lid's colour is taken. lashes: how wide their line is. darkness: of the lashes,
    0..1. shade: brightness of the lid beside that of the skin. crease: darkness of the fold that is left where the lid
    was open.
    """

    half_width: float = 0.29
    above: float = 0.12
    below: float = 0.09
    skin_above: float = 0.17
    skin_below: float = 0.17
    lashes: float = 0.025
    darkness: float = 0.5
    shade: float = 0.95
    crease: float = 0.1


def draw_eyelids(
    picture: NDArray[np.uint8], pupils: tuple[Point, Point], closed: float, shape: LidShape | None = None
) -> NDArray[np.uint8]:
    """Returns the picture with both eyes closed by a share, 0..1.

    picture: (height, width) or (height, width, 3) uint8. pupils: in pixels, from the picture's left to its right.
    """
    if closed <= 0:
        return picture
    (left_x, left_y), (right_x, right_y) = pupils
    apart_px = float(np.hypot(right_x - left_x, right_y - left_y))
    across = (right_x - left_x) / apart_px, (right_y - left_y) / apart_px
    drawn = picture.copy()
    for pupil in pupils:
        _draw_lid(drawn, pupil, across, apart_px, closed, shape or LidShape())
    return drawn


def _draw_lid(
    picture: NDArray[np.uint8], pupil: Point, across: Point, apart_px: float, closed: float, shape: LidShape
) -> None:
    """Draws one lid in place.

    across: the unit vector from the left pupil to the right one.
    """
    reach = int(np.ceil(apart_px * _EYE_REACH))
    left, top = max(0, round(pupil[0]) - reach), max(0, round(pupil[1]) - reach)
    region = picture[top : max(0, round(pupil[1]) + reach), left : max(0, round(pupil[0]) + reach)]
    if not region.size:
        return
    rows, columns = np.mgrid[0 : region.shape[0], 0 : region.shape[1]].astype(np.float32)
    dx, dy = columns + left - pupil[0], rows + top - pupil[1]
    x = np.asarray((dx * across[0] + dy * across[1]) / apart_px, np.float32)
    y = np.asarray((dy * across[0] - dx * across[1]) / apart_px, np.float32)
    bow = np.clip(1 - (x / shape.half_width) ** 2, 0, None)
    fold, edge = -shape.above * bow, (-shape.above + closed * (shape.above + shape.below)) * bow
    lid = ((y > fold) & (y < edge) & (bow > 0)).astype(np.float32)
    cover = cv2.GaussianBlur(lid, (0, 0), max(0.3, 0.015 * apart_px))
    lashes = shape.darkness * min(1.0, 4 * closed) * np.exp(-(((y - edge) / shape.lashes) ** 2)) * np.sqrt(bow)
    crease = shape.crease * closed * np.exp(-(((y - fold) / 0.02) ** 2)) * np.sqrt(bow)
    skin = _skin(region, rows, columns, y * np.float32(apart_px), across, apart_px, shape)
    each = (slice(None), slice(None), *(None,) * (region.ndim - 2))
    blended = (region * (1 - cover[each]) + skin * cover[each]) * (1 - np.maximum(lashes, crease)[each])
    region[:] = np.clip(blended, 0, 255).astype(np.uint8)


def _skin(
    region: NDArray[np.uint8],
    rows: _Plane,
    columns: _Plane,
    down_px: _Plane,
    across: Point,
    apart_px: float,
    shape: LidShape,
) -> _Plane:
    """The colour of the lid, from the skin around the eye.

    down_px: from the line of the eyes.
    """
    smooth = cv2.GaussianBlur(region, (0, 0), max(0.5, 0.04 * apart_px)).astype(np.float32)

    def at(y: float) -> _Plane:
        shift = np.float32(y * apart_px) - down_px
        moved_x, moved_y = columns - shift * np.float32(across[1]), rows + shift * np.float32(across[0])
        found = cv2.remap(smooth, moved_x, moved_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found, np.float32)

    share = np.clip((down_px / np.float32(apart_px) + shape.skin_above) / (shape.skin_above + shape.skin_below), 0, 1)
    share = share[..., None] if region.ndim == 3 else share
    return np.asarray(shape.shade * (at(-shape.skin_above) * (1 - share) + at(shape.skin_below) * share), np.float32)
