"""Paired bootstrap comparison of two models on the same rows.

The figure is UAR, of several tasks its mean: it is the same whatever labels happen to be common, and a model that gives
one answer to everything has the UAR of guessing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.metrics.bootstrap import FIGURES, drawn_figures, drawn_groups, group_counts

Estimate = tuple[float, float, float]
"""A figure, and the ends of its 95 % interval."""

_DRAWS = 1000
_ENDS = (0.025, 0.975)
_UAR = FIGURES.index("uar")


@dataclass(frozen=True, slots=True, eq=False)
class Paired:
    """Two models' predictions for one task.

    truth, before, after: (rows,) indices of `labels` labels. groups: (rows,)
    """

    truth: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    groups: NDArray[np.str_]
    labels: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """UAR of two models, and of their difference.

    better_in: share of draws of the groups in which the second model's UAR is above the first one's.
    """

    rows: int
    before: Estimate
    after: Estimate
    change: Estimate
    better_in: float


def compare(tasks: Sequence[Paired]) -> Comparison:
    """Compares over all of the tasks, each with at least one row."""
    names = np.unique(np.concatenate([task.groups for task in tasks]))
    of_task = [_counts(task, names) for task in tasks]
    once = np.ones((1, len(names)))
    drawn = np.concatenate(
        [_uars(of_task, once), *(_uars(of_task, times) for times in drawn_groups(len(names), _DRAWS))]
    )
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    before, after = drawn.T
    return Comparison(
        sum(len(task.truth) for task in tasks),
        _estimate(before),
        _estimate(after),
        _estimate(after - before),
        float((after > before)[1:].mean()) if len(drawn) > 1 else 0.0,
    )


def _counts(task: Paired, names: NDArray[np.str_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    of_row = np.searchsorted(names, task.groups)
    before, after = (
        group_counts(predicted, task.truth, task.labels, of_row, len(names)) for predicted in (task.before, task.after)
    )
    return before, after


def _uars(
    of_task: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(draws, 2) UAR before and after, as mean over tasks.

    Tasks without rows in a draw are left out; NaN where none has any.
    """
    uars = np.array([[drawn_figures(counts, times)[:, _UAR] for counts in both] for both in of_task])
    measured = np.isfinite(uars).all(axis=1, keepdims=True)
    count = measured.sum(axis=0)
    mean: NDArray[np.float64] = np.where(measured, uars, 0).sum(axis=0) / np.where(count, count, np.nan)
    return mean.T


def _estimate(drawn: NDArray[np.float64]) -> Estimate:
    """drawn: the figure of all rows, then those of the draws."""
    low, high = np.quantile(drawn, _ENDS)
    return round(float(drawn[0]), 4), round(float(low), 4), round(float(high), 4)
