"""The corpora of the fusion study: RAVDESS and CMU-MOSI.

Problem: both are files of features whose rows belong to few people, and whose values are on scales of their own. Rule:
rows come out group by group (an actor, a video), folds never cut a group, and values are brought to zero mean and unit
deviation by what training rows have (`Standardisation`), or, where a protocol says so, each actor by the clips of that
actor, without a look at labels (`by_group`; speaker normalisation is common in the field: Schuller et al., 2010).

RAVDESS: a clip's action units (mean over the clip, by OpenFace) and what a face and a speech network said of it that
had not seen the actor, eight numbers each. CMU-MOSI: 100 numbers for text, 73 for sound and 100 for the picture of an
utterance, and its words. Left out: pictures and sound themselves, and MOSI's strength of sentiment.
Sources: Livingstone and Russo (2018) and Luna-Jiménez et al. (2022); Zadeh et al. (2016) and Poria et al. (2017).
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.data.fusion.rows import FusionRows, Steps

RAVDESS_LABELS = ("angry", "calm", "disgust", "fearful", "happy", "neutral", "sad", "surprised")
"""Of the task `emotion`, in the order of the outputs in the file."""

MOSI_LABELS = ("negative", "positive")
"""Of the task `sentiment`."""

_LEAST_DEVIATION = 1e-3  # of values that hardly change, such as an action unit that an actor never moves
_FARTHEST = 6.0  # deviations; openSMILE's features have outliers of fifty
_CHOSEN_FOLDS = 10
_DRAWN = 0  # seed of the order of an actor's clips

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class FusionCorpus:
    """Rows of a corpus with their folds.

    rows: of every group. fold: (rows,) which part a row's group is in. words: (rows,) what was said, or None.
    """

    rows: FusionRows
    fold: NDArray[np.int64]
    words: NDArray[np.str_] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Standardisation:
    """Mean and deviation of each modality's present steps.

    Each is (width,), by modality.
    """

    mean: Mapping[str, Floats]
    deviation: Mapping[str, Floats]

    @classmethod
    def fitted(cls, rows: FusionRows) -> Self:
        """Fits mean and deviation to training rows.

        rows: those trained on, and no others. A modality without a step is left as it is.
        """
        there = {name: steps[mask] for name, (steps, mask) in rows.inputs.items()}
        some = {name: steps if len(steps) else np.zeros((1, steps.shape[1])) for name, steps in there.items()}
        return cls(
            {name: steps.mean(axis=0).astype(np.float32) for name, steps in some.items()},
            {name: _deviation(steps) for name, steps in some.items()},
        )

    def __call__(self, rows: FusionRows) -> FusionRows:
        """The same rows on the scale of those fitted on.

        Outliers are cut, masked values are zero.
        """
        return rows.with_inputs(
            {
                name: (_scaled(steps, self.mean[name], self.deviation[name]) * mask[..., None], mask)
                for name, (steps, mask) in rows.inputs.items()
            }
        )


def by_group(rows: FusionRows) -> FusionRows:
    """Scales every modality to zero mean and unit deviation within each group.

    Labels take no part.
    """
    inputs: dict[str, Steps] = {}
    for name, (steps, mask) in rows.inputs.items():
        scaled = steps.copy()
        for session in range(int(rows.session[-1]) + 1 if len(rows) else 0):
            chosen = rows.session == session
            there = steps[chosen][mask[chosen]]
            if len(there):
                scaled[chosen] = _scaled(steps[chosen], there.mean(axis=0), _deviation(there))
        inputs[name] = (scaled * mask[..., None], mask)
    return rows.with_inputs(inputs)


def read_ravdess_au(data: Path) -> FusionCorpus:
    """All 1440 clips of RAVDESS, with the corpus's five folds.

    `video` is 8 outputs and 35 action units, `audio` 8 outputs. Clips come actor by actor, an actor's in a drawn order:
    the table lists them emotion by emotion, which would tell what a clip is to a strategy that reads its neighbours.
    data: the folder that holds `speech/`. Raises ValueError or OSError, naming the file.
    """
    table = data / "speech" / "ravdess.csv"
    with table.open(newline="", encoding="utf-8") as lines:
        clips = list(csv.DictReader(lines))
    for column in ("file", "actor", "emotion", "fold"):
        if not clips or column not in clips[0]:
            raise ValueError(f"{table}: no column {column}")
    path = data / "speech" / "ravdess_face_au.npz"
    arrays = _arrays(path, ("names", "au", "face_logits", "speech_logits", "posterior_classes"), len(clips))
    if tuple(arrays["posterior_classes"]) != RAVDESS_LABELS:
        raise ValueError(f"{path}: posterior_classes must be {', '.join(RAVDESS_LABELS)}")
    names = [Path(clip["file"]).stem for clip in clips]
    for line, (name, listed) in enumerate(zip(arrays["names"], names, strict=True), start=2):
        if name != listed:
            raise ValueError(f"{path}: its row {line - 2} is {name}, {table}:{line} is {listed}")
    actor = np.array([clip["actor"] for clip in clips])
    order = np.lexsort((np.random.default_rng(_DRAWN).permutation(len(clips)), actor))
    emotion = np.array([_index(RAVDESS_LABELS, clip["emotion"], table) for clip in clips])
    rows = FusionRows(
        inputs={
            "video": _vectors(np.concatenate([arrays["face_logits"], arrays["au"]], axis=1)[order]),
            "audio": _vectors(arrays["speech_logits"][order]),
        },
        targets={"emotion": emotion[order]},
        group=actor[order],
        ids=np.array(names)[order],
    )
    fold = np.array([int(clip["fold"]) for clip in clips])[order]
    _whole_groups(rows, fold, table)
    return FusionCorpus(rows, fold)


def read_mosi(data: Path, split: str) -> FusionCorpus:
    """A split's utterances of CMU-MOSI, with ten folds of whole videos.

    They come video by video, in order.

    data: the folder that holds `fusion/`. Raises ValueError or OSError, naming the file and what is missing.
    """
    path = data / "fusion" / f"mosi_{split}.npz"
    arrays = _arrays(path, ("text", "audio", "video", "label", "video_id", "order"))
    if not set(np.unique(arrays["label"])) <= {0, 1}:
        raise ValueError(f"{path}: label must be 0 or 1")
    order = np.lexsort((arrays["order"], arrays["video_id"]))
    group = arrays["video_id"][order].astype(str)
    rows = FusionRows(
        inputs={name: _vectors(arrays[name][order]) for name in ("text", "audio", "video")},
        targets={"sentiment": arrays["label"][order].astype(np.int64)},
        group=group,
        ids=np.array([f"{video}/{place}" for video, place in zip(group, arrays["order"][order], strict=True)]),
    )
    words = arrays["transcript"][order].astype(str) if "transcript" in arrays else None
    return FusionCorpus(rows, group_folds(rows, _CHOSEN_FOLDS), words)


def group_folds(rows: FusionRows, folds: int, seed: int = 0) -> NDArray[np.int64]:
    """A fold from 0 for each row, whole groups at random.

    Folds are as equal as can be.
    """
    groups = int(rows.session[-1]) + 1 if len(rows) else 0
    drawn = np.random.default_rng(seed).permutation(groups)
    fold_of = np.empty(groups, dtype=np.int64)
    fold_of[drawn] = np.arange(groups) % folds
    chosen: NDArray[np.int64] = fold_of[rows.session]
    return chosen


def _arrays(path: Path, wanted: Sequence[str], rows: int | None = None) -> dict[str, NDArray[np.generic]]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if missing := [name for name in wanted if name not in arrays]:
        raise ValueError(f"{path}: no array {', '.join(missing)}; it has {', '.join(arrays)}")
    count = len(arrays[wanted[0]]) if rows is None else rows
    for name in wanted:
        if name != "posterior_classes" and len(arrays[name]) != count:
            raise ValueError(f"{path}: {name} has {len(arrays[name])} rows, wanted {count}")
        if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            raise ValueError(f"{path}: {name} has values that are not finite")
    return arrays


def _vectors(values: NDArray[np.generic]) -> Steps:
    """One step a row."""
    return values.astype(np.float32)[:, None], np.ones((len(values), 1), dtype=bool)


def _deviation(steps: NDArray[np.floating]) -> Floats:
    deviation: Floats = np.maximum(steps.std(axis=0), _LEAST_DEVIATION).astype(np.float32)
    return deviation


def _scaled(steps: Floats, mean: Floats, deviation: Floats) -> Floats:
    scaled: Floats = ((steps - mean) / deviation).clip(-_FARTHEST, _FARTHEST).astype(np.float32)
    return scaled


def _index(labels: Sequence[str], label: str, where: Path) -> int:
    if label not in labels:
        raise ValueError(f"{where}: unknown emotion {label!r}; known: {', '.join(labels)}")
    return labels.index(label)


def _whole_groups(rows: FusionRows, fold: NDArray[np.int64], where: Path) -> None:
    for group in np.unique(rows.group):
        if len(folds := np.unique(fold[rows.group == group])) > 1:
            raise ValueError(f"{where}: actor {group} is in the folds {', '.join(map(str, folds))}")
