"""Trust: how far an event counts as evidence, by its quality.

Problem: fusion takes each modality at its word, and a network is as sure of a face in the dark as of one in the light.
Rule: an event's qualities (sharpness of a face, signal-to-noise ratio of a voice) give a number from 0 to 1 by a
logistic curve with a linear and a quadratic term for each, which is fitted to answers to spoilt and to unspoilt events
(`models.training.calibration.trust`). A window's logits are multiplied by the weighted mean of its events' numbers
before they are calibrated, which leaves the modality's own answer what it was and makes it less sure. Sound that comes
in pieces reads as sadness whatever was said, so a voice counts the less, the shorter it is unbroken. Left out:
qualities of lines of text, which have none that is known to matter.
"""

from collections.abc import Mapping
from typing import Annotated, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

QUALITIES: Mapping[str, tuple[str, ...]] = {"video": ("log_sharpness", "log_brightness"), "audio": ("snr_db",)}
"""Those that each modality's encoder gives."""

_Slope = Annotated[float, Field(ge=-1000, le=1000)]


# By which answers to broken voices of RAVDESS and EMO-DB predict their labels best: of a fifth to four fifths of a
# voice, lost in frames of 20 or 100 ms. From a third of a second on a broken voice is told as surely as a whole one.
_LEAST_TRUST, _TRUST_PER_S = 0.2, 2.5


class TrustCurve(BaseModel):
    """A logistic curve from qualities to trust.

    linear, quadratic: slopes by the quality's name, of the quality as its encoder gives it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    intercept: float = Field(ge=-1000, le=1000)
    linear: Mapping[str, _Slope]
    quadratic: Mapping[str, _Slope]

    @model_validator(mode="after")
    def _of_the_same(self) -> Self:
        if set(self.linear) != set(self.quadratic):
            raise ValueError("linear and quadratic must be given for the same qualities")
        return self

    def trust(self, qualities: Mapping[str, Tensor]) -> Tensor:
        """The trust of events: (events,) float32 in 0..1.

        qualities: by name, (events,). Raises KeyError for one that is missing.
        """
        score = torch.tensor(self.intercept, dtype=torch.float64)
        for name, slope in self.linear.items():
            value = qualities[name].double()
            score = score + slope * value + self.quadratic[name] * value.square()
        return torch.sigmoid(score).float()


def unbroken_trust(unbroken_s: float) -> float:
    """Trust, 0..1, in a voice by how long it is unbroken.

    unbroken_s: the mean length of its unbroken pieces.
    """
    return min(1.0, _LEAST_TRUST + _TRUST_PER_S * unbroken_s)
