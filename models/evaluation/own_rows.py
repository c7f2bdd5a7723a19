"""Rows of a user's own manifest: every modality that a row has is one window together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.data.cleaning import LeftOut, UnusableError, checked_text
from models.data.manifest import SPLITS, Sample, read_manifest
from models.data.media import faces_in, sound_of
from models.evaluation.row_types import EvaluationError, Rows, segments_of
from models.face.detector import FaceDetector
from models.labels import EMOTIONS, RISKS
from models.text.encoder import ChatLine


def own_rows(data: Path, split: str, task: str) -> Rows:
    """The labelled rows of a split, or of "all". Raises EvaluationError, or ManifestError."""
    if split not in (*SPLITS, "all"):
        raise EvaluationError(f"manifest has no split {split!r}; it has {', '.join(SPLITS)} and all")
    if task != "emotion" and task not in RISKS:
        raise EvaluationError(f"manifest has no task {task!r}; it has emotion, {', '.join(RISKS)}")
    chosen = [sample for sample in read_manifest(data) if split in (sample.split, "all") and _labelled(sample, task)]
    left_out, detector = LeftOut(), FaceDetector()
    units = [_units(sample, detector, left_out) for sample in chosen]
    kept = [index for index, found in enumerate(units) if found]
    if not kept:
        raise EvaluationError(
            f"{data / 'manifest.csv'}: no row of the split {split} is labelled with {task} and usable"
        )
    labels = EMOTIONS if task == "emotion" else (f"no {task}", task)
    modalities = [name for name in ("video", "audio", "text") if any(name in units[index] for index in kept)]
    return Rows(
        task,
        labels,
        {name: [units[index].get(name, []) for index in kept] for name in modalities},
        np.array([_truth(chosen[index], task) for index in kept], np.int64),
        groups=np.array([chosen[index].group for index in kept]),
        slices={"present": np.array(["+".join(units[index]) for index in kept])},
        notes=[
            f"Left out of {modality}: {count} ({reason})."
            for modality, reasons in left_out.counts().items()
            for reason, count in reasons.items()
        ],
    )


def _labelled(sample: Sample, task: str) -> bool:
    return sample.emotion is not None if task == "emotion" else task in sample.risk


def _truth(sample: Sample, task: str) -> int:
    if task != "emotion":
        return int(sample.risk[task] > 0.5)
    return EMOTIONS.index(sample.emotion) if sample.emotion else -1


def _units(sample: Sample, detector: FaceDetector, left_out: LeftOut) -> dict[str, Sequence[Any]]:
    """By modality, what can be used of the row."""

    def faces() -> Sequence[Any]:
        return faces_in(sample.video, detector) if sample.video else []

    def segments() -> Sequence[Any]:
        return segments_of(sound_of(sample.audio)) if sample.audio else []

    def lines() -> Sequence[Any]:
        return [ChatLine(checked_text(sample.text))] if sample.text else []

    found = {}
    for modality, read in (("video", faces), ("audio", segments), ("text", lines)):
        try:
            found[modality] = read()
        except UnusableError as reason:
            left_out.add(sample, modality, str(reason))
    return {modality: events for modality, events in found.items() if events}
