"""Fits the calibration of a model on one corpus.

Problem: the service has one calibration for whatever it meets, but each corpus has label frequencies of its own, and
its own idea of what deserves a label. Rule: one temperature, and where the corpus's frequencies count one bias per
label, on top of the service's answer (Guo et al., 2017; Alexandari et al., 2020), fitted to answers to data that the
networks were not trained on. A normal prior holds them near no change, so that a small corpus changes little. How well
that does is measured by cross-validation: every row is answered under what the rows of other groups fitted.
Left out: the service's own calibration, which is `models.training.fusion.pool`'s.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.calibration.scaling import CorpusCalibration, bounded_temperature
from models.data.sampling import group_folds
from models.metrics.classification import classification_figures
from models.training.calibration.scaling import Floats, minimise

_DEVIATION = 0.5  # of the prior of the temperature's logarithm and of each bias, around no change
_FOLDS = 5
_FIGURES = ("accuracy", "uar", "macro_f1", "weighted_f1", "ece")
_NEVER = -1e9  # stands in for minus infinity, whose gradients are not numbers


@dataclass(frozen=True, slots=True, eq=False)
class CorpusPosteriors:
    """Answers to one corpus.

    posterior: (rows, labels) of the service. truth: (rows,) indices. group: (rows,), what must not be in two folds.
    start: (labels,) biases before fitting, minus infinity for a label that the corpus does not use. fit_bias: whether
    biases are fitted too; without, labels stay equally likely.
    """

    labels: tuple[str, ...]
    posterior: Floats
    truth: NDArray[np.int64]
    group: NDArray[np.str_]
    start: Floats
    fit_bias: bool = True

    def rows(self, chosen: NDArray[np.int64]) -> "CorpusPosteriors":
        """The chosen rows."""
        rows = self.posterior[chosen], self.truth[chosen], self.group[chosen]
        return CorpusPosteriors(self.labels, *rows, self.start, self.fit_bias)


def fit_corpus(held: CorpusPosteriors) -> CorpusCalibration:
    """Fits to all rows, each weighing the same."""
    logits = torch.from_numpy(np.log(held.posterior.clip(np.finfo(np.float64).tiny)))
    truth, start = torch.from_numpy(held.truth), torch.from_numpy(held.start).clamp_min(_NEVER)
    changes = torch.zeros(1 + len(held.labels), dtype=torch.float64, requires_grad=True)
    fitted = torch.tensor([True] + [held.fit_bias] * len(held.labels))

    def loss() -> torch.Tensor:
        moved = torch.where(fitted, changes, 0.0)
        scaled = logits * torch.exp(-moved[0]) + start + moved[1:]
        unlikely = moved.square().sum() / (2 * _DEVIATION**2 * len(truth))
        return functional.cross_entropy(scaled, truth) + unlikely

    minimise(loss, [changes])
    temperature, *bias = torch.where(fitted, changes, 0.0).detach().tolist()
    both = zip(held.start.tolist(), bias, strict=True)
    return CorpusCalibration(
        temperature=round(bounded_temperature(float(np.exp(temperature))), 4),
        bias=tuple(round(known + change, 4) if np.isfinite(known) else None for known, change in both),
    )


def cross_validated_figures(held: CorpusPosteriors) -> dict[str, Any]:
    """Cross-validated figures over all rows, with deviations over the folds.

    Each row is calibrated by what the four other folds fitted.
    """
    probabilities = np.empty_like(held.posterior)
    of_folds = []
    for train, held_out in group_folds(held.truth, held.group, _FOLDS):
        probabilities[held_out] = fit_corpus(held.rows(train)).probabilities(held.posterior[held_out])
        of_folds.append(classification_figures(probabilities[held_out], held.truth[held_out], held.labels))
    whole = classification_figures(probabilities, held.truth, held.labels)
    before = classification_figures(
        CorpusCalibration(bias=tuple(b if np.isfinite(b) else None for b in held.start)).probabilities(held.posterior),
        held.truth,
        held.labels,
    )
    return {
        "n": len(held.truth),
        "ece_before": round(before["ece"], 4),
        **{
            name: {
                "mean": round(whole[name], 4),
                "fold_sd": round(float(np.std([fold[name] for fold in of_folds], ddof=1)), 4),
            }
            for name in _FIGURES
        },
    }
