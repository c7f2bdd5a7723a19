"""Fits calibration and fusion weights on answers that the encoders gave to data they were not trained on.

No corpus here has face, voice and text of the same moment, so windows are put together: a label is drawn, every label
as likely, and for each modality an answer to an example of that label; then a random subset of the modalities is kept.
What modalities share beyond the label is therefore not in the data, and neither is how often each emotion really
occurs. Everything is fitted on four folds of the answers and measured on the fifth, for each subset of the modalities;
what is shipped is fitted on all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.calibration.scaling import TemperatureScaling
from models.data.sampling import group_folds
from models.fusion.pool import LogLinearPool
from models.labels import EMOTIONS, MODALITIES
from models.metrics.classification import classification_figures
from models.metrics.curves import coverage_accuracy
from models.training.calibration.scaling import equal_label_weight, fit_temperature, minimise

SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(MODALITIES, size)]
FOLDS = 5
_WINDOWS = 14_000  # drawn for each fit and for each measurement
_COVERAGE = 0.95  # share of windows answered at least; the others are abstained from


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One modality's held-out answers.

    logits: (rows, 7) float32, uncalibrated. labels: (rows,) int64 in EMOTIONS. corpus: (rows,) names. group: (rows,),
    what must not be on both sides of a fold (a speaker).
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    corpus: NDArray[np.str_]
    group: NDArray[np.str_]

    def rows(self, chosen: NDArray[np.int64]) -> "Answers":
        """The chosen rows."""
        return Answers(self.logits[chosen], self.labels[chosen], self.corpus[chosen], self.group[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class FittedFusion:
    """calibration: per modality. metrics: per subset ("video+audio"), figures with mean and spread over the folds."""

    calibration: dict[str, TemperatureScaling]
    pool: LogLinearPool
    least_confidence: float
    metrics: dict[str, Any]


def fit_fusion(answers: Mapping[str, Answers], seed: int = 0) -> FittedFusion:
    """Fits on all answers, with the figures of a five-fold cross-validation.

    Raises ValueError where a modality has fewer answers for an emotion than there are folds.
    """
    for modality, kept in answers.items():
        counts = np.bincount(kept.labels, minlength=len(EMOTIONS)).tolist()
        if min(counts) < FOLDS:
            raise ValueError(f"{modality}: each emotion needs {FOLDS} answers or more, has {counts} for {EMOTIONS}")
    measured = [_measure_fold(found) for found in every_fold(answers, seed)]
    subsets = {name: spread([fold.subsets[name] for fold in measured]) for name in measured[0].subsets}
    confidence = np.concatenate([fold.confidence for fold in measured])
    correct = np.concatenate([fold.correct for fold in measured])
    least = float(np.quantile(confidence, 1 - _COVERAGE))
    calibration, pool, _ = fit_answers(answers, seed)
    metrics = {"protocol": __doc__, "folds": FOLDS, "windows_per_fold": _WINDOWS, "subsets": subsets}
    metrics["coverage_accuracy"] = coverage_accuracy(confidence, correct)
    return FittedFusion(calibration, pool, round(least, 3), metrics)


@dataclass(frozen=True, slots=True, eq=False)
class _Fold:
    subsets: dict[str, dict[str, float]]
    confidence: NDArray[np.float64]
    correct: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Windows put together. labels: (windows,). log_posterior: (3, windows, 7), calibrated. present: (3, windows)."""

    labels: NDArray[np.int64]
    log_posterior: torch.Tensor
    present: torch.Tensor


@dataclass(frozen=True, slots=True, eq=False)
class FoldWindows:
    """Windows of four fifths of the answers, what was fitted to these, and windows of the last fifth."""

    trained: Windows
    pool: LogLinearPool
    held_out: Windows


def fold_windows(answers: Mapping[str, Answers], fold: int, seed: int = 0) -> FoldWindows:
    """One of the folds that everything is measured by."""
    return _fold_windows(*fold_answers(answers, fold, seed), fold, seed)


def every_fold(answers: Mapping[str, Answers], seed: int = 0) -> Iterator[FoldWindows]:
    """What `fold_windows` gives for each fold; the answers are dealt out once, which takes longest."""
    for fold, (kept, left) in enumerate(answers_by_fold(answers, seed)):
        yield _fold_windows(kept, left, fold, seed)


