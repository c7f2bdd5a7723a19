"""The fusion that is served: a logarithmic opinion pool of the modalities.

Any subset of the modalities gives one emotion posterior.

The pool is logarithmic (Genest and Zidek, 1986): the fused log posterior is the sum of the
modalities' log posteriors, each times its learned weight, normalised. Where modalities are independent given the
emotion and the labels equally likely beforehand, weights of 1 make it Bayes' rule (product of experts: Hinton, 2002).
The weights are not made to sum to 1, so they carry the pool's temperature too. An absent modality adds nothing, which
is not the same as adding a flat or a neutral answer. A modality with little evidence (half a second of voice) counts in
proportion.

Evidence is exact: a modality's evidence for a label is its weighted log posterior less its mean over the labels
(the centred log-ratio: Aitchison, 1982). The flat answer has none, an absent modality has none, and the modalities'
evidence adds up to the fused answer's. Left out: interactions of modalities, and the
past (`models.fusion.smoothing`). The strategies that were compared with it are in `models.fusion.strategies`; none of
them is served.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.labels import MODALITIES

STRATEGY: Literal["log_linear_pool"] = "log_linear_pool"
"""The name of the pool in `model.json`; no other strategy is served."""


@dataclass(frozen=True, slots=True)
class Fused:
    """A fused posterior and each modality's evidence.

    posterior: (windows, 7) float64, flat where nothing is present. evidence: (3, windows, 7); the modalities' evidence
    adds up to the fused log posterior, centred.
    """

    posterior: torch.Tensor
    evidence: torch.Tensor


class LogLinearPool(BaseModel):
    """The logarithmic opinion pool. Immutable; any thread may call it.

    weights: per modality, 0..100. full_amount: the amount of evidence (seconds of voice, summed face scores, lines)
    from which a modality counts with its whole weight.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    strategy: Literal["log_linear_pool"] = STRATEGY
    weights: Mapping[str, Annotated[float, Field(ge=0, le=100)]]
    full_amount: Mapping[str, Annotated[float, Field(ge=0, le=3600)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _of_modalities(self) -> Self:
        if unknown := {*self.weights, *self.full_amount} - {*MODALITIES}:
            raise ValueError(f"{', '.join(sorted(unknown))} is none of {', '.join(MODALITIES)}")
        return self

    def fuse(self, log_posterior: torch.Tensor, amount: torch.Tensor) -> Fused:
        """Fuses windows, each independent of the others.

        log_posterior: (3, windows, 7), finite. amount: (3, windows) evidence of each modality, 0 where absent.
        """
        weight = torch.stack([self._weight(name, amount[i]) for i, name in enumerate(MODALITIES)])
        centred = log_posterior - log_posterior.mean(dim=-1, keepdim=True)
        evidence = torch.where(weight[..., None] > 0, weight[..., None] * centred, 0.0)
        return Fused(torch.softmax(evidence.sum(dim=0), dim=-1), evidence)

    def _weight(self, modality: str, amount: torch.Tensor) -> torch.Tensor:
        full = self.full_amount.get(modality, 0.0)
        share = (amount / full).clamp(max=1.0) if full > 0 else (amount > 0).double()
        return share.double() * self.weights.get(modality, 0.0)
