"""Corpora that come as features rather than as pictures and sound: CMU-MOSI, and the action units of RAVDESS.

CMU-MOSI (Zadeh et al., 2016; features of Poria et al., 2017): utterances of film reviews with a vector for text, voice
and face each, negative or positive. RAVDESS action units (OpenFace means per clip, Luna-Jiménez et al., 2022): faces of
the clips that `speech_corpora` reads as sound. Both keep groups (films, actors) apart, and are standardised by their
training rows alone.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.data.sampling import group_folds
from models.labels import EMOTIONS
from models.speech.states import EMOTION_OF

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

_MOSI_VALID_FOLDS = 5  # one in five videos is kept for validation
_RAVDESS_STATES = {"happy": "happiness", "sad": "sadness", "angry": "anger", "fearful": "fear", "surprised": "surprise"}


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """features: by modality, (rows, width). labels: (rows,) indices of `names`. groups: (rows,)."""

    features: Mapping[str, Floats]
    labels: Rows
    names: tuple[str, ...]
    groups: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: Rows | NDArray[np.bool_]) -> Self:
        """The chosen rows."""
        features = {modality: values[chosen] for modality, values in self.features.items()}
        return replace(self, features=features, labels=self.labels[chosen], groups=self.groups[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class Standardisation:
    """Brings every feature to mean 0 and deviation 1 of the rows it was fitted on; one that never changes, to 0."""

    mean: Mapping[str, Floats]
    deviation: Mapping[str, Floats]

    @classmethod
    def fitted(cls, train: FeatureTable) -> Self:
        """Of training rows; nothing else may be shown to it."""
        mean = {modality: values.mean(axis=0) for modality, values in train.features.items()}
        deviation = {modality: values.std(axis=0) for modality, values in train.features.items()}
        return cls(mean, {name: np.where(value > 1e-6, value, np.inf) for name, value in deviation.items()})

    def applied(self, table: FeatureTable) -> FeatureTable:
        """Raises KeyError for a modality that it was not fitted on."""
        features = {
            name: ((values - self.mean[name]) / self.deviation[name]).astype(np.float32)
            for name, values in table.features.items()
        }
        return replace(table, features=features)


def read_mosi(data: Path, split: str) -> FeatureTable:
    """Reads CMU-MOSI; without a file of its own, `valid` is every fifth video of the training file, by label.

    Raises FileNotFoundError, or ValueError naming the file when arrays are missing.
    """
    path = data / "fusion" / f"mosi_{split}.npz"
    held_out = split == "valid" and not path.exists()
    if held_out:
        path = path.with_name("mosi_train.npz")
    arrays = _arrays(path, ("text", "audio", "video", "label", "video_id"))
    features = {modality: arrays[modality].astype(np.float32) for modality in ("video", "audio", "text")}
    table = FeatureTable(
        features, arrays["label"].astype(np.int64), ("negative", "positive"), arrays["video_id"].astype(str)
    )
    if split == "test" or path.with_name("mosi_valid.npz").exists():
        return table
    train, valid = group_folds(table.labels, table.groups, _MOSI_VALID_FOLDS)[0]
    return table.rows(valid if held_out else train)


def read_ravdess_units(data: Path, split: str) -> FeatureTable:
    """Reads the action units of RAVDESS as `video`, labelled with the seven emotions; groups are actors.

    split: "all", or "fold0" to "fold4", the actors of one fold. Raises as `read_mosi`, and ValueError for another split
    or a table of clips that does not have the same rows.
    """
    path = data / "speech" / "ravdess_face_au.npz"
    arrays = _arrays(path, ("au",))
    with (data / "speech" / "ravdess.csv").open(newline="", encoding="utf-8") as lines:
        clips = list(csv.DictReader(lines))
    if len(clips) != len(arrays["au"]):
        raise ValueError(f"{path}: {len(arrays['au'])} rows, but ravdess.csv has {len(clips)}")
    states = [_RAVDESS_STATES.get(clip["emotion"], clip["emotion"]) for clip in clips]
    labels = np.array([EMOTIONS.index(EMOTION_OF[state]) for state in states], np.int64)
    actors = np.array([clip["actor"] for clip in clips])
    table = FeatureTable({"video": arrays["au"].astype(np.float32)}, labels, EMOTIONS, actors)
    folds = np.array([f"fold{clip['fold']}" for clip in clips])
    if split == "all":
        return table
    if split not in folds:
        raise ValueError(f"ravdess-au has no split {split!r}; it has all, {', '.join(np.unique(folds))}")
    return table.rows(folds == split)


def _arrays(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with np.load(path, allow_pickle=False) as file:
        if missing := set(names) - set(file.files):
            raise ValueError(f"{path}: lacks the arrays {sorted(missing)}")
        return {name: file[name] for name in names}
