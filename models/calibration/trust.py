"""Trust: how far an event counts as evidence, by its quality.

Problem: fusion takes each modality's confidence as it is, and a network is as confident of a face in the dark as of one
in the light. Rule: an event's qualities (sharpness of a face, signal-to-noise ratio of a voice) give its trust, 0 to 1,
by a logistic curve with a linear and a quadratic term for each. The curve is fitted to logits of clean and of corrupted
events (`models.training.calibration.trust`). A window's logits are multiplied by the weighted mean trust of its events
before calibration, which keeps the modality's label and lowers its confidence. Sound in pieces is scored as sadness
whatever its words, so the shorter a voice is unbroken, the less it counts. Left out: qualities of text, of which none
is known to matter.
"""

from collections.abc import Mapping
from typing import Annotated, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

QUALITIES: Mapping[str, tuple[str, ...]] = {"video": ("log_sharpness", "log_brightness"), "audio": ("snr_db",)}
"""Those that each modality's encoder gives."""

_Slope = Annotated[float, Field(ge=-1000, le=1000)]


# Fitted so that logits of broken voices of RAVDESS and EMO-DB predict their labels best: a fifth to four fifths of a
# voice, lost in frames of 20 or 100 ms. Pieces of a third of a second and more are recognised as well as a whole voice.
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