def answers_by_fold(answers: Mapping[str, Answers], seed: int) -> list[tuple[dict[str, Answers], dict[str, Answers]]]:
    """Of each fold, four fifths of each modality's answers, and the last fifth; no group is in both."""
    parts = {name: group_folds(each.labels, each.group, FOLDS, seed) for name, each in answers.items()}
    return [_dealt(answers, {name: folds[fold] for name, folds in parts.items()}) for fold in range(FOLDS)]


def fold_answers(answers: Mapping[str, Answers], fold: int, seed: int) -> tuple[dict[str, Answers], dict[str, Answers]]:
    """One of `answers_by_fold`."""
    return answers_by_fold(answers, seed)[fold]


def _dealt(
    answers: Mapping[str, Answers], rows: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]]
) -> tuple[dict[str, Answers], dict[str, Answers]]:
    kept, left = ({name: each.rows(rows[name][side]) for name, each in answers.items()} for side in (0, 1))
    return kept, left


def _fold_windows(kept: Mapping[str, Answers], left: Mapping[str, Answers], fold: int, seed: int) -> FoldWindows:
    calibration, pool, trained = fit_answers(kept, seed)
    return FoldWindows(trained, pool, put_together(left, calibration, np.random.default_rng((seed, fold, 1))))


def _measure_fold(found: FoldWindows) -> _Fold:
    pool, labels = found.pool, found.held_out.labels
    drawn, present = found.held_out.log_posterior, found.held_out.present
    subsets = {}
    for subset in SUBSETS:
        kept = torch.tensor([name in subset for name in MODALITIES])[:, None].expand(-1, len(labels))
        posterior = pool.fuse(drawn, kept.double()).posterior.numpy()
        figures = classification_figures(posterior, labels, EMOTIONS)
        subsets["+".join(subset)] = {name: figures[name] for name in ("accuracy", "uar", "macro_f1", "nll", "ece")}
    posterior = pool.fuse(drawn, present.double()).posterior.numpy()
    return _Fold(subsets, posterior.max(axis=1), posterior.argmax(axis=1) == labels)


def fit_answers(
    answers: Mapping[str, Answers], seed: int
) -> tuple[dict[str, TemperatureScaling], LogLinearPool, Windows]:
    """Calibration by modality, the pool's weights, and the windows put together that these were fitted to."""
    calibration = {
        name: fit_temperature(kept.logits, kept.labels, equal_label_weight(kept.labels, kept.corpus))
        for name, kept in answers.items()
    }
    windows = put_together(answers, calibration, np.random.default_rng((seed, 0)))
    truth = torch.from_numpy(windows.labels)
    log_weight = torch.zeros(len(MODALITIES), dtype=torch.float64, requires_grad=True)

    def loss() -> torch.Tensor:
        evidence = (torch.exp(log_weight)[:, None] * windows.present)[..., None] * windows.log_posterior
        return functional.cross_entropy(evidence.sum(dim=0), truth)

    minimise(loss, [log_weight])
    weights = dict(zip(MODALITIES, (round(w, 4) for w in log_weight.detach().exp().tolist()), strict=True))
    return calibration, LogLinearPool(weights=weights), windows


def put_together(
    answers: Mapping[str, Answers], calibration: Mapping[str, TemperatureScaling], rng: np.random.Generator
) -> Windows:
    """Draws labels, an answer of each modality to each, calibrated, and which modalities are present."""
    labels = rng.integers(len(EMOTIONS), size=_WINDOWS)
    drawn = [calibration[m].log_posterior(torch.from_numpy(_draw(answers[m], labels, rng))) for m in MODALITIES]
    subset = rng.integers(len(SUBSETS), size=_WINDOWS)
    there = np.array([[name in kept for kept in SUBSETS] for name in MODALITIES])
    return Windows(labels, torch.stack(drawn), torch.from_numpy(there[:, subset]))


def _draw(answers: Answers, labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
    """For each label, the logits of one row that has it; the corpora that have the label are as likely."""
    weight = equal_label_weight(answers.labels, answers.corpus)
    logits = np.empty((len(labels), len(EMOTIONS)), np.float32)
    for label in range(len(EMOTIONS)):
        rows = np.flatnonzero(answers.labels == label)
        wanted = labels == label
        share = weight[rows] / weight[rows].sum()
        logits[wanted] = answers.logits[rng.choice(rows, size=int(wanted.sum()), p=share)]
    return logits


def spread(folds: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Of each figure, its mean and standard deviation over the folds."""
    values = {name: np.array([fold[name] for fold in folds]) for name in folds[0]}
    return {
        name: {"mean": round(float(v.mean()), 4), "sd": round(float(v.std(ddof=1)), 4)} for name, v in values.items()
    }
