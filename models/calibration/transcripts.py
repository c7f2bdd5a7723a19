"""Calibration of transcripts: scales logits of spoken lines.

A recogniser loses and mistakes words, so what the text networks read in a transcript is less certain than what they
read in the line itself. The rule: the logits of a spoken line are scaled and shifted, by one temperature and a bias per
emotion and by one line per risk, before they are pooled with those of chat. Whatever follows (pooling, calibration,
fusion, levels of risk) then treats both alike. Left out: fitting (`models.training.transcripts`).
"""

from collections.abc import Mapping
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.calibration.scaling import Logit, TemperatureScaling
from models.labels import EMOTIONS, RISKS


class RiskScaling(BaseModel):
    """Scales one risk's logit: times `slope`, plus `intercept`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slope: float = Field(gt=0, le=100)
    intercept: Logit


class TranscriptCalibration(BaseModel):
    """The calibration of spoken lines.

    emotion: temperature and biases. risks: by risk.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    emotion: TemperatureScaling
    risks: Mapping[str, RiskScaling]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if set(self.risks) != set(RISKS):
            raise ValueError(f"risks must be given for {', '.join(RISKS)} (are for {', '.join(self.risks) or 'none'})")
        return self

    def scaled(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits of spoken lines on the scale of written ones.

        logits: (..., 10) float, emotions first. Returns the same shape and type; a row depends on no other.
        """
        risks = [self.risks[name] for name in RISKS]
        slope = [1 / self.emotion.temperature] * len(EMOTIONS) + [risk.slope for risk in risks]
        shift = [*self.emotion.bias, *(risk.intercept for risk in risks)]
        return logits * logits.new_tensor(slope) + logits.new_tensor(shift)
