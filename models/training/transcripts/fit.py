"""Fits the calibration of transcripts to what is read in recognised lines.

Rule: the service's answers to recognised lines are brought as near to their labels as one temperature and a bias per
emotion, and one line per risk, can bring them, each label weighing the same. A normal prior holds these near no change,
so that few lines change little. A risk with fewer than `LEAST_OF_RISK` lines with it or without it is left as it is.
Left out: the service's own calibration, which is of written lines and stays.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.calibration.scaling import TemperatureScaling, bounded_temperature
from models.calibration.transcripts import RiskScaling, TranscriptCalibration
from models.labels import EMOTIONS, RISKS
from models.risk import RiskRule
from models.training.calibration.scaling import equal_label_weight, minimise

LEAST_OF_RISK = 25
"""Lines with a risk, and lines without it, below which its logits stay; a line read twice counts once."""

_DEVIATION = 0.5  # of the prior of each logarithm of a scale and of each bias, around no change

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledLogits:
    """Logits of recognised lines, as the networks give them.

    logits: (rows, 10) float32. emotion: (rows,) index in EMOTIONS, -1 where it is not labelled. risk: (rows, 3), NaN
    where it is not labelled. condition: (rows,) str, recogniser and language, which weigh the same. group: (rows,) str,
    never on both sides of a fold.
    """

    logits: Floats
    emotion: NDArray[np.int64]
    risk: Floats
    condition: NDArray[np.str_]
    group: NDArray[np.str_]

    def rows(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> "LabelledLogits":
        """The chosen rows: (n,) indices or (rows,) bool."""
        labels = self.emotion[chosen], self.risk[chosen]
        return LabelledLogits(self.logits[chosen], *labels, self.condition[chosen], self.group[chosen])


def fit_transcripts(read: LabelledLogits, service: TemperatureScaling, rule: RiskRule) -> TranscriptCalibration:
    """Fits to all rows.

    service, rule: the calibration of written lines, which follows on that of transcripts.
    """
    labelled = read.rows(read.emotion >= 0)
    risks = {name: _fit_risk(read, name, rule) for name in RISKS}
    return TranscriptCalibration(emotion=_fit_emotion(labelled, service), risks=risks)


def _fit_emotion(read: LabelledLogits, service: TemperatureScaling) -> TemperatureScaling:
    logits, truth = torch.from_numpy(read.logits[:, : len(EMOTIONS)]).double(), torch.from_numpy(read.emotion)
    weight = torch.from_numpy(equal_label_weight(read.emotion, read.condition))
    changes = torch.zeros(1 + len(EMOTIONS), dtype=torch.float64, requires_grad=True)

    def loss() -> torch.Tensor:
        answers = service.log_posterior(logits * torch.exp(-changes[0]) + changes[1:])
        return (weight * functional.nll_loss(answers, truth, reduction="none")).sum() + _unlikely(changes, len(truth))

    minimise(loss, [changes])
    log_temperature, *bias = changes.detach().tolist()
    mean = sum(bias) / len(bias)
    return TemperatureScaling(
        temperature=round(bounded_temperature(float(np.exp(log_temperature))), 4),
        bias=tuple(round(each - mean, 4) for each in bias),
    )


def _fit_risk(read: LabelledLogits, name: str, rule: RiskRule) -> RiskScaling:
    head = RISKS.index(name)
    known = read.rows(~np.isnan(read.risk[:, head]))
    logits = torch.from_numpy(known.logits[:, len(EMOTIONS) + head]).double()
    label = known.risk[:, head] > 0.5
    if min(len(np.unique(known.group[has])) for has in (label, ~label)) < LEAST_OF_RISK:
        return RiskScaling(slope=1.0, intercept=0.0)
    truth, curve = torch.from_numpy(label).double(), rule.heads[name]
    weight = torch.from_numpy(equal_label_weight(label.astype(np.int64), known.condition))
    changes = torch.zeros(2, dtype=torch.float64, requires_grad=True)

    def loss() -> torch.Tensor:
        answers = (logits * torch.exp(changes[0]) + changes[1]) * curve.slope + curve.intercept
        losses = functional.binary_cross_entropy_with_logits(answers, truth, reduction="none")
        return (weight * losses).sum() + _unlikely(changes, len(truth))

    minimise(loss, [changes])
    log_slope, intercept = changes.detach().tolist()
    return RiskScaling(slope=round(float(np.exp(log_slope)), 4), intercept=round(intercept, 4))


def _unlikely(changes: torch.Tensor, rows: int) -> torch.Tensor:
    """What the prior adds to the mean loss of a row."""
    return changes.square().sum() / (2 * _DEVIATION**2 * rows)
