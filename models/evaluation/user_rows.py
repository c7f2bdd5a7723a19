"""Reads a user's manifest as labelled rows.

All modalities of a row make one window. What cannot be used of a row is left out and noted.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.data.user.cleaning import LeftOut, UnusableError, checked_text
from models.data.user.manifest import SPLITS, Sample, read_manifest
from models.data.user.media import faces_in, sound_of
from models.evaluation.progress import OnRows, no_progress
from models.face.detector import FaceDetector
from models.labels import EMOTIONS, MODALITIES, RISKS
from models.metrics.labelled_rows import EvaluationError, LabelledRows
from models.speech.segment import cut_segments
from models.text.encoder import ChatLine


def read_user_rows(data: Path, split: str, task: str, progress: OnRows = no_progress) -> LabelledRows:
    """Reads the labelled rows of a split, or of "all".

    Raises EvaluationError or ManifestError.
    """
    if split not in (*SPLITS, "all"):
        raise EvaluationError(f"manifest has no split {split!r}; it has {', '.join(SPLITS)} and all")
    if task != "emotion" and task not in RISKS:
        raise EvaluationError(f"manifest has no task {task!r}; it has emotion, {', '.join(RISKS)}")
    rows = user_rows([sample for sample in read_manifest(data) if split in (sample.split, "all")], task, progress)
    if not len(rows.truth):
        raise EvaluationError(
            f"{data / 'manifest.csv'}: no row of the split {split} is labelled with {task} and usable"
        )
    return rows


def user_rows(
    samples: Sequence[Sample], task: str, progress: OnRows = no_progress, modalities: Sequence[str] = MODALITIES
) -> LabelledRows:
    """Turns samples into rows: those with the label and a usable modality.

    There may be none.
    """
    chosen = [sample for sample in samples if has_label(sample, task)]
    left_out, detector, units = LeftOut(), FaceDetector(), []
    for done, sample in enumerate(chosen, start=1):
        units.append(_units(sample, modalities, detector, left_out))
        progress("reading", done, len(chosen))
    usable = [index for index, events in enumerate(units) if events]
    labels = EMOTIONS if task == "emotion" else (f"no {task}", task)
    shown = [name for name in MODALITIES if any(name in units[index] for index in usable)]
    return LabelledRows(
        task,
        labels,
        {name: [units[index].get(name, []) for index in usable] for name in shown},
        np.array([_truth(chosen[index], task) for index in usable], np.int64),
        groups=np.array([chosen[index].group for index in usable]),
        slices={"present": np.array(["+".join(units[index]) for index in usable])},
        notes=[
            f"Left out of {modality}: {count} ({reason})."
            for modality, reasons in left_out.counts().items()
            for reason, count in reasons.items()
        ],
    )


def has_label(sample: Sample, task: str) -> bool:
    """Whether a sample is labelled with a task: "emotion" or a risk."""
    return sample.emotion is not None if task == "emotion" else task in sample.risk


def _truth(sample: Sample, task: str) -> int:
    if task != "emotion":
        return int(sample.risk[task] > 0.5)
    return EMOTIONS.index(sample.emotion) if sample.emotion else -1


def _units(
    sample: Sample, modalities: Sequence[str], detector: FaceDetector, left_out: LeftOut
) -> dict[str, Sequence[Any]]:
    """The usable events of a row, by modality."""

    def faces() -> Sequence[Any]:
        return faces_in(sample.video, detector) if sample.video else []

    def segments() -> Sequence[Any]:
        return cut_segments(sound_of(sample.audio)) if sample.audio else []

    def lines() -> Sequence[Any]:
        return [ChatLine(checked_text(sample.text))] if sample.text else []

    readers = {"video": faces, "audio": segments, "text": lines}
    units = {}
    for modality in modalities:
        try:
            units[modality] = readers[modality]()
        except UnusableError as reason:
            left_out.add(sample, modality, str(reason))
    return {modality: events for modality, events in units.items() if events}
