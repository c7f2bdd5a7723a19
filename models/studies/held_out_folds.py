"""Trains fusions on all folds but some, and measures the others.

Many trainings run at a time.

Rule: whatever is fitted (scales, noise, weights) is fitted on the folds trained on; features that were made with a look
at the labels are given the look of new rows in the rows asked about, too, as if they came from new groups. The
temperature by which a fold's answers are calibrated is fitted on the answers to the other folds. Left out: choosing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from models.data.fusion.rows import FusionRows
from models.evaluation.study_model import StudyMember
from models.fusion.strategies.interface import ModalitySteps
from models.metrics.classification import classification_figures
from models.studies.train import StudyTraining, fitted_temperature, leakage_noise, train_member, with_leakage_noise

FIGURES = ("accuracy", "weighted_f1", "ece")

_TIMED_ROWS = 32
_TIMED_CALLS = 30

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class FoldTraining:
    """One training, and the inputs that are left out afterwards.

    fold: (rows,). held_out: the folds not trained on, whose rows are asked about. views: by name, the inputs that are
    left out when asking.
    """

    study: StudyTraining
    strategy: str
    rows: FusionRows
    fold: NDArray[np.int64]
    held_out: tuple[int, ...]
    seed: int = 0
    views: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"all": ()})


@dataclass(frozen=True, slots=True, eq=False)
class FoldLogits:
    """Logits for the rows of the folds held out.

    rows: (held out,) their places. logits: by view, (held out, labels).
    """

    rows: NDArray[np.int64]
    logits: Mapping[str, Floats]
    parameters: int
    ms_per_row: float


def run_fold(training: FoldTraining) -> FoldLogits:
    """Trains, and returns the logits for the folds held out.

    Raises ValueError as `train_fusion` does.
    """
    torch.set_num_threads(1)
    held_out = np.isin(training.fold, training.held_out)
    trained_on = training.rows.rows(~held_out)
    member = train_member(training.study, training.strategy, trained_on, training.seed)
    shown = with_leakage_noise(
        training.rows.rows(held_out),
        leakage_noise(training.study, trained_on),
        np.random.default_rng((1, training.seed)),
    )
    logits = {}
    for view, left_out in training.views.items():
        rows = shown
        for name in left_out:
            rows = rows.without(name)
        logits[view] = member.logits(rows, training.study.task)
    return FoldLogits(np.flatnonzero(held_out), logits, member.parameters, ms_per_row(member, shown))


def ms_per_row(member: StudyMember, rows: FusionRows) -> float:
    """Milliseconds of one core for a row, the median of calls.

    A call has 32 rows.
    """
    few = member.scale(rows.rows(np.arange(min(_TIMED_ROWS, len(rows)))))
    inputs = {name: ModalitySteps(*map(torch.from_numpy, few.inputs[name])) for name in member.net.config.widths}
    session = torch.from_numpy(few.session)
    took = []
    with torch.inference_mode():
        for _ in range(_TIMED_CALLS):
            began_s = perf_counter()
            member.net(inputs, session)
            took.append(perf_counter() - began_s)
    return float(np.median(took)) / len(few) * 1e3


def run_folds(
    trainings: Sequence[FoldTraining], workers: int, on_progress: Callable[[str], None] = lambda what: None
) -> list[FoldLogits]:
    """Runs trainings in this process or in several workers.

    Returns logits in the order of the trainings. on_progress: called after each with what was trained.
    """

    def collected(results: Iterable[FoldLogits]) -> list[FoldLogits]:
        finished = []
        for training, result in zip(trainings, results, strict=True):
            finished.append(result)
            what = f"{training.strategy}, seed {training.seed}, fold {training.held_out}"
            on_progress(f"{len(finished)}/{len(trainings)} {what}")
        return finished

    if workers == 1:
        return collected(map(run_fold, trainings))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return collected(pool.map(run_fold, trainings))


def over_folds(results: Iterable[FoldLogits], view: str = "all") -> Floats:
    """Logits (rows, labels) of folds that hold out every row once."""
    parts = list(results)
    logits = np.full((sum(len(part.rows) for part in parts), parts[0].logits[view].shape[1]), np.nan)
    for part in parts:
        logits[part.rows] = part.logits[view]
    return logits


def calibrated(logits: Floats, truth: NDArray[np.int64], fold: NDArray[np.int64]) -> Floats:
    """Probabilities (rows, labels), each fold's temperature fitted on the others."""
    probabilities = np.empty_like(logits)
    for held_out in np.unique(fold):
        inside = fold == held_out
        probabilities[inside] = softmax(logits[inside] / fitted_temperature(logits[~inside], truth[~inside]), axis=1)
    return probabilities


def fold_figures(
    probabilities: Floats, truth: NDArray[np.int64], fold: NDArray[np.int64], labels: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Figures: mean, deviation and values over the folds, and over all rows."""
    whole = classification_figures(probabilities, truth, labels)
    each = [
        classification_figures(probabilities[fold == held_out], truth[fold == held_out], labels)
        for held_out in np.unique(fold)
    ]
    return {name: {**mean_and_sd([one[name] for one in each]), "all_rows": whole[name]} for name in FIGURES}


def mean_and_sd(values: Sequence[float]) -> dict[str, Any]:
    """Of a sample."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "sd": sd, "values": [float(value) for value in values]}
