"""Small models for tests: encoders that answer what they are told, and a manifest that fuses them plainly."""

from collections.abc import Sequence
from typing import Any

import torch

from models.artifact import Manifest, Presence
from models.calibration.scaling import PlattScaling, TemperatureScaling
from models.encoder import Encoded, Encoder, Pooled
from models.fusion.pool import LogLinearPool
from models.labels import EMOTIONS, MODALITIES, RISKS
from models.risk import RiskRule

LEVELS = {"low": 0.5, "medium": 0.7, "high": 0.9, "critical": 0.95}


def plain_manifest(**changes: object) -> Manifest:
    """Calibration that changes nothing, weights of 1, and any field replaced."""
    flat = TemperatureScaling(temperature=1.0, bias=(0.0,) * len(EMOTIONS))
    fields: dict[str, object] = {
        "name": "small",
        "version": "0",
        "features": dict.fromkeys(MODALITIES, "none"),
        "parts": {"face": {}, "text": {}},
        "presence": {"video": Presence(), "audio": Presence(least_amount=0.25), "text": Presence()},
        "calibration": dict.fromkeys(MODALITIES, flat),
        "fusion": LogLinearPool(weights=dict.fromkeys(MODALITIES, 1.0)),
        "least_confidence": 0.3,
        "risk": RiskRule(heads=dict.fromkeys(RISKS, PlattScaling(slope=1.0, intercept=0.0)), levels=LEVELS),
    }
    return Manifest.model_validate(fields | changes)


class Repeater(Encoder):
    """An encoder whose embedding is the answer: seven emotion logits, and three risk logits where it speaks of risk."""

    def __init__(self, risk: bool = False) -> None:
        self.risk = risk
        self.width = len(EMOTIONS) + (len(RISKS) if risk else 0)

    def prepare(self, event: Any) -> Any:
        return event

    def example(self) -> list[float]:
        return [0.0] * self.width

    def encode(self, prepared: Sequence[Sequence[float]]) -> Encoded:
        return Encoded(torch.tensor(prepared), torch.ones(len(prepared)))

    def pool(self, embedding: torch.Tensor, weight: torch.Tensor) -> Pooled:
        share = weight / weight.sum(dim=1, keepdim=True).clamp_min(1e-9)
        mean = (embedding * share[..., None]).sum(dim=1)
        return Pooled(mean[:, : len(EMOTIONS)], mean[:, len(EMOTIONS) :] if self.risk else None)
