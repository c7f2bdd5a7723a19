"""Logits of clean and corrupted faces, to which trust is fitted.

Problem: a network is as sure of a blurred face as of a clear one. Rule: faces of a validation split are blurred,
darkened and made noisy, each by a random amount; trust is fitted to their logits. Beside these stand logits under the
corruptions that every model is measured under (`models.metrics.corruptions`). Nothing is fitted to those.
"""

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.data.corpora.ferplus import Faces
from models.face.crop import Face, given_face
from models.face.encoder import FaceEncoder, face_qualities
from models.labels import EMOTIONS
from models.metrics.corruptions import CORRUPTIONS
from models.training.part.held_out import CLEAN, EmotionLogits, HeldOutLogits

MEASURED = tuple(CORRUPTIONS["video"])
"""Conditions that models are measured under; the others are those that trust is fitted to."""

_FACES = 200  # of each emotion, under each condition
_BATCH = 128

Crops = NDArray[np.uint8]
Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def corrupted_logits(encoder: FaceEncoder, valid: Faces, corpus: str) -> HeldOutLogits:
    """Logits of some faces of each emotion under each condition.

    A face is a group, by its place in `valid`.
    """
    rng = np.random.default_rng(0)
    order = rng.permutation(np.flatnonzero(valid.labels < len(EMOTIONS)))
    chosen = np.sort(
        np.concatenate([order[valid.labels[order] == label][:_FACES] for label in np.unique(valid.labels[order])])
    )
    faces = [given_face(crop) for crop in valid.images[chosen]]
    conditions = [(CLEAN, faces), *_corrupted(valid.images[chosen], rng)]
    conditions += [(name, [change(face, rng) for face in faces]) for name, change in CORRUPTIONS["video"].items()]
    logits, qualities = zip(*(_encoded(encoder, changed) for _, changed in conditions), strict=True)
    rows = len(chosen) * len(conditions)
    emotion = EmotionLogits(
        np.concatenate(logits),
        np.tile(valid.labels[chosen], len(conditions)),
        np.full(rows, corpus),
        np.tile(chosen, len(conditions)).astype(str),
    )
    return HeldOutLogits(
        "video",
        emotion,
        emotion.logits,
        np.repeat([name for name, _ in conditions], len(chosen)),
        {name: np.concatenate([each[name] for each in qualities]) for name in qualities[0]},
    )


def _encoded(encoder: FaceEncoder, faces: Sequence[Face]) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float64]]]:
    """(faces, 7) logits, and (faces,) of each quality."""
    logits = []
    for start in range(0, len(faces), _BATCH):
        encoded = encoder.encode(faces[start : start + _BATCH])
        logits.append(encoder.pool(encoded.embedding[:, None], encoded.weight[:, None]).emotion.cpu())
    return torch.cat(logits).numpy(), {name: value.numpy() for name, value in face_qualities(faces).items()}


def _corrupted(images: Crops, rng: np.random.Generator) -> Iterator[tuple[str, list[Face]]]:
    """By condition, the faces that trust is fitted to."""
    changes: dict[str, Change] = {
        "blurred": lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 3.0))),
        "noisy": lambda image: image + rng.normal(0, rng.uniform(5, 45), image.shape).astype(np.float32),
        "dark": lambda image: rng.uniform(0.03, 0.4) * image + rng.normal(0, 2, image.shape).astype(np.float32),
    }
    for name, change in changes.items():
        changed = (np.clip(np.round(change(image.astype(np.float32))), 0, 255) for image in images)
        yield name, [given_face(image.astype(np.uint8)) for image in changed]
