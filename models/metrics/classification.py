"""Classification figures: accuracy, recall over labels, calibration.

By scikit-learn, but for the calibration error (Guo et al., 2017) and the Brier score over several labels (Brier, 1950:
the summed square over labels, 0..2), which it does not have.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

_BINS = 15


def classification_figures(
    probabilities: NDArray[np.float64], truth: NDArray[np.int64], labels: Sequence[str]
) -> dict[str, Any]:
    """All figures of one classification, by name.

    probabilities: (rows, labels), rows sum to 1. truth: (rows,) indices of `labels`, at least one row.

    Means over labels (uar, macro_f1, auroc) are over those with rows. auroc is one label against the rest, None where
    only one label occurs. Raises ValueError without rows.
    """
    if not len(truth):
        raise ValueError("there are no rows to measure")
    index = np.arange(len(labels))
    present = np.unique(truth)
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, labels=index, zero_division=0.0)
    confidence = probabilities.max(axis=1)
    onehot = np.eye(len(labels))[truth]
    each = zip(labels, precision, recall, f1, support, strict=True)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "uar": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
        "weighted_f1": float(f1_score(truth, predicted, labels=index, average="weighted", zero_division=0.0)),
        "auroc": _auroc(probabilities, onehot, present),
        "ece": expected_calibration_error(confidence, predicted == truth),
        "brier": float(np.square(probabilities - onehot).sum(axis=1).mean()),
        "nll": float(log_loss(truth, probabilities, labels=index)),
        "confusion": confusion_matrix(truth, predicted, labels=index).tolist(),
        "per_label": {
            name: {"precision": float(p), "recall": float(r), "f1": float(f), "n": int(n)} for name, p, r, f, n in each
        },
    }


def expected_calibration_error(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], weight: NDArray[np.float64] | None = None
) -> float:
    """Expected calibration error over 15 bins of equal width.

    It is the mean gap between confidence and accuracy. All arguments are (rows,); without `weight` rows count alike.
    """
    bin_of = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    counted = np.ones(len(confidence)) if weight is None else weight
    gap = np.bincount(bin_of, weights=counted * (confidence - correct), minlength=_BINS)
    return float(np.abs(gap).sum() / counted.sum())


def _auroc(probabilities: NDArray[np.float64], onehot: NDArray[np.float64], present: NDArray[np.int64]) -> float | None:
    if len(present) < 2:
        return None
    return float(np.mean([roc_auc_score(onehot[:, label], probabilities[:, label]) for label in present]))
