"""Fits a model's calibration to a user's rows, near the model's own.

Where there are too few rows, the model's own calibration stays.

The rule: each modality's temperature and biases, then the pool's weights, minimise the loss of the rows, every label
weighing the same, so that probabilities stay those of labels equally likely beforehand. A normal prior around the
model's own values holds them where a few rows say little. A label with too few rows keeps its bias, and the biases of
the others keep their mean, so that it stays as likely as it was; it takes no part in the loss, or it would seem never
to occur. Left out: risk, presence, and how far events are trusted.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.calibration.scaling import TemperatureScaling, bounded_temperature
from models.data.sampling import group_folds
from models.fusion.pool import LogLinearPool
from models.labels import EMOTIONS, MODALITIES
from models.training.calibration.scaling import equal_label_weight, minimise

LEAST_ROWS = 20
"""Of one modality, of several together, and of all, below which what they would fit is kept."""
LEAST_OF_LABEL = 5
"""Rows of a label in a modality, below which its bias is kept."""

_DEVIATION = 0.5  # of the prior of every parameter around the model's own, as of corpora
_FOLDS = 5

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class UserEvidence:
    """A model's answers to rows that have evidence.

    logits: (3, rows, 7) float64, uncalibrated, 0 where absent. amount: (3, rows) evidence, 0 where absent. truth:
    (rows,) in EMOTIONS. group: (rows,), what must not be on both sides of a fold.
    """

    logits: torch.Tensor
    amount: torch.Tensor
    truth: NDArray[np.int64]
    group: NDArray[np.str_]

    def rows(self, chosen: NDArray[np.int64]) -> "UserEvidence":
        """The chosen rows."""
        return UserEvidence(self.logits[:, chosen], self.amount[:, chosen], self.truth[chosen], self.group[chosen])


@dataclass(frozen=True, slots=True)
class FusionCalibration:
    """Calibration of each modality, and the pool that fuses them.

    unfitted: a sentence for each thing that was not fitted.
    """

    calibration: Mapping[str, TemperatureScaling]
    pool: LogLinearPool
    unfitted: tuple[str, ...] = ()

    def posterior(self, evidence: UserEvidence) -> Floats:
        """(rows, 7), as the service would answer."""
        fused: Floats = self.pool.fuse(_calibrated(self.calibration, evidence), evidence.amount).posterior.numpy()
        return fused


def fit_user_calibration(before: FusionCalibration, evidence: UserEvidence) -> FusionCalibration:
    """Starts from, and keeps to, what the model had before."""
    calibration, unfitted = dict(before.calibration), []
    for index, name in enumerate(MODALITIES):
        there = (evidence.amount[index] > 0).numpy()
        counts = np.bincount(evidence.truth[there], minlength=len(EMOTIONS))
        enough = np.flatnonzero(counts >= LEAST_OF_LABEL)
        if not counts.any():
            unfitted.append(f"{name}: temperature and biases are kept; no row shows it")
            continue
        if len(enough) < 2 or counts[enough].sum() < LEAST_ROWS:
            unfitted.append(
                f"{name}: temperature and biases are kept; {LEAST_ROWS} rows of two labels or more, each with "
                f"{LEAST_OF_LABEL} or more, are needed (there are {int(counts.sum())} rows; "
                f"{_missing(counts)} are missing)"
            )
            continue
        if few := [label for i, label in enumerate(EMOTIONS) if i not in enough]:
            unfitted.append(f"{name}: the bias of {', '.join(few)} is kept, with fewer than {LEAST_OF_LABEL} rows each")
        rows = there & np.isin(evidence.truth, enough)
        calibration[name] = _fit_scaling(calibration[name], evidence.logits[index, rows], evidence.truth[rows], enough)
    together = int(((evidence.amount > 0).sum(dim=0) > 1).sum())
    if together < LEAST_ROWS:
        unfitted.append(
            f"fusion: weights are kept; {LEAST_ROWS} rows of several modalities are needed (there are {together}; "
            f"{LEAST_ROWS - together} are missing)"
        )
        return FusionCalibration(calibration, before.pool, tuple(unfitted))
    return FusionCalibration(calibration, _fit_pool(before.pool, calibration, evidence), tuple(unfitted))


def cross_validated(before: FusionCalibration, evidence: UserEvidence) -> Floats | None:
    """Posteriors (rows, 7) by five-fold cross-validation over groups.

    None where there are too few rows to deal out.
    """
    folds = min(_FOLDS, len(np.unique(evidence.group)), int(np.bincount(evidence.truth).max()))
    if folds < 2:
        return None
    posterior = np.empty((len(evidence.truth), len(EMOTIONS)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of labels with fewer rows than folds
        dealt = group_folds(evidence.truth, evidence.group, folds)
    for fitted_on, held_out in dealt:
        fitted = fit_user_calibration(before, evidence.rows(fitted_on))
        posterior[held_out] = fitted.posterior(evidence.rows(held_out))
    return posterior


def _fit_scaling(
    before: TemperatureScaling, logits: torch.Tensor, truth: NDArray[np.int64], labels: NDArray[np.int64]
) -> TemperatureScaling:
    """logits: (rows, 7). truth: (rows,), of `labels` alone, which are fitted."""
    fitted = torch.from_numpy(labels)
    x, bias = logits[:, fitted] / before.temperature, torch.tensor(before.bias, dtype=torch.float64)
    y, weight = torch.from_numpy(np.searchsorted(labels, truth)), torch.from_numpy(equal_label_weight(truth))
    changes = torch.zeros(1 + len(labels), dtype=torch.float64, requires_grad=True)

    def loss() -> torch.Tensor:
        scaled = x * torch.exp(-changes[0]) + bias[fitted] + changes[1:] - changes[1:].mean()
        losses = functional.cross_entropy(scaled, y, reduction="none")
        return (weight * losses).sum() + _unlikely(changes, len(truth))

    minimise(loss, [changes])
    best = changes.detach()
    bias[fitted] += best[1:] - best[1:].mean()
    temperature = bounded_temperature(before.temperature * float(best[0].exp()))
    return TemperatureScaling(temperature=temperature, bias=tuple(bias.tolist()))


def _fit_pool(
    before: LogLinearPool, calibration: Mapping[str, TemperatureScaling], evidence: UserEvidence
) -> LogLinearPool:
    """Fits the pool's weights of modalities that occur beside others.

    One that counts for nothing stays so.
    """
    several = (evidence.amount > 0).sum(dim=0) > 1
    moved = [
        before.weights[name] > 0 and bool((evidence.amount[i, several] > 0).any()) for i, name in enumerate(MODALITIES)
    ]
    alike = LogLinearPool(weights=dict.fromkeys(MODALITIES, 1.0), full_amount=before.full_amount)
    pooled = alike.fuse(_calibrated(calibration, evidence), evidence.amount).evidence
    start = torch.tensor([before.weights[name] for name in MODALITIES], dtype=torch.float64)
    truth, weight = torch.from_numpy(evidence.truth), torch.from_numpy(equal_label_weight(evidence.truth))
    changes, may_move = torch.zeros(len(MODALITIES), dtype=torch.float64, requires_grad=True), torch.tensor(moved)

    def loss() -> torch.Tensor:
        weights = start * torch.where(may_move, changes, 0.0).exp()
        losses = functional.cross_entropy((weights[:, None, None] * pooled).sum(dim=0), truth, reduction="none")
        return (weight * losses).sum() + _unlikely(changes, len(truth))

    minimise(loss, [changes])
    best = (start * torch.where(may_move, changes.detach(), 0.0).exp()).tolist()
    return before.model_copy(update={"weights": {name: round(w, 4) for name, w in zip(MODALITIES, best, strict=True)}})


def _calibrated(calibration: Mapping[str, TemperatureScaling], evidence: UserEvidence) -> torch.Tensor:
    return torch.stack([calibration[name].log_posterior(evidence.logits[i]) for i, name in enumerate(MODALITIES)])


def _missing(counts: NDArray[np.int64]) -> int:
    """The fewest more rows with which a modality is fitted.

    counts: (7,) rows of each label. The missing rows must have the right labels.
    """
    common = np.sort(counts)[::-1]
    of_labels = [np.maximum(common[:labels], LEAST_OF_LABEL).sum() for labels in range(2, len(common) + 1)]
    return min(int(max(LEAST_ROWS, filled) - common[:labels].sum()) for labels, filled in enumerate(of_labels, start=2))


def _unlikely(changes: torch.Tensor, rows: int) -> torch.Tensor:
    """The prior's part in the mean loss of a row."""
    return changes.square().sum() / (2 * _DEVIATION**2 * rows)
