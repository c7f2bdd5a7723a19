"""How often each row is drawn, so that rare labels are seen, and folds that keep groups together."""

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

Rows = NDArray[np.int64]


def draw_weights(labels: Rows, power: float) -> NDArray[np.float64]:
    """(rows,) in proportion to 1/frequency**power of each row's label; 0 draws rows alike, 1 labels alike."""
    counts = np.bincount(labels).clip(1).astype(np.float64)
    weights: NDArray[np.float64] = counts[labels] ** -power
    return weights


def oversampled(labels: Rows, rng: np.random.Generator) -> Rows:
    """Rows of an epoch in which every label comes as often as the commonest: all its rows, then random ones again."""
    most = int(np.bincount(labels).max())
    rows = []
    for label in np.unique(labels):
        of_label = np.flatnonzero(labels == label)
        rows += [of_label, rng.choice(of_label, most - len(of_label))]
    return rng.permutation(np.concatenate(rows))


def group_folds(labels: Rows, groups: NDArray[np.str_], folds: int, seed: int = 0) -> list[tuple[Rows, Rows]]:
    """Training and held-out rows of each fold: no group in both, labels spread evenly where groups allow it.

    Raises ValueError for fewer groups than folds.
    """
    if len(np.unique(groups)) < folds:
        raise ValueError(f"{folds} folds need as many groups (there are {len(np.unique(groups))})")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return list(splitter.split(labels, labels, groups))
