"""Everything that is told about a model on one corpus: figures with intervals, parts and gaps, and what changes do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.answers import Answers, answers
from models.evaluation.bootstrap import intervals
from models.evaluation.command import notes
from models.evaluation.metrics import classification_figures
from models.evaluation.robustness import CHANGES, changed
from models.evaluation.row_types import Rows
from models.evaluation.rows import read_rows
from models.evaluation.slices import Sliced, sliced
from models.model import AffectModel

_CHANGED_ROWS = 400  # at most, drawn at random; each is encoded again for every change


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """intervals: by figure, lowest and highest. changes: by name ("as it is" among them), accuracy and UAR of the same
    rows.
    """

    corpus: str
    split: str
    answered: Answers
    figures: Mapping[str, Any]
    intervals: Mapping[str, tuple[float, float]]
    slices: Mapping[str, Sliced]
    changes: Mapping[str, tuple[float, float]]
    notes: tuple[str, ...]


def study(model: AffectModel, corpus: str, data: Path, split: str, task: str | None, most_rows: int) -> Study:
    """Measures the model on at most so many rows, drawn at random. Raises EvaluationError."""
    every = read_rows(corpus, data, split, task)
    rows = _some(every, most_rows)
    answered = answers(model, corpus, rows)
    said = answered.probabilities.argmax(axis=1)
    figures = classification_figures(answered.probabilities, answered.truth, rows.labels)
    known = answered.known
    told = notes(model, corpus, split, answered)
    if len(rows.truth) < len(every.truth):
        told = [f"{len(rows.truth)} of {len(every.truth)} rows, drawn at random.", *told]
    return Study(
        corpus,
        split,
        answered,
        figures,
        intervals(said, answered.truth, len(rows.labels), None if rows.groups is None else rows.groups[known]),
        sliced(said, answered.truth, {name: values[known] for name, values in rows.slices.items()}),
        _changes(model, corpus, _rows(rows, known)),
        tuple(told),
    )


def _changes(model: AffectModel, corpus: str, rows: Rows) -> dict[str, tuple[float, float]]:
    few = _some(rows, _CHANGED_ROWS)
    asked = {"as it is": few} | {
        f"{name} ({modality})" if len(few.units) > 1 else name: changed(few, modality, change)
        for modality in few.units
        if modality in model.encoders
        for name, change in CHANGES[modality].items()
    }
    found = {}
    for name, changed_rows in asked.items():
        answered = answers(model, corpus, changed_rows)
        figures = classification_figures(answered.probabilities, answered.truth, few.labels)
        found[name] = (figures["accuracy"], figures["uar"])
    return found


def _some(rows: Rows, most: int) -> Rows:
    if len(rows.truth) <= most:
        return rows
    return _rows(rows, np.sort(np.random.default_rng(0).choice(len(rows.truth), most, replace=False)))


def _rows(rows: Rows, chosen: NDArray[Any]) -> Rows:
    indices = np.arange(len(rows.truth))[chosen]
    return replace(
        rows,
        units={name: [units[index] for index in indices] for name, units in rows.units.items()},
        truth=rows.truth[indices],
        shares=None if rows.shares is None else rows.shares[indices],
        groups=None if rows.groups is None else rows.groups[indices],
        slices={name: values[indices] for name, values in rows.slices.items()},
    )
