"""Figures of expression recognition, on crops and through the face detector.

The network's logits are for labels equally likely beforehand. Figures are given for that, each label weighing the same
being what UAR measures, and under FER+'s own frequencies, as its literature reports them. Probabilities are the plain
softmax: calibration comes later, in fusion.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.data.corpora.ferplus import Faces
from models.face.crop import Face, cut_face, given_face
from models.face.detector import FaceDetector
from models.face.encoder import FaceEncoder
from models.face.expressions import EXPRESSIONS
from models.labels import EMOTIONS
from models.metrics.classification import classification_figures

_FACE_PX = 210
_ROOM_PX = (480, 640)  # height, width
_CHUNK = 256


def expression_logits(network: nn.Module, images: NDArray[np.uint8]) -> torch.Tensor:
    """Logits of the network, without the mirror image of `FaceEncoder`.

    images: (n, 48, 48) uint8. Returns (n, 8) float32.
    """
    with torch.no_grad():
        return torch.cat([network(chunk).float() for chunk in torch.split(torch.from_numpy(images), _CHUNK)])


def emotion_logits(encoder: FaceEncoder, faces: Sequence[Face]) -> torch.Tensor:
    """Logits (faces, 7) float32, each face pooled as a window."""
    rows = []
    for start in range(0, len(faces), _CHUNK):
        encoded = encoder.encode(faces[start : start + _CHUNK])
        rows.append(encoder.pool(encoded.embedding[:, None], encoded.weight[:, None]).emotion)
    return torch.cat(rows).cpu()


def expression_figures(logits: torch.Tensor, labels: NDArray[np.int64], log_prior: torch.Tensor) -> dict[str, Any]:
    """Figures of eight expressions, and of the seven emotions without contempt.

    logits: (n, 8). "fer8": all eight under FER+'s frequencies; "ekman7", "ekman7_equal": without contempt.

    log_prior: (8,) logarithms of the eight expressions' frequencies.
    """
    ekman = labels < len(EMOTIONS)
    seven = logits[torch.from_numpy(ekman), : len(EMOTIONS)]
    return {
        "fer8": _figures(logits + log_prior, labels, EXPRESSIONS),
        "ekman7": _figures(seven + log_prior[: len(EMOTIONS)], labels[ekman], EMOTIONS),
        "ekman7_equal": _figures(seven, labels[ekman], EMOTIONS),
    }


def _figures(logits: torch.Tensor, labels: NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    return {"n": len(labels), **classification_figures(logits.double().softmax(-1).numpy(), labels, names)}


def detector_figures(
    encoder: FaceEncoder, detector: FaceDetector, faces: Faces, rows: NDArray[np.int64]
) -> dict[str, float]:
    """Figures of faces through the detector, beside the same faces given directly.

    Each chosen row of `faces` is shown at 210 pixels in a room of 640x480.

    Accuracy and UAR are over the seven emotions, equally likely beforehand; a face that is not found is wrong.
    """
    rows = rows[faces.labels[rows] < len(EMOTIONS)]
    truth = faces.labels[rows]
    rng = np.random.default_rng(0)
    detected = [_detected(detector, in_a_room(faces.images[row], rng)) for row in rows]
    through = np.full(len(rows), -1)
    there = np.array([face is not None for face in detected])
    if there.any():
        through[there] = emotion_logits(encoder, [face for face in detected if face is not None]).argmax(1).numpy()
    direct = emotion_logits(encoder, [given_face(faces.images[row]) for row in rows]).argmax(1).numpy()
    return {
        "n": len(rows),
        "detected": float(there.mean()),
        "accuracy_direct": float((direct == truth).mean()),
        "accuracy_through": float((through == truth).mean()),
        "uar_direct": _uar(direct, truth),
        "uar_through": _uar(through, truth),
        "agreement": float((direct == through)[there].mean()) if there.any() else 0.0,
    }


def rows_of_each_label(labels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many random rows of each of the seven emotions."""
    rng = np.random.default_rng(7)
    return np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:most] for label in range(len(EMOTIONS))])


def in_a_room(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A face of (48, 48) enlarged on a blurred background.

    Returns (480, 640, 3) uint8 BGR.
    """
    room = cv2.GaussianBlur(rng.integers(0, 255, (*_ROOM_PX, 3), dtype=np.uint8), (0, 0), 25)
    top, left = (int(rng.integers(0, side - _FACE_PX)) for side in _ROOM_PX)
    large = cv2.resize(image, (_FACE_PX, _FACE_PX), interpolation=cv2.INTER_CUBIC)
    room[top : top + _FACE_PX, left : left + _FACE_PX] = large[..., None]
    return np.asarray(room, np.uint8)


def _detected(detector: FaceDetector, picture: NDArray[np.uint8]) -> Face | None:
    detections = detector.detect(picture)
    if not detections:
        return None
    return cut_face(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8), detections[0])


def _uar(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    return float(np.mean([(predicted == label)[truth == label].mean() for label in np.unique(truth)]))
