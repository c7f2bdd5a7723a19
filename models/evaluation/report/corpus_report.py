"""The report on one corpus: figures, intervals, slices, subsets, corruptions.

A subset of modalities is measured on the rows that have all of it, from these modalities alone. Corruptions are
measured on a sample, since every corrupted row is encoded again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibration.prediction_sets import SUBSETS
from models.evaluation.corpus_rows import read_rows
from models.evaluation.notes import evaluation_notes
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

_CORRUPTED_ROWS = 400  # at most, drawn at random; each is encoded again for every corruption


@dataclass(frozen=True, slots=True)
class Subset:
    """Figures of the rows that have a subset of modalities.

    present: the modalities that are predicted from, such as "video+text". accuracy, uar: None of too few rows.
    """

    present: str
    n: int
    accuracy: float | None
    uar: float | None


@dataclass(frozen=True, slots=True, eq=False)
class CorpusReport:
    """What is reported of one corpus, split and task.

    intervals: by figure, lowest and highest. corruptions: by name ("as it is" among them), accuracy and UAR of the same
    rows; empty where rows are too few. shipped: the shipped model's UAR compared with this one's, None where both are
    one model.
    """

    corpus: str
    split: str
    predictions: Predictions
    figures: Mapping[str, Any]
    intervals: Mapping[str, tuple[float, float]]
    slices: Mapping[str, Sliced]
    corruptions: Mapping[str, tuple[float, float]]
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
    """Measures the model on one corpus. Raises EvaluationError.

    most_rows: rows measured at most, drawn at random. shipped: the shipped model, which predicts the same rows; None
    where that is this one.
    """
    every = read_rows(corpus, data, split, task, progress)
    rows = _sampled(every, most_rows)
    predictions = predict(model, corpus, rows, progress)
    predicted = predictions.probabilities.argmax(axis=1)
    figures = classification_figures(predictions.probabilities, predictions.truth, rows.labels)
    known = predictions.known
    notes = evaluation_notes(model, corpus, split, predictions)
    if len(rows.truth) < len(every.truth):
        notes = [f"{len(rows.truth)} of {len(every.truth)} rows, drawn at random.", *notes]
    return CorpusReport(
        corpus,
        split,
        predictions,
        figures,
        intervals(predicted, predictions.truth, len(rows.labels), None if rows.groups is None else rows.groups[known]),
        sliced(predicted, predictions.truth, {name: values[known] for name, values in rows.slices.items()}),
        _corruptions(model, corpus, _rows(rows, known), progress) if known.sum() >= LEAST_ROWS else {},
        tuple(notes),
        _subsets(model, predictions),
        None if shipped is None else _compared(predict(shipped, corpus, rows, progress), predictions),
        data_file(corpus, data, split),
    )


def _subsets(model: AffectModel, predictions: Predictions) -> tuple[Subset, ...]:
    subsets = []
    for present in SUBSETS:
        names = present.split("+")
        if not set(names) <= set(predictions.encoded):
            continue
        having = [row for row in np.flatnonzero(predictions.known).tolist() if _has(predictions, names, row)]
        accuracy = uar = None
        if len(having) >= LEAST_ROWS:
            encoded = {name: [predictions.encoded[name][row] for row in having] for name in names}
            rows = predictions.rows
            probabilities = predictions.calibration.probabilities(posteriors(model, rows.task, encoded))
            figures = classification_figures(probabilities, rows.truth[having], rows.labels)
            accuracy, uar = figures["accuracy"], figures["uar"]
        if having:
            subsets.append(Subset(present, len(having), accuracy, uar))
    return tuple(subsets)


def _has(predictions: Predictions, modalities: Sequence[str], row: int) -> bool:
    return all(predictions.encoded[name][row] is not None for name in modalities)


def _compared(shipped: Predictions, measured: Predictions) -> Comparison:
    rows, known = measured.rows, measured.known
    groups = np.arange(len(known)).astype(str) if rows.groups is None else rows.groups
    before, after = (predictions.probabilities.argmax(axis=1) for predictions in (shipped, measured))
    return compare([Paired(measured.truth, before, after, groups[known], len(rows.labels))])


def _corruptions(
    model: AffectModel, corpus: str, rows: LabelledRows, progress: OnRows
) -> dict[str, tuple[float, float]]:
    few = _sampled(rows, _CORRUPTED_ROWS)
    versions = {"as it is": few} | {
        f"{name} ({modality})" if len(few.units) > 1 else name: corrupted(few, modality, corruption)
        for modality in few.units
        if modality in model.encoders
        for name, corruption in CORRUPTIONS[modality].items()
    }
    measured = {}
    for name, version in versions.items():
        predictions = predict(model, corpus, version, partial(_of_version, progress, name))
        figures = classification_figures(predictions.probabilities, predictions.truth, few.labels)
        measured[name] = (figures["accuracy"], figures["uar"])
    return measured


def _of_version(progress: OnRows, name: str, modality: str, done: int, rows: int) -> None:
    progress(f"{modality}, {name}", done, rows)


def _sampled(rows: LabelledRows, most: int) -> LabelledRows:
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
