"""Boxes in pixels: how much two of them overlap, and the square that the expression network is shown.

The square's size is what brings CenterFace's boxes to FER's framing of a face: over 400 pictures of FER+ valid placed
in a room, side / longest side of the box had a median of 1.03 to 1.09 at reductions from 640 to 256 pixels, and the
centres agreed within 0.02 of the side.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels; right and bottom are outside."""

_FRAMING = 1.06  # side of the square / longest side of the box


def longest_side(box: Box) -> float:
    """Of width and height."""
    return max(box[2] - box[0], box[3] - box[1])


def framing_square(box: Box) -> tuple[float, float, float]:
    """Left, top and side of the square around a face; it may reach beyond the picture."""
    side = _FRAMING * longest_side(box)
    return (box[0] + box[2] - side) / 2, (box[1] + box[3] - side) / 2, side


def grown(box: Box, factor: float) -> Box:
    """The box about the same centre, `factor` times as wide and high."""
    half_width, half_height = (box[2] - box[0]) * factor / 2, (box[3] - box[1]) * factor / 2
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return x - half_width, y - half_height, x + half_width, y + half_height


def overlaps(first: Sequence[Box], second: Sequence[Box]) -> NDArray[np.float64]:
    """(len(first), len(second)) intersection over union, 0 where neither box has an area."""
    a = np.array(first, np.float64).reshape(-1, 1, 4)
    b = np.array(second, np.float64).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.prod(sides.clip(0), axis=-1)
    area_a, area_b = (np.prod(box[..., 2:] - box[..., :2], axis=-1) for box in (a, b))
    together = area_a + area_b - shared
    share: NDArray[np.float64] = np.divide(shared, together, out=np.zeros_like(shared), where=together > 0)
    return share
