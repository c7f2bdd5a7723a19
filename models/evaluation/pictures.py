"""The pictures of one study: confusion, ROC, reliability, and accuracy of the answers that are given."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.evaluation.answers import Answers
from models.evaluation.curves import coverage_accuracy, reliability, roc_curves


def picture(answered: Answers, confusion: Sequence[Sequence[int]]) -> Figure:
    """Four panels."""
    figure = Figure(figsize=(11, 9), layout="constrained")
    upper, lower = figure.subplots(2, 2)
    probabilities, truth = answered.probabilities, answered.truth
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    _confusion(upper[0], np.array(confusion), answered.rows.labels)
    _roc(upper[1], roc_curves(probabilities, truth, answered.rows.labels))
    _reliability(lower[0], *reliability(confidence, correct))
    _coverage(lower[1], coverage_accuracy(confidence, correct))
    return figure


def _confusion(axes: Axes, counts: NDArray[np.int64], labels: Sequence[str]) -> None:
    share = counts / counts.sum(axis=1, keepdims=True).clip(1)
    axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if share[row, column] > 0.6 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set(title="Confusion (rows)", xlabel="answered", ylabel="labelled")


def _roc(axes: Axes, curves: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> None:
    for label, (false_rate, true_rate) in curves.items():
        axes.plot(false_rate, true_rate, label=label)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.set(title="ROC, one label against the rest", xlabel="false positive rate", ylabel="true positive rate")
    if curves:
        axes.legend(fontsize=7)


def _reliability(
    axes: Axes, confidence: NDArray[np.float64], accuracy: NDArray[np.float64], rows: NDArray[np.int64]
) -> None:
    axes.bar(confidence, rows / rows.sum(), width=0.04, color="lightgrey", label="share of rows")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.plot(confidence, accuracy, marker="o", label="accuracy")
    axes.set(title="Reliability", xlabel="confidence", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=7)


def _coverage(axes: Axes, curve: Sequence[dict[str, float]]) -> None:
    axes.plot([point["coverage"] for point in curve], [point["accuracy"] for point in curve], marker="o")
    for point in curve:
        axes.annotate(f"{point['threshold']:.2f}", (point["coverage"], point["accuracy"]), fontsize=7)
    axes.set(title="Abstention (thresholds beside the points)", xlabel="share answered", ylabel="accuracy")
