"""Fits and measures prediction sets on synthetic windows.

The windows are of rows that no calibration had seen.

Of five folds, each fifth's windows are answered under what the other four fitted; thresholds are fitted to all of them,
for each set of modalities present. How well that keeps its promise is measured by doing all of it, folds and all, on
four fifths of the rows, and on windows of the last fifth: no row is on both sides. Beside it stands what one threshold
for all windows would give. Left out: real windows. Synthetic ones share rows, and what was measured holds for windows
like these alone: labels equally likely, modalities that agree on the label and err apart from each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.calibration.prediction_sets import SUBSETS, ConformalSets, conformal_threshold
from models.labels import EMOTIONS, MODALITIES
from models.training.fusion.pool import FOLDS, ByModality, FoldWindows, every_fold, folds_of, spread

COVERAGES = (0.8, 0.9, 0.95)

_PROTOCOL = (
    "Prediction sets are fitted and measured on windows put together of answers that no calibration had seen. Of five "
    "folds, each fifth's windows are answered under what the other four fitted; thresholds are fitted to all of them, "
    "for each set of modalities present. How well that keeps its promise is measured by doing all of it, folds and "
    "all, on four fifths of the answers, and asking about windows of the last fifth. Beside it stands what one "
    "threshold for all windows would give."
)


@dataclass(frozen=True, slots=True, eq=False)
class SubsetPosteriors:
    """Windows answered from one set of modalities.

    posterior: (windows, 7). labels: (windows,) the right ones.
    """

    posterior: NDArray[np.float64]
    labels: NDArray[np.int64]

    @property
    def of_truth(self) -> NDArray[np.float64]:
        """(windows,) how probable the right label was."""
        probability: NDArray[np.float64] = self.posterior[np.arange(len(self.labels)), self.labels]
        return probability


BySubset = Mapping[str, SubsetPosteriors]


def fit_sets(held_out: ByModality, seed: int = 0) -> tuple[ConformalSets, dict[str, Any]]:
    """Fits thresholds on every fold, and measures sets by nested folds.

    The figures, by coverage and modalities present, with their deviation over the folds: how often the set held the
    right label, its mean size, and how often it would have under one threshold for all windows.
    Raises ValueError where there are too few rows for folds.
    """
    folds = [subset_posteriors(windows) for windows in every_fold(held_out, seed)]
    of_folds: dict[str, dict[str, list[dict[str, float]]]] = {
        str(coverage): {subset: [] for subset in SUBSETS} for coverage in COVERAGES
    }
    for fold, rows in zip(folds, folds_of(held_out, seed), strict=True):
        fitted = [subset_posteriors(windows) for windows in every_fold(rows.fitted, seed)]
        sets, common = thresholds(fitted), _common(fitted)
        for subset, posteriors in fold.items():
            for coverage in COVERAGES:
                one = coverage_figures(common, subset, posteriors, coverage)["coverage"]
                figures = {**coverage_figures(sets, subset, posteriors, coverage), "one_threshold": one}
                of_folds[str(coverage)][subset].append(figures)
    subsets = {coverage: {s: spread(folds) for s, folds in each.items()} for coverage, each in of_folds.items()}
    return thresholds(folds), {"protocol": _PROTOCOL, "folds": FOLDS, "coverages": subsets}


def subset_posteriors(windows: FoldWindows) -> dict[str, SubsetPosteriors]:
    """The held-out windows, each answered from every set of modalities."""
    held_out, by_subset = windows.held_out, {}
    for subset in SUBSETS:
        present = torch.tensor([name in subset.split("+") for name in MODALITIES])
        amount = present[:, None].expand(-1, len(held_out.labels)).double()
        by_subset[subset] = SubsetPosteriors(
            windows.pool.fuse(held_out.log_posterior, amount).posterior.numpy(), held_out.labels
        )
    return by_subset


def thresholds(folds: Sequence[BySubset]) -> ConformalSets:
    """Of all windows of the folds together."""
    of_truth = {subset: np.concatenate([fold[subset].of_truth for fold in folds]) for subset in SUBSETS}
    return ConformalSets(
        coverages=COVERAGES,
        least={s: tuple(conformal_threshold(each, coverage) for coverage in COVERAGES) for s, each in of_truth.items()},
    )


def coverage_figures(
    sets: ConformalSets, subset: str, posteriors: SubsetPosteriors, coverage: float
) -> dict[str, float]:
    """Coverage and mean size of the sets.

    "coverage": how often the set holds the right label. "size": how many labels it holds in the mean.
    """
    there = torch.tensor([name in subset.split("+") for name in MODALITIES])
    present = there[:, None].expand(-1, len(posteriors.labels))
    predicted = sets.labels(torch.from_numpy(posteriors.posterior), present, coverage)
    held = [EMOTIONS[label] in labels for label, labels in zip(posteriors.labels.tolist(), predicted, strict=True)]
    return {"coverage": float(np.mean(held)), "size": float(np.mean([len(labels) for labels in predicted]))}


def _common(folds: Sequence[BySubset]) -> ConformalSets:
    """One threshold for every window, whatever is present."""
    every = np.concatenate([each.of_truth for fold in folds for each in fold.values()])
    least = tuple(conformal_threshold(every, coverage) for coverage in COVERAGES)
    return ConformalSets(coverages=COVERAGES, least=dict.fromkeys(SUBSETS, least))
