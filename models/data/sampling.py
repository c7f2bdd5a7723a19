"""Draw weights by label frequency, and folds that keep groups together."""

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

Rows = NDArray[np.int64]


def draw_weights(labels: Rows, power: float) -> NDArray[np.float64]:
    """Weights (rows,) in proportion to 1/frequency**power of each row's label.

    0 is by rows, 1 by labels.
    """
    counts = np.bincount(labels).clip(1).astype(np.float64)
    weights: NDArray[np.float64] = counts[labels] ** -power
    return weights


def group_folds(labels: Rows, groups: NDArray[np.str_], folds: int, seed: int = 0) -> list[tuple[Rows, Rows]]:
    """Training and held-out rows of each fold, no group in both.

    Labels are spread evenly where groups allow it.

    Raises ValueError for fewer groups than folds.
    """
    if len(np.unique(groups)) < folds:
        raise ValueError(f"{folds} folds need as many groups (there are {len(np.unique(groups))})")
    if len(np.unique(groups)) == len(groups):  # dealing thousands of groups out takes half a minute, rows no time
        return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(labels, labels))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return list(splitter.split(labels, labels, groups))
