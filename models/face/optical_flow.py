"""Optical flow: moves a box from one picture to the next.

Median flow (Kalal et al., 2010) over pyramidal Lucas-Kanade points. A grid of points in the box is tracked forward and
back again; the half that returns closest to where it started votes by its median for shift and scale. The box is lost
where too few points are tracked, where they do not return, or where the scale jumps. Left out: rotation, and whether
the box still shows a face.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.geometry import Box, longest_side

_GRID = 10  # points a side
_LEAST_POINTS = 12
_WORST_RETURN = 0.03  # median distance of return / longest side of the box
_SCALES = (0.7, 1.4)  # of one step
_WINDOW_PX = (15, 15)
_PYRAMID_LEVELS = 3


def moved_box(before: NDArray[np.uint8], after: NDArray[np.uint8], box: Box) -> Box | None:
    """Where a box lies on the next picture; None if lost.

    before, after: (height, width) uint8 grey, of the same shape.
    """
    start = _points(box, before.shape[1], before.shape[0])
    end, there = _tracked(before, after, start)
    back, and_back = _tracked(after, before, end)
    distance = np.linalg.norm(start - back, axis=1)
    tracked = there & and_back
    if tracked.sum() < _LEAST_POINTS:
        return None
    middle = float(np.median(distance[tracked]))
    if middle > max(0.5, _WORST_RETURN * longest_side(box)):
        return None
    good = tracked & (distance <= middle)
    first, second = start[good], end[good]
    scale = _scale(first, second)
    if not _SCALES[0] <= scale <= _SCALES[1]:
        return None
    shift = np.median(second - first, axis=0)
    centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2 + shift
    half = scale * np.array([box[2] - box[0], box[3] - box[1]]) / 2
    if not (0 <= centre[0] < after.shape[1] and 0 <= centre[1] < after.shape[0]):
        return None
    (left, top), (right, bottom) = centre - half, centre + half
    return float(left), float(top), float(right), float(bottom)


def _tracked(
    before: NDArray[np.uint8], after: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Tracked points (n, 2), and whether each was found."""
    end, status, _ = cv2.calcOpticalFlowPyrLK(
        before, after, points, np.empty_like(points), winSize=_WINDOW_PX, maxLevel=_PYRAMID_LEVELS
    )
    return np.asarray(end, np.float32), np.asarray(status).reshape(-1) == 1


def _points(box: Box, width: int, height: int) -> NDArray[np.float32]:
    """(100, 2) points inside the box and the picture.

    They keep away from the box's corners, which hold background.
    """
    share = np.linspace(0.15, 0.85, _GRID)
    x = np.clip(box[0] + share * (box[2] - box[0]), 0, width - 1)
    y = np.clip(box[1] + share * (box[3] - box[1]), 0, height - 1)
    grid: NDArray[np.float32] = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    return grid


def _scale(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """The median ratio of distances between all pairs of points."""
    i, j = np.triu_indices(len(first), k=1)
    before = np.linalg.norm(first[i] - first[j], axis=1)
    after = np.linalg.norm(second[i] - second[j], axis=1)
    apart = before > 1
    return float(np.median(after[apart] / before[apart])) if apart.any() else 1.0
