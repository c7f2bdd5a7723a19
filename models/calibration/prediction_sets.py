"""Prediction sets: the emotions that cannot be ruled out.

Problem: a label alone does not show its alternatives. Rule (least ambiguous sets: Sadinle, Lei and Wasserman, 2019;
split conformal prediction: Vovk et al., 2005): a set holds every label at least as probable as a threshold, and the
most probable one whatever it is. The threshold is chosen on windows that the model was not trained on, so that the
right label reaches it in the promised share of them, the coverage; later windows reach it as often as far as they are
like those.

Adaptive sets (Romano et al., 2020) have the same coverage, but need random numbers for it; without them they are larger
than necessary, and the same window must always get the same set. Thresholds are fitted for each set of modalities
present (Mondrian conformal prediction): a common one would promise a voice alone too much, and all three together too
little. Left out: coverage of each emotion by itself, of windows that overlap, and of smoothed scores.
"""

import math
from collections.abc import Mapping
from itertools import combinations, pairwise
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.labels import EMOTIONS, MODALITIES

SUBSETS = tuple("+".join(subset) for size in (1, 2, 3) for subset in combinations(MODALITIES, size))
"""Every set of modalities that a window can be answered from, as it is written: "video+text"."""

_DECIMALS = 6  # of a threshold, rounded down, which can only make sets larger


class ConformalSets(BaseModel):
    """Thresholds of the sets. Immutable, so any thread may call it.

    coverages: shares of windows whose set holds the right label, rising. least: by the modalities present, how probable
    a label must be to be in the set, for each coverage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    coverages: tuple[float, ...] = Field(min_length=1)
    least: Mapping[str, tuple[float, ...]]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if not all(0 < coverage < 1 for coverage in self.coverages) or list(self.coverages) != sorted(
            {*self.coverages}
        ):
            raise ValueError(f"coverages must rise within 0..1 (are {list(self.coverages)})")
        if set(self.least) != set(SUBSETS):
            raise ValueError(f"least must be given for {', '.join(SUBSETS)} (is for {', '.join(self.least)})")
        for subset, thresholds in self.least.items():
            falling = all(one >= other for one, other in pairwise(thresholds))
            inside = all(0 <= threshold <= 1 for threshold in thresholds)
            if len(thresholds) != len(self.coverages) or not (falling and inside):
                raise ValueError(f"least.{subset} must fall within 0..1, one for each coverage (is {list(thresholds)})")
        return self

    def labels(self, posterior: torch.Tensor, present: torch.Tensor, coverage: float) -> list[tuple[str, ...]]:
        """The set of each window, the most probable label first.

        posterior: (windows, 7). present: (3, windows) bool, in the order of MODALITIES. A window without any modality
        gets every label: nothing rules one out. Raises KeyError for a coverage that is not one of `coverages`.
        """
        if coverage not in self.coverages:
            raise KeyError(f"coverage {coverage} is not one of {', '.join(map(str, self.coverages))}")
        order = posterior.argsort(dim=-1, descending=True, stable=True)
        ranked = posterior.gather(-1, order).tolist()
        least = [self._least(window, coverage) for window in present.T.tolist()]
        return [
            tuple(EMOTIONS[label] for place, label in enumerate(row) if place == 0 or probable[place] >= threshold)
            for row, probable, threshold in zip(order.tolist(), ranked, least, strict=True)
        ]

    def _least(self, window: list[bool], coverage: float) -> float:
        if not any(window):
            return 0.0
        subset = "+".join(name for name, present in zip(MODALITIES, window, strict=True) if present)
        return self.least[subset][self.coverages.index(coverage)]


def conformal_threshold(of_truth: NDArray[np.float64], coverage: float) -> float:
    """The conformal threshold that promises a coverage.

    Sets under it hold the right label of one window more in at least `coverage` of all cases. of_truth: (windows,) how
    probable each window's right label was. 0 where there are too few windows to promise that with fewer labels than
    all.
    """
    below = math.floor((len(of_truth) + 1) * (1 - coverage) + 1e-9)  # 1 - 0.9 is a little less than a tenth
    if below < 1:
        return 0.0
    threshold = float(np.partition(of_truth, below - 1)[below - 1])
    return float(math.floor(threshold * 10**_DECIMALS) / 10**_DECIMALS)
