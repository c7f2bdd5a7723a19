"""Plots of one corpus: confusion, ROC curves, reliability diagram, abstention.

Each plot is a picture of its own, as wide as a telephone. Lines differ by dash and marker as well as by colour.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.evaluation.predictions import Predictions
from models.metrics.curves import coverage_accuracy, reliability, roc_curves

PICTURES = ("confusion", "roc", "reliability", "abstention")
"""Names of the plots, in the order of the page."""

_SIZE_INCHES = (4.6, 4.2)
_DASHES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 3)), (0, (3, 1)))
_COLOURS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#e69f00",
    "#444444",
    "#8a6d00",
)  # after Okabe and Ito

LEAST_OF_LABEL = 5
"""Labels and bins of fewer rows are not drawn: a share of so few is chance."""


def pictures(predictions: Predictions, confusion: Sequence[Sequence[int]]) -> Mapping[str, Figure]:
    """Draws the plots, by name.

    confusion: rows by label and by prediction.
    """
    probabilities, truth, labels = predictions.probabilities, predictions.truth, predictions.rows.labels
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    drawn = {name: Figure(figsize=_SIZE_INCHES, layout="constrained") for name in PICTURES}
    _confusion(drawn["confusion"].subplots(), np.array(confusion), labels)
    several = [label for index, label in enumerate(labels) if (truth == index).sum() >= LEAST_OF_LABEL]
    curves = roc_curves(probabilities, truth, labels)
    _roc(drawn["roc"].subplots(), {label: curves[label] for label in several if label in curves})
    _reliability(drawn["reliability"].subplots(), *reliability(confidence, correct))
    _coverage(drawn["abstention"].subplots(), coverage_accuracy(confidence, correct))
    return drawn


def _confusion(axes: Axes, counts: NDArray[np.int64], labels: Sequence[str]) -> None:
    share = counts / counts.sum(axis=1, keepdims=True).clip(1)
    axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if share[row, column] > 0.6 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", fontsize=9)
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.set(title="Confusion (rows)", xlabel="predicted", ylabel="labelled")


def _roc(axes: Axes, curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> None:
    styles = zip(cycle(_DASHES), cycle(_COLOURS))
    for (label, (false_rate, true_rate)), (dash, colour) in zip(curves.items(), styles, strict=False):
        axes.plot(false_rate, true_rate, label=label, linestyle=dash, color=colour, linewidth=1.8)
    axes.plot([0, 1], [0, 1], color="lightgrey", linewidth=1)
    axes.set(title="ROC, one label against the rest", xlabel="false positive rate", ylabel="true positive rate")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    if curves:
        axes.legend(fontsize=8, loc="lower right", handlelength=4)


def _reliability(
    axes: Axes, confidence: NDArray[np.float64], accuracy: NDArray[np.float64], rows: NDArray[np.int64]
) -> None:
    several = rows >= LEAST_OF_LABEL
    axes.bar(confidence, rows / rows.sum(), width=0.04, color="lightgrey", label="share of rows")
    axes.plot([0, 1], [0, 1], color=_COLOURS[6], linestyle=":", label="perfect calibration")
    axes.plot(confidence[several], accuracy[several], marker="o", color=_COLOURS[0], label="accuracy")
    axes.set(
        title=f"Reliability (bins of {LEAST_OF_LABEL} rows or more)", xlabel="confidence", xlim=(0, 1), ylim=(0, 1.05)
    )
    axes.legend(fontsize=8, loc="upper left")


def _coverage(axes: Axes, curve: Sequence[Mapping[str, float]]) -> None:
    answered = [point["coverage"] for point in curve]
    axes.plot(
        answered, [p["accuracy"] for p in curve], marker="o", color=_COLOURS[0], label="accuracy of the predictions"
    )
    axes.plot(
        answered,
        [point["threshold"] for point in curve],
        marker="s",
        linestyle="--",
        color=_COLOURS[1],
        label="least confidence",
    )
    axes.set(title="Abstention", xlabel="coverage: share predicted", xlim=(0.45, 1.02), ylim=(0, 1.05))
    axes.grid(color="#eeeeee")
    axes.legend(fontsize=8, loc="lower left")
