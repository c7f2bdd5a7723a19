"""The shape every modality's encoder has, so that the engine and fusion need not know which modality they hold.

`prepare` is CPU work on one event in a worker thread; `encode` is one batched device call over prepared events; `pool`
turns the encoded events of each window into one answer per window. Encoding is per event and done once; pooling is per
window and cheap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch of encoded events, float32 on the CPU.

    embedding: (batch, width), what fusion and pooling read.
    weight: (batch,) in 0..1, how much of the event is evidence (voiced fraction, detector score, 1 for text).
    """

    embedding: torch.Tensor
    weight: torch.Tensor


@dataclass(frozen=True, slots=True)
class Pooled:
    """One answer per window, uncalibrated, on the encoder's device.

    emotion: (batch, 7) logits in the order of `models.labels.EMOTIONS`.
    risk: (batch, 3) logits in the order of `models.labels.RISKS`, or None where the modality does not speak of risk.
    """

    emotion: torch.Tensor
    risk: torch.Tensor | None = None


class Encoder(Protocol):
    """One modality: encodes events, pools windows."""

    width: int

    def encode(self, prepared: Sequence[Any]) -> Encoded:
        """Encodes a batch of at least one prepared event; row i does not depend on the other rows."""
        ...

    def pool(self, embedding: torch.Tensor, weight: torch.Tensor) -> Pooled:
        """Pools each window's events.

        embedding: (windows, events, width) padded with zeros; weight: (windows, events), 0 where padded.
        Windows with no weight at all get finite, meaningless rows: presence is the caller's to mask.
        """
        ...
