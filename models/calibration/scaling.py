"""Calibration: scales logits to probabilities that mean what they say.

Emotion: one temperature (Guo et al., 2017) and one bias per label (bias-corrected temperature scaling: Alexandari et
al., 2020). Labels are taken as equally likely beforehand: the bias removes how common each label was in the training
data, because its frequency where the service runs is not known. Risk: a logistic curve per head (Platt, 1999), likewise
for risk and no risk equally likely. To measure on a corpus, whose label frequencies are known, probabilities are scaled
to these and to the confidence that the corpus supports. Left out: fitting (`models.training.calibration.scaling`).
"""

from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.labels import EMOTIONS

_LABELS = len(EMOTIONS)


Logit = Annotated[float, Field(ge=-100, le=100)]
"""A number added to logits: e^100 to one is as sure as anything can be, and what is beyond that is no calibration."""

_COLDEST, _HOTTEST = 0.01, 100.0
Temperature = Annotated[float, Field(ge=_COLDEST, le=_HOTTEST)]
"""Logits are divided by it; beyond these ends every answer would be certain, or the same."""


def bounded_temperature(fitted: float) -> float:
    """A fitted temperature, clipped to the bounds.

    Of logits that carry no information the best fit would be infinite.
    """
    return min(max(fitted, _COLDEST), _HOTTEST)


class TemperatureScaling(BaseModel):
    """Bias-corrected temperature scaling of one modality's emotion logits.

    `bias` is in the order of EMOTIONS and is added after dividing by the temperature.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperature: Temperature
    bias: tuple[Logit, ...] = Field(min_length=_LABELS, max_length=_LABELS)

    def log_posterior(self, logits: torch.Tensor) -> torch.Tensor:
        """logits: (windows, 7). Returns (windows, 7) float64 natural logarithms of calibrated probabilities."""
        bias = torch.tensor(self.bias, dtype=torch.float64, device=logits.device)
        return torch.log_softmax(logits.double() / self.temperature + bias, dim=-1)


class PlattScaling(BaseModel):
    """One risk head's calibration, for a prior probability of one half."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slope: float = Field(gt=0, le=100)
    intercept: Logit

    def probability(self, logits: torch.Tensor) -> torch.Tensor:
        """logits: any shape. Returns float64 probabilities of the same shape."""
        return torch.sigmoid(logits.double() * self.slope + self.intercept)


class CorpusCalibration(BaseModel):
    """Scales the service's probabilities to one corpus.

    bias: by label, added after dividing log probabilities by the temperature; None for a label that the corpus does not
    use, which cannot be predicted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperature: Temperature = 1.0
    bias: tuple[float | None, ...]

    def probabilities(self, posterior: NDArray[np.float64]) -> NDArray[np.float64]:
        """posterior: (rows, labels), for labels equally likely beforehand. Returns the same shape."""
        bias = np.array([-np.inf if value is None else value for value in self.bias])
        logits = np.log(posterior.clip(np.finfo(np.float64).tiny)) / self.temperature + bias
        weighted = np.exp(logits - logits.max(axis=1, keepdims=True))
        brought: NDArray[np.float64] = weighted / weighted.sum(axis=1, keepdims=True)
        return brought

    @property
    def unused(self) -> tuple[int, ...]:
        """Labels that cannot be predicted."""
        return tuple(index for index, value in enumerate(self.bias) if value is None)

    def equal(self) -> "CorpusCalibration":
        """The calibration of the service itself, on the corpus's labels.

        The temperature is 1, and labels in use are equally likely.
        """
        return CorpusCalibration(bias=tuple(None if value is None else 0.0 for value in self.bias))
