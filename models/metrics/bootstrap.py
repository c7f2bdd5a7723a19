"""Bootstrap intervals of figures, drawn over groups of rows.

Percentile intervals (Efron, 1979) show how far figures could be off by the choice of rows.

Groups are drawn rather than rows (a speaker, a dialogue), because rows of one group are alike and a new test set would
bring new groups.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FIGURES = ("accuracy", "uar", "macro_f1", "weighted_f1")
"""Those that intervals are given for."""

_DRAWS_AT_ONCE = 100  # bounds the memory


def intervals(
    predicted: NDArray[np.int64],
    truth: NDArray[np.int64],
    labels: int,
    groups: NDArray[np.str_] | None = None,
    draws: int = 1000,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of accuracy, uar, macro_f1 and weighted_f1.

    predicted, truth: (rows,) label indices. groups: (rows,); each row by itself where None. Returns lowest and highest
    by name.
    """
    of_row = np.arange(len(truth)) if groups is None else np.unique(groups, return_inverse=True)[1]
    counts = group_counts(predicted, truth, labels, of_row, int(of_row.max()) + 1)
    drawn = [drawn_figures(counts, times) for times in drawn_groups(len(counts), draws)]
    low, high = np.quantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return {name: (float(a), float(b)) for name, a, b in zip(FIGURES, low, high, strict=True)}


def group_counts(
    predicted: NDArray[np.int64], truth: NDArray[np.int64], labels: int, of_row: NDArray[np.int64], groups: int
) -> Floats:
    """(groups, labels, labels): rows by truth and prediction.

    of_row: (rows,) each row's group, below `groups`.
    """
    counts = np.zeros((groups, labels, labels), np.float64)
    np.add.at(counts, (of_row, truth, predicted), 1)
    return counts


def drawn_groups(groups: int, draws: int) -> Iterator[Floats]:
    """Draws groups: yields (some draws, groups) counts.

    `draws` in all, the same ones every time.
    """
    rng = np.random.default_rng(0)
    for start in range(0, draws, _DRAWS_AT_ONCE):
        size = min(_DRAWS_AT_ONCE, draws - start)
        yield rng.multinomial(groups, np.full(groups, 1 / groups), size).astype(np.float64)


def drawn_figures(counts: Floats, times: Floats) -> Floats:
    """(draws, figures) of drawn groups; NaN in an empty draw.

    counts: (groups, labels, labels). times: (draws, groups).
    """
    return _figures(np.tensordot(times, counts, axes=1))


def _figures(confusion: Floats) -> Floats:
    """(draws, 4) figures of confusion matrices (draws, truth, predicted).

    Means over labels are over those with rows.
    """
    hits = np.einsum("dll->dl", confusion)
    rows, answers = confusion.sum(axis=2), confusion.sum(axis=1)
    present = rows > 0
    recall = hits / np.maximum(rows, 1)
    f1 = 2 * hits / np.maximum(rows + answers, 1)
    total = np.where(rows.any(axis=1), rows.sum(axis=1), np.nan)
    labels = np.where(present.any(axis=1), present.sum(axis=1), np.nan)
    return np.stack(
        [
            hits.sum(axis=1) / total,
            (recall * present).sum(axis=1) / labels,
            (f1 * present).sum(axis=1) / labels,
            (f1 * rows).sum(axis=1) / total,
        ],
        axis=1,
    )
