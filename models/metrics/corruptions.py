"""Corruptions of faces, voices and lines, each at one strength.

The changes are not those of training: what a network was made to bear is no measure of what it bears.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import soxr
from numpy.typing import NDArray

from models.face.crop import Face, given_face
from models.metrics.labelled_rows import LabelledRows
from models.speech.whisper import SAMPLE_RATE_HZ
from models.text.encoder import ChatLine

Crop = NDArray[np.uint8]
Pcm = NDArray[np.float32]
Corruption = Callable[[Any, np.random.Generator], Any]

_PIXEL_NOISE = 20.0  # standard deviation, of 255
_SNR_DB = 10.0
_TYPO_SHARE = 0.08  # of the letters


def corrupted(rows: LabelledRows, modality: str, change: Corruption) -> LabelledRows:
    """The rows with every event of a modality corrupted, reproducibly."""
    rng = np.random.default_rng(0)
    units = [[change(unit, rng) for unit in row] for row in rows.units[modality]]
    return replace(rows, units={**rows.units, modality: units})


def _of_crop(change: Callable[[Crop, np.random.Generator], NDArray[Any]]) -> Corruption:
    def of_face(face: Face, rng: np.random.Generator) -> Face:
        crop = np.clip(change(face.crop, rng), 0, 255).astype(np.uint8)
        return replace(given_face(crop), box=face.box, score=face.score, size_px=face.size_px)

    return of_face


def _noisy(crop: Crop, rng: np.random.Generator) -> NDArray[Any]:
    return crop + rng.normal(0, _PIXEL_NOISE, crop.shape)


def _blurred(crop: Crop, rng: np.random.Generator) -> NDArray[Any]:
    return np.asarray(cv2.GaussianBlur(crop, (0, 0), 1.5))


def _dark(crop: Crop, rng: np.random.Generator) -> NDArray[Any]:
    """A tenth of the light, and sensor noise."""
    return np.round(0.1 * crop + rng.normal(0, 1.5, crop.shape))


def _hidden(crop: Crop, rng: np.random.Generator) -> NDArray[Any]:
    """A grey rectangle over a quarter of the picture."""
    side = len(crop) // 2
    top, left = rng.integers(0, len(crop) - side + 1, 2)
    covered = crop.copy()
    covered[top : top + side, left : left + side] = 128
    return covered


def _in_noise(pcm: Pcm, rng: np.random.Generator) -> Pcm:
    """White noise 10 dB below the sound's own power."""
    power = float(np.square(pcm).mean()) / 10 ** (_SNR_DB / 10)
    return (pcm + rng.normal(0, power**0.5, pcm.shape)).astype(np.float32)


def _telephone(pcm: Pcm, rng: np.random.Generator) -> Pcm:
    """8 kHz, so that nothing above 4 kHz is left."""
    low = soxr.resample(pcm, SAMPLE_RATE_HZ, SAMPLE_RATE_HZ // 2)
    back = np.asarray(soxr.resample(low, SAMPLE_RATE_HZ // 2, SAMPLE_RATE_HZ), np.float32)
    return np.pad(back, (0, max(0, len(pcm) - len(back))))[: len(pcm)]


def _quiet(pcm: Pcm, rng: np.random.Generator) -> Pcm:
    return (pcm * 0.1).astype(np.float32)


def _misspelt(line: ChatLine, rng: np.random.Generator) -> ChatLine:
    """Letters left out, doubled, or swapped with the next."""
    letters = list(line.text)
    for index in np.flatnonzero(rng.random(len(letters)) < _TYPO_SHARE):
        kind = rng.integers(3)
        if kind == 2 and index + 1 < len(letters):
            letters[index], letters[index + 1] = letters[index + 1], letters[index]
        elif kind < 2:
            letters[index] = letters[index] * 2 if kind else ""
    return replace(line, text="".join(letters) or line.text)


def _shouted(line: ChatLine, rng: np.random.Generator) -> ChatLine:
    return replace(line, text=line.text.upper())


CORRUPTIONS: Mapping[str, Mapping[str, Corruption]] = {
    "video": {
        "noise": _of_crop(_noisy),
        "blur": _of_crop(_blurred),
        "low light": _of_crop(_dark),
        "occlusion": _of_crop(_hidden),
    },
    "audio": {"noise at 10 dB": _in_noise, "8 kHz": _telephone, "20 dB quieter": _quiet},
    "text": {"typos": _misspelt, "capitals": _shouted},
}
"""By modality and name."""
