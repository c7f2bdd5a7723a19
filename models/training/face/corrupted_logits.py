"""Answers to spoilt faces beside those to faces as they came, from which it is learned how far to trust what.

Faces of a validation split are blurred, darkened and noised, each by a random amount. Apart from these stand answers
under the changes that every model is measured under (`models.metrics.corruptions`), at which nothing is fitted.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.face.crop import Face, given_face
from models.face.encoder import FaceEncoder, face_qualities
from models.metrics.corruptions import CORRUPTIONS

AS_IT_CAME = "as it came"

_FACES = 200  # of each emotion, changed in each way
_BATCH = 128

Crops = NDArray[np.uint8]
Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def spoilt_answers(
    encoder: FaceEncoder, images: Crops, known: NDArray[np.int64], labels: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """images: (faces, 48, 48) uint8. known: those that show one of EMOTIONS. labels: (faces,).

    Returns arrays with a row for each answer: logits7, label7, row (of `images`), way (how it was spoilt), measured
    (whether it is one of the changes that models are measured under), and each of `face_qualities`.
    """
    rng = np.random.default_rng(0)
    order = rng.permutation(known)
    chosen = np.sort(np.concatenate([order[labels[order] == label][:_FACES] for label in np.unique(labels[known])]))
    faces = [given_face(crop) for crop in images[chosen]]
    ways = [(AS_IT_CAME, False, faces), *((name, False, crops) for name, crops in _spoilt(images[chosen], rng))]
    ways += [(name, True, [change(face, rng) for face in faces]) for name, change in CORRUPTIONS["video"].items()]
    logits, qualities = zip(*(_answered(encoder, changed) for _, _, changed in ways), strict=True)
    return {
        "logits7": np.concatenate(logits),
        "label7": np.tile(labels[chosen], len(ways)),
        "row": np.tile(chosen, len(ways)),
        "way": np.repeat([name for name, _, _ in ways], len(chosen)),
        "measured": np.repeat([measured for _, measured, _ in ways], len(chosen)),
        **{name: np.concatenate([each[name] for each in qualities]) for name in qualities[0]},
    }


def _answered(
    encoder: FaceEncoder, faces: Sequence[Face]
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float64]]]:
    logits = []
    for start in range(0, len(faces), _BATCH):
        encoded = encoder.encode(faces[start : start + _BATCH])
        logits.append(encoder.pool(encoded.embedding[:, None], encoded.weight[:, None]).emotion.cpu())
    return torch.cat(logits).numpy(), {name: value.numpy() for name, value in face_qualities(faces).items()}


def _spoilt(images: Crops, rng: np.random.Generator) -> Iterator[tuple[str, list[Face]]]:
    changes: dict[str, Change] = {
        "blurred": lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 3.0))),
        "noisy": lambda image: image + rng.normal(0, rng.uniform(5, 45), image.shape).astype(np.float32),
        "dark": lambda image: rng.uniform(0.03, 0.4) * image + rng.normal(0, 2, image.shape).astype(np.float32),
    }
    for name, change in changes.items():
        changed = (np.clip(np.round(change(image.astype(np.float32))), 0, 255) for image in images)
        yield name, [given_face(image.astype(np.uint8)) for image in changed]
