"""Curves behind the figures: ROC, reliability, coverage and accuracy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

Floats = NDArray[np.float64]
Hits = NDArray[np.bool_]

_BINS = 15
_COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)


def roc_curves(
    probabilities: Floats, truth: NDArray[np.int64], labels: Sequence[str]
) -> dict[str, tuple[Floats, Floats]]:
    """ROC curves, by label: false and true positive rates.

    Each is of one label against the rest; labels that no row or every row has are left out.
    """
    curves = {}
    for index, label in enumerate(labels):
        is_label = truth == index
        if is_label.any() and not is_label.all():
            false_rate, true_rate, _ = roc_curve(is_label, probabilities[:, index])
            curves[label] = (false_rate, true_rate)
    return curves


def reliability(confidence: Floats, correct: Hits) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """The reliability diagram: mean confidence, accuracy, rows per bin.

    Of 15 equally wide bins those with rows (DeGroot and Fienberg, 1983).
    """
    bin_of = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    rows = np.bincount(bin_of, minlength=_BINS)
    used = rows > 0
    mean = np.bincount(bin_of, weights=confidence, minlength=_BINS)[used] / rows[used]
    accuracy = np.bincount(bin_of, weights=correct, minlength=_BINS)[used] / rows[used]
    return mean, accuracy, rows[used]


def coverage_accuracy(confidence: Floats, correct: Hits) -> list[dict[str, float]]:
    """Accuracy at falling coverage: the least confident rows are left out."""
    curve = []
    for coverage in _COVERAGES:
        threshold = float(np.quantile(confidence, 1 - coverage))
        covered = confidence >= threshold
        row = {"threshold": threshold, "coverage": covered.mean(), "accuracy": correct[covered].mean()}
        curve.append({name: round(float(value), 4) for name, value in row.items()})
    return curve


def threshold_for_accuracy(confidence: Floats, correct: Hits, wanted: float) -> float | None:
    """The least confidence threshold that reaches an accuracy, or None."""
    order = np.argsort(-confidence, kind="stable")
    given = np.arange(1, len(order) + 1)
    last_of_its_confidence = np.append(np.diff(confidence[order]) < 0, True)
    good = np.flatnonzero((np.cumsum(correct[order]) / given >= wanted) & last_of_its_confidence)
    return float(confidence[order][good[-1]]) if len(good) else None
