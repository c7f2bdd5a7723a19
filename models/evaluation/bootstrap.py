"""How far figures could be off by the choice of rows: percentile intervals of the bootstrap (Efron, 1979).

Groups are drawn rather than rows (a speaker, a dialogue), because rows of one group are alike and a new test set would
bring new groups.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DRAWS_AT_ONCE = 100  # bounds the memory


def intervals(
    said: NDArray[np.int64],
    truth: NDArray[np.int64],
    labels: int,
    groups: NDArray[np.str_] | None = None,
    draws: int = 1000,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """said, truth: (rows,) label indices. Lowest and highest of accuracy, uar, macro_f1 and weighted_f1."""
    of_row = np.arange(len(truth)) if groups is None else np.unique(groups, return_inverse=True)[1]
    counts = np.zeros((of_row.max() + 1, labels * labels), np.float64)
    np.add.at(counts, (of_row, truth * labels + said), 1)
    rng = np.random.default_rng(0)
    drawn: list[Floats] = []
    for start in range(0, draws, _DRAWS_AT_ONCE):
        size = min(_DRAWS_AT_ONCE, draws - start)
        times = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size)
        drawn.append(_figures((times.astype(np.float64) @ counts).reshape(size, labels, labels)))
    low, high = np.quantile(np.concatenate(drawn), [(1 - level) / 2, (1 + level) / 2], axis=0)
    names: Sequence[str] = ("accuracy", "uar", "macro_f1", "weighted_f1")
    return {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}


def _figures(confusion: NDArray[np.float64]) -> Floats:
    """confusion: (draws, truth, said). Returns (draws, 4); means over labels are over those with rows."""
    hits = np.einsum("dll->dl", confusion)
    rows, answers = confusion.sum(axis=2), confusion.sum(axis=1)
    there = rows > 0
    recall = hits / np.maximum(rows, 1)
    f1 = 2 * hits / np.maximum(rows + answers, 1)
    total = rows.sum(axis=1)
    labels = there.sum(axis=1)
    return np.stack(
        [
            hits.sum(axis=1) / total,
            (recall * there).sum(axis=1) / labels,
            (f1 * there).sum(axis=1) / labels,
            (f1 * rows).sum(axis=1) / total,
        ],
        axis=1,
    )
