"""Answers to groups held out: a fusion is trained on all folds but some and asked about these, many of them at a time.

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
from models.studies.train import StudyTraining, blurred, fitted_temperature, looks, train_member

FIGURES = ("accuracy", "weighted_f1", "ece")

_TIMED_ROWS = 32
_TIMED_CALLS = 30

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One training, and what is asked then.

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
class Answer:
    """rows: (asked,) places of the rows asked about. logits: by view, (asked, labels)."""

    rows: NDArray[np.int64]
    logits: Mapping[str, Floats]
    parameters: int
    ms_per_row: float


def answered(question: Question) -> Answer:
    """Trains and asks. Raises ValueError as `train_fusion` does."""
    torch.set_num_threads(1)
    asked = np.isin(question.fold, question.held_out)
    trained_on = question.rows.rows(~asked)
    member = train_member(question.study, question.strategy, trained_on, question.seed)
    shown = blurred(
        question.rows.rows(asked), looks(question.study, trained_on), np.random.default_rng((1, question.seed))
    )
    logits = {}
    for view, left_out in question.views.items():
        rows = shown
        for name in left_out:
            rows = rows.without(name)
        logits[view] = member.logits(rows, question.study.task)
    return Answer(np.flatnonzero(asked), logits, member.parameters, ms_per_row(member, shown))


def ms_per_row(member: StudyMember, rows: FusionRows) -> float:
    """Milliseconds of one core for a row, 32 of them at a time; the median of some calls."""
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


def all_answered(
    questions: Sequence[Question], workers: int, told: Callable[[str], None] = lambda what: None
) -> list[Answer]:
    """Answers in the order of the questions; several workers are processes beside this one. told: how far it is."""

    def collected(answers: Iterable[Answer]) -> list[Answer]:
        found = []
        for question, answer in zip(questions, answers, strict=True):
            found.append(answer)
            told(f"{len(found)}/{len(questions)} {question.strategy}, seed {question.seed}, fold {question.held_out}")
        return found

    if workers == 1:
        return collected(map(answered, questions))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return collected(pool.map(answered, questions))


def over_folds(answers: Iterable[Answer], view: str = "all") -> Floats:
    """(rows, labels) logits of answers that are about every row once."""
    parts = list(answers)
    logits = np.full((sum(len(part.rows) for part in parts), parts[0].logits[view].shape[1]), np.nan)
    for part in parts:
        logits[part.rows] = part.logits[view]
    return logits


def calibrated(logits: Floats, truth: NDArray[np.int64], fold: NDArray[np.int64]) -> Floats:
    """(rows, labels) probabilities, each fold's by the temperature of the other folds' answers."""
    probabilities = np.empty_like(logits)
    for held_out in np.unique(fold):
        inside = fold == held_out
        probabilities[inside] = softmax(logits[inside] / fitted_temperature(logits[~inside], truth[~inside]), axis=1)
    return probabilities


def fold_figures(
    probabilities: Floats, truth: NDArray[np.int64], fold: NDArray[np.int64], labels: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """By figure, its mean and deviation over the folds, each fold's value, and that over all rows."""
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
