"""FER+ (Barsoum et al., 2016): grey faces with ten people's votes.

Faces are of FER2013, 48x48 pixels.

The majority is taken over all ten answers; a picture most voted unknown or not a face is dropped, and so is an exact
repeat of a picture that is kept apart for validation. Repeats inside the training split are merged and their votes
added. Every drop is counted. Left out: FER2013's own single labels, which FER+ corrects.
"""

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.face.expressions import EXPRESSIONS

_CHOICES = len(EXPRESSIONS) + 2  # and unknown, not a face
_SIDE_PX = 48


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """A split of FER+.

    images: (n, 48, 48) uint8. votes: (n, 8) float32, each row summing to 1. labels: (n,) int64, the majority's index in
    `EXPRESSIONS`. names: (n,) as in the file. dropped: reason -> how many of the file's rows are not here.
    """

    images: NDArray[np.uint8]
    votes: NDArray[np.float32]
    labels: NDArray[np.int64]
    names: NDArray[np.str_]
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.images)


def read_ferplus(data_dir: Path, split: str) -> Faces:
    """Reads `data_dir/faces/ferplus_{split}.npz`.

    Raises FileNotFoundError when the split is not there, ValueError naming the file when its arrays are not FER+'s.
    """
    path = data_dir / "faces" / f"ferplus_{split}.npz"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such split of FER+ (the folder holds {_splits(path.parent)})")
    with np.load(path, allow_pickle=False) as file:
        if missing := {"images", "votes", "names"} - set(file.files):
            raise ValueError(f"{path}: lacks the arrays {sorted(missing)}")
        images, all_votes, names = file["images"], file["votes"], file["names"]
    if (
        images.shape[1:] != (_SIDE_PX, _SIDE_PX)
        or all_votes.shape != (len(images), _CHOICES)
        or images.dtype != np.uint8
    ):
        raise ValueError(
            f"{path}: images {images.shape} {images.dtype} and votes {all_votes.shape} are not those of FER+"
        )
    usable = all_votes.argmax(1) < len(EXPRESSIONS)
    counts = all_votes[usable, : len(EXPRESSIONS)].astype(np.float32)
    votes = counts / counts.sum(1, keepdims=True)
    dropped = {"majority unknown or not a face": int((~usable).sum())}
    return Faces(images[usable], votes, votes.argmax(1), names[usable], dropped)


def without_images_of(faces: Faces, other: Faces) -> Faces:
    """`faces` less every picture that is, pixel for pixel, one of `other`'s."""
    held_out = set(_digests(other.images))
    keep = np.array([digest not in held_out for digest in _digests(faces.images)], dtype=bool)
    return _select(faces, np.flatnonzero(keep), "repeat of a held-out picture")


def with_repeats_merged(faces: Faces) -> Faces:
    """Each picture once, with the mean of its repeats' votes."""
    _, first, group = np.unique(np.array(_digests(faces.images)), return_index=True, return_inverse=True)
    votes = np.zeros((len(first), faces.votes.shape[1]), np.float32)
    np.add.at(votes, group, faces.votes)
    votes /= votes.sum(1, keepdims=True)
    merged = _select(faces, first, "repeat inside the split")
    return replace(merged, votes=votes, labels=votes.argmax(1))


def _select(faces: Faces, rows: NDArray[np.int64], reason: str) -> Faces:
    return Faces(
        faces.images[rows],
        faces.votes[rows],
        faces.labels[rows],
        faces.names[rows],
        {**faces.dropped, reason: len(faces) - len(rows)},
    )


def _digests(images: NDArray[np.uint8]) -> list[str]:
    return [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


def _splits(folder: Path) -> Collection[str]:
    names = os.listdir(folder) if folder.is_dir() else []
    return sorted(name.removeprefix("ferplus_").removesuffix(".npz") for name in names if name.startswith("ferplus_"))
