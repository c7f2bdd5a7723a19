"""Everything that is told about a model on one corpus: figures with intervals, parts and gaps, and what changes do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibration.prediction_sets import SUBSETS
from models.evaluation.corpus_rows import read_rows
from models.evaluation.evaluate import notes
from models.evaluation.predictions import Predictions, posteriors, predict
from models.evaluation.progress import OnRows, no_progress
from models.evaluation.report.data_file import DataFile, data_file
from models.metrics.bootstrap import intervals
from models.metrics.classification import classification_figures
from models.metrics.comparison import Comparison, Paired, compare
from models.metrics.corruptions import CORRUPTIONS, corrupted
from models.metrics.labelled_rows import LabelledRows
from models.metrics.slices import LEAST_ROWS, Sliced, sliced
from models.model import AffectModel

_CHANGED_ROWS = 400  # at most, drawn at random; each is encoded again for every change


@dataclass(frozen=True, slots=True)
class Subset:
    """Rows that show these modalities ("video+text"), answered from these alone; figures are None of too few rows."""

    present: str
    n: int
    accuracy: float | None
    uar: float | None


@dataclass(frozen=True, slots=True, eq=False)
class CorpusReport:
    """intervals: by figure, lowest and highest. changes: by name ("as it is" among them), accuracy and UAR of the same
    rows; none where rows are too few. shipped: the shipped model's UAR beside this one's, None where it is this one.
    """

    corpus: str
    split: str
    answered: Predictions
    figures: Mapping[str, Any]
    intervals: Mapping[str, tuple[float, float]]
    slices: Mapping[str, Sliced]
    changes: Mapping[str, tuple[float, float]]
    notes: tuple[str, ...]
    subsets: tuple[Subset, ...]
    shipped: Comparison | None
    source: DataFile


def report_corpus(
    model: AffectModel,
    corpus: str,
    data: Path,
    split: str,
    task: str | None,
    most_rows: int,
    shipped: AffectModel | None = None,
    progress: OnRows = no_progress,
) -> CorpusReport:
    """Measures the model on at most so many rows, drawn at random. Raises EvaluationError.

    shipped: the shipped model, which is asked about the same rows; None where that is this one.
    """
    every = read_rows(corpus, data, split, task, progress)
    rows = _some(every, most_rows)
    answered = predict(model, corpus, rows, progress)
    said = answered.probabilities.argmax(axis=1)
    figures = classification_figures(answered.probabilities, answered.truth, rows.labels)
    known = answered.known
    told = notes(model, corpus, split, answered)
    if len(rows.truth) < len(every.truth):
        told = [f"{len(rows.truth)} of {len(every.truth)} rows, drawn at random.", *told]
    return CorpusReport(
        corpus,
        split,
        answered,
        figures,
        intervals(said, answered.truth, len(rows.labels), None if rows.groups is None else rows.groups[known]),
        sliced(said, answered.truth, {name: values[known] for name, values in rows.slices.items()}),
        _changes(model, corpus, _rows(rows, known), progress) if known.sum() >= LEAST_ROWS else {},
        tuple(told),
        _subsets(model, answered),
        None if shipped is None else _beside(predict(shipped, corpus, rows, progress), answered),
        data_file(corpus, data, split),
    )


def _subsets(model: AffectModel, answered: Predictions) -> tuple[Subset, ...]:
    found = []
    for present in SUBSETS:
        names = present.split("+")
        if not set(names) <= set(answered.encoded):
            continue
        there = [row for row in np.flatnonzero(answered.known).tolist() if _shows(answered, names, row)]
        accuracy = uar = None
        if len(there) >= LEAST_ROWS:
            encoded = {name: [answered.encoded[name][row] for row in there] for name in names}
            probabilities = answered.calibration.probabilities(posteriors(model, answered.rows.task, encoded))
            figures = classification_figures(probabilities, answered.rows.truth[there], answered.rows.labels)
            accuracy, uar = figures["accuracy"], figures["uar"]
        if there:
            found.append(Subset(present, len(there), accuracy, uar))
    return tuple(found)


def _shows(answered: Predictions, names: Sequence[str], row: int) -> bool:
    return all(answered.encoded[name][row] is not None for name in names)


def _beside(shipped: Predictions, own: Predictions) -> Comparison:
    groups = np.arange(len(own.known)).astype(str) if own.rows.groups is None else own.rows.groups
    before, after = (answered.probabilities.argmax(axis=1) for answered in (shipped, own))
    return compare([Paired(own.truth, before, after, groups[own.known], len(own.rows.labels))])


def _changes(model: AffectModel, corpus: str, rows: LabelledRows, progress: OnRows) -> dict[str, tuple[float, float]]:
    few = _some(rows, _CHANGED_ROWS)
    asked = {"as it is": few} | {
        f"{name} ({modality})" if len(few.units) > 1 else name: corrupted(few, modality, change)
        for modality in few.units
        if modality in model.encoders
        for name, change in CORRUPTIONS[modality].items()
    }
    found = {}
    for name, changed_rows in asked.items():
        answered = predict(model, corpus, changed_rows, partial(_renamed, progress, name))
        figures = classification_figures(answered.probabilities, answered.truth, few.labels)
        found[name] = (figures["accuracy"], figures["uar"])
    return found


def _renamed(progress: OnRows, name: str, modality: str, done: int, rows: int) -> None:
    progress(f"{modality}, {name}", done, rows)


def _some(rows: LabelledRows, most: int) -> LabelledRows:
    if len(rows.truth) <= most:
        return rows
    return _rows(rows, np.sort(np.random.default_rng(0).choice(len(rows.truth), most, replace=False)))


def _rows(rows: LabelledRows, chosen: NDArray[Any]) -> LabelledRows:
    indices = np.arange(len(rows.truth))[chosen]
    return replace(
        rows,
        units={name: [units[index] for index in indices] for name, units in rows.units.items()},
        truth=rows.truth[indices],
        shares=None if rows.shares is None else rows.shares[indices],
        groups=None if rows.groups is None else rows.groups[indices],
        slices={name: values[indices] for name, values in rows.slices.items()},
    )
