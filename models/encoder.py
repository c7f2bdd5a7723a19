"""The interface of each modality's encoder: events are prepared, encoded and pooled.

Problem: the engine, evaluation and explanation work on faces, sound and lines alike. Rule: `prepare` is CPU work on one
event, which any thread may do; `encode` is one batched device call over prepared events, and is done once for each
event; `pool` turns the encoded events of each window into one answer per window, which is cheap. Left out: finding the
events in media (which faces are on a picture, where a segment of sound begins), and calibration, which belongs to
fusion.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from models.calibration.trust import TrustCurve


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


class Pooler(Protocol):
    """Pools the encoded events of windows; what fusion needs of an encoder."""

    width: int

    def pool(self, embedding: torch.Tensor, weight: torch.Tensor) -> Pooled:
        """Pools each window's events.

        embedding: (windows, events, width) padded with zeros; weight: (windows, events), 0 where padded.
        Windows with no weight at all get finite, meaningless rows: presence is the caller's to mask.
        """
        ...


class Encoder(Pooler, ABC):
    """The encoder of one modality.

    `prepare`, `weight` and `quality` may be called by any thread, the rest by the device thread; no lock. trust_curve:
    how far an event is trusted by its quality; None for fully.
    """

    trust_curve: TrustCurve | None = None

    @abstractmethod
    def prepare(self, event: Any) -> Any:
        """Prepares a face, a segment of sound or a line for `encode`."""

    @abstractmethod
    def example(self) -> Any:
        """Returns a prepared event of usual size, for warm-up and probes."""

    @abstractmethod
    def encode(self, prepared: Sequence[Any]) -> Encoded:
        """Encodes a batch of at least one prepared event.

        Row i does not depend on the other rows.
        """

    def weight(self, prepared: Any) -> float:
        """Returns how much of a prepared event is evidence, in 0..1."""
        return 1.0

    def quality(self, prepared: Sequence[Any]) -> Mapping[str, float]:
        """Returns measures of quality, by name, of events that were prepared together."""
        return {}

    def voiced(self, prepared: Any) -> Sequence[float]:
        """Returns the voiced share of each tenth of a second, 0..1."""
        return ()

    def has_corpus_head(self, corpus: str) -> bool:
        """Whether the encoder has learned the labels of a corpus."""
        return False

    def encode_for_corpus(self, prepared: Sequence[Any], corpus: str) -> tuple[Encoded, Encoded]:
        """Encodes as `encode` does, and for the labels of a corpus."""
        encoded = self.encode(prepared)
        return encoded, encoded

    def network_inputs(self, event: Any) -> Sequence[Any]:
        """Returns each network's tokens of an event; empty where it has none."""
        return ()
