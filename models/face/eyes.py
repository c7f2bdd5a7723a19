"""How open the eyes of a face are, on one picture.

Problem: who falls asleep closes the eyes, and no corpus here says whose eyes are closed. Rule: each eye is cut out at
its landmark, as wide as nine tenths of the distance between the pupils, and read by a small network: how open it is,
and whether an eye can be told at all. It has learned from open eyes with eyelids drawn over them
(`models.training.face.eyelids`). A face has the mean of its eyes that can be told, and no value where neither can:
behind dark glasses, hair or a hand, in the dark, too small. Stateless. Left out: one person's habit, and where the eyes
look: a look straight down is half closed.
"""

import math
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from safetensors.numpy import load

from models.face.geometry import Landmarks
from models.trusted_files import EYES

PATCH_PX = (18, 12)
"""Width and height of an eye: pupils are 20 pixels apart."""

_APART_PX = 20
_FINER = 3  # patches are cut so many times finer, and then averaged
_LEAST_APART_PX = 12.0  # pupils nearer to each other leave an eye of three or four pixels
_LEAST_CONTRAST = 3.0  # grey levels of deviation within a patch: less is darkness or mist
_LEAST_TOLD = 0.5
_NORM_EPSILON = 1e-5  # of torch's batch normalisation

Patches = NDArray[np.float32]


class EyeReader:
    """Tells how open eyes are. Stateless; threads may share."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]] | None = None) -> None:
        """weights: as `models.training.face.eyes` writes them; without, the shipped ones.

        Raises UntrustedFileError if those are missing or other than expected.
        """
        given = load(EYES.read()) if weights is None else weights
        self._convolutions = [_folded(given, f"features.{conv}", f"features.{norm}") for conv, norm in ((0, 1), (3, 4))]
        self._layers = [(given[f"answer.{at}.weight"].T, given[f"answer.{at}.bias"]) for at in (2, 4)]

    def openness(self, grey: NDArray[np.uint8], landmarks: Landmarks) -> float | None:
        """How open the eyes of a face are.

        0..1; None where it cannot be told.         grey: (height, width) uint8. landmarks: of the face, in its pixels.
        """
        patches = eye_patches(grey, landmarks)
        if patches is None:
            return None
        open_and_told = self.read(patches)
        seen = (open_and_told[:, 1] >= _LEAST_TOLD) & (patches.std(axis=(1, 2)) >= _LEAST_CONTRAST)
        return float(open_and_told[seen, 0].mean()) if seen.any() else None

    def read(self, patches: Patches) -> NDArray[np.float32]:
        """How open each eye is, and whether it is told.

        Returns (eyes, 2) in 0..1.         patches: (eyes, 12, 18). Its convolutions are written out: a call of torch
        costs more than these.
        """
        deviation = np.maximum(patches.std(axis=(1, 2), keepdims=True), 1.0)
        maps = ((patches - patches.mean(axis=(1, 2), keepdims=True)) / deviation)[..., None]
        for (weight, bias), side_px, stride in zip(self._convolutions, (5, 3), (2, 1), strict=True):
            maps = _convolved(maps, weight, bias, side_px, stride)
        pooled = maps.reshape(len(maps), 3, 2, 3, 3, -1).max(axis=(2, 4))
        features = pooled.transpose(0, 3, 1, 2).reshape(len(maps), -1)
        (first, first_bias), (second, second_bias) = self._layers
        logits = np.maximum(features @ first + first_bias, 0) @ second + second_bias
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def eye_patches(grey: NDArray[np.uint8], landmarks: Landmarks) -> Patches | None:
    """Cuts out both eyes, the second one mirrored.

    Returns (2, 12, 18) float32 grey levels.     grey: (height, width) uint8. None where there are no landmarks, or the
    eyes are too small.
    """
    if len(landmarks) < 2:
        return None
    (left_x, left_y), (right_x, right_y) = landmarks[:2]
    apart_px = math.hypot(right_x - left_x, right_y - left_y)
    if apart_px < _LEAST_APART_PX:
        return None
    zoom = _APART_PX * _FINER / apart_px
    across_x, across_y = zoom * (right_x - left_x) / apart_px, zoom * (right_y - left_y) / apart_px
    width, height = PATCH_PX[0] * _FINER, PATCH_PX[1] * _FINER
    fine = []
    for (x, y), side in (((left_x, left_y), 1), ((right_x, right_y), -1)):
        turn = np.array([[side * across_x, side * across_y, 0.0], [-across_y, across_x, 0.0]])
        turn[:, 2] = np.array([(width - 1) / 2, (height - 1) / 2]) - turn[:, :2] @ (x, y)
        fine.append(cv2.warpAffine(grey, turn, (width, height), borderMode=cv2.BORDER_REPLICATE))
    patches = [cv2.resize(each, PATCH_PX, interpolation=cv2.INTER_AREA) for each in fine]
    return np.stack(patches).astype(np.float32)


def _folded(
    weights: Mapping[str, NDArray[np.float32]], convolution: str, norm: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A convolution with its batch normalisation in it.

    Returns weight (inputs, outputs) and bias (outputs,).
    """
    scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + _NORM_EPSILON)
    kernel = weights[f"{convolution}.weight"] * scale[:, None, None, None]
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    return np.ascontiguousarray(kernel.reshape(len(kernel), -1).T), bias


def _convolved(
    maps: NDArray[np.float32], weight: NDArray[np.float32], bias: NDArray[np.float32], side_px: int, stride: int
) -> NDArray[np.float32]:
    """A rectified convolution of maps (eyes, rows, columns, channels)."""
    edge = side_px // 2
    padded = np.pad(maps, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    windows = sliding_window_view(padded, (side_px, side_px), axis=(1, 2))[:, ::stride, ::stride]
    eyes, rows, columns = windows.shape[:3]
    answer = windows.reshape(eyes * rows * columns, -1) @ weight + bias
    return np.asarray(np.maximum(answer, 0).reshape(eyes, rows, columns, -1), np.float32)
