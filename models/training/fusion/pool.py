"""Fits calibration and fusion weights to held-out logits.

Rule: everything is fitted on four folds and measured on the fifth, for each subset of the modalities, on synthetic
windows (`models.training.fusion.synthetic_windows`). What is shipped is fitted on all folds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from models.training.fusion.synthetic_windows import SUBSETS, WINDOWS, SyntheticWindows, synthetic_windows
from models.training.part.held_out import EmotionLogits

FOLDS = 5
_COVERAGE = 0.95  # share of windows answered at least; the others are abstained from
_PROTOCOL = (
    "Calibration and fusion weights are fitted on answers that the encoders gave to data they were not trained on.\n\n"
    "No corpus here has face, voice and text of the same moment, so windows are put together: a label is drawn, every "
    "label as likely, and for each modality an answer to an example of that label; then a random subset of the "
    "modalities is kept. What modalities share beyond the label is therefore not in the data, and neither is how often "
    "each emotion really occurs. Everything is fitted on four folds of the answers and measured on the fifth, for each "
    "subset of the modalities; what is shipped is fitted on all of them."
)

ByModality = Mapping[str, EmotionLogits]


@dataclass(frozen=True, slots=True, eq=False)
class FittedFusion:
    """Calibration and fusion of a model, with their figures.

    calibration: by modality. least_confidence: windows below it are abstained from. metrics: for `model.json`; by
    subset ("video+audio"), figures with mean and spread over the folds.
    """

    calibration: dict[str, TemperatureScaling]
    pool: LogLinearPool
    least_confidence: float
    metrics: dict[str, Any]


def fit_fusion(held_out: ByModality, seed: int = 0) -> FittedFusion:
    """Fits to all rows, with the figures of a five-fold cross-validation.

    Raises ValueError where a modality has fewer rows of an emotion than there are folds.
    """
    for modality, rows in held_out.items():
        counts = np.bincount(rows.labels, minlength=len(EMOTIONS)).tolist()
        if min(counts) < FOLDS:
            raise ValueError(f"{modality}: each emotion needs {FOLDS} answers or more, has {counts} for {EMOTIONS}")
    measured = [_measure_fold(windows) for windows in every_fold(held_out, seed)]
    subsets = {name: spread([fold.subsets[name] for fold in measured]) for name in measured[0].subsets}
    confidence = np.concatenate([fold.confidence for fold in measured])
    correct = np.concatenate([fold.correct for fold in measured])
    least = float(np.quantile(confidence, 1 - _COVERAGE))
    calibration, pool, _ = fit_calibration_and_pool(held_out, seed)
    metrics = {"protocol": _PROTOCOL, "folds": FOLDS, "windows_per_fold": WINDOWS, "subsets": subsets}
    metrics["coverage_accuracy"] = coverage_accuracy(confidence, correct)
    return FittedFusion(calibration, pool, round(least, 3), metrics)


@dataclass(frozen=True, slots=True, eq=False)
class _FoldFigures:
    subsets: dict[str, dict[str, float]]
    confidence: NDArray[np.float64]
    correct: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """One fold of the rows, by modality; no group is in both.

    fitted: four fifths. measured: the last fifth.
    """

    fitted: dict[str, EmotionLogits]
    measured: dict[str, EmotionLogits]


@dataclass(frozen=True, slots=True, eq=False)
class FoldWindows:
    """Synthetic windows of a fold.

    trained: of the rows that calibration and `pool` were fitted to. held_out: of the others.
    """

    trained: SyntheticWindows
    pool: LogLinearPool
    held_out: SyntheticWindows


def fold_windows(held_out: ByModality, number: int, seed: int = 0) -> FoldWindows:
    """The windows of one fold, from 0."""
    return _fold_windows(folds_of(held_out, seed)[number], number, seed)


def every_fold(held_out: ByModality, seed: int = 0) -> Iterator[FoldWindows]:
    """The windows of each fold.

    Rows are dealt out once, which takes longest.
    """
    for number, fold in enumerate(folds_of(held_out, seed)):
        yield _fold_windows(fold, number, seed)


def folds_of(held_out: ByModality, seed: int) -> list[Fold]:
    """The rows dealt out to folds, modality by modality."""
    dealt = {name: group_folds(rows.labels, rows.group, FOLDS, seed) for name, rows in held_out.items()}
    return [
        Fold(
            {name: rows.rows(dealt[name][number][0]) for name, rows in held_out.items()},
            {name: rows.rows(dealt[name][number][1]) for name, rows in held_out.items()},
        )
        for number in range(FOLDS)
    ]


def _fold_windows(fold: Fold, number: int, seed: int) -> FoldWindows:
    calibration, pool, trained = fit_calibration_and_pool(fold.fitted, seed)
    rng = np.random.default_rng((seed, number, 1))
    return FoldWindows(trained, pool, synthetic_windows(fold.measured, calibration, rng))


def _measure_fold(windows: FoldWindows) -> _FoldFigures:
    pool, labels = windows.pool, windows.held_out.labels
    drawn, present = windows.held_out.log_posterior, windows.held_out.present
    subsets = {}
    for subset in SUBSETS:
        amount = torch.tensor([name in subset for name in MODALITIES])[:, None].expand(-1, len(labels)).double()
        posterior = pool.fuse(drawn, amount).posterior.numpy()
        figures = classification_figures(posterior, labels, EMOTIONS)
        subsets["+".join(subset)] = {name: figures[name] for name in ("accuracy", "uar", "macro_f1", "nll", "ece")}
    posterior = pool.fuse(drawn, present.double()).posterior.numpy()
    return _FoldFigures(subsets, posterior.max(axis=1), posterior.argmax(axis=1) == labels)


def fit_calibration_and_pool(
    held_out: ByModality, seed: int
) -> tuple[dict[str, TemperatureScaling], LogLinearPool, SyntheticWindows]:
    """Fits calibration by modality, then the pool's weights.

    Returns also the synthetic windows that the weights were fitted to.
    """
    calibration = {
        name: fit_temperature(rows.logits, rows.labels, equal_label_weight(rows.labels, rows.corpus))
        for name, rows in held_out.items()
    }
    windows = synthetic_windows(held_out, calibration, np.random.default_rng((seed, 0)))
    truth = torch.from_numpy(windows.labels)
    log_weight = torch.zeros(len(MODALITIES), dtype=torch.float64, requires_grad=True)

    def loss() -> torch.Tensor:
        evidence = (torch.exp(log_weight)[:, None] * windows.present)[..., None] * windows.log_posterior
        return functional.cross_entropy(evidence.sum(dim=0), truth)

    minimise(loss, [log_weight])
    weights = dict(zip(MODALITIES, (round(w, 4) for w in log_weight.detach().exp().tolist()), strict=True))
    return calibration, LogLinearPool(weights=weights), windows


def spread(folds: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Of each figure, its mean and standard deviation over the folds."""
    values = {name: np.array([fold[name] for fold in folds]) for name in folds[0]}
    return {
        name: {"mean": round(float(v.mean()), 4), "sd": round(float(v.std(ddof=1)), 4)} for name, v in values.items()
    }
