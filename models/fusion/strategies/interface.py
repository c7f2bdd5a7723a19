"""The interface of trainable fusion strategies.

One loop trains them all, and one table compares them. A row is one window. Each modality has steps (frames, seconds,
lines; one step where it is summarised already) with a mask; a modality without an unmasked step is absent from the row.
A strategy answers every row from whatever is present, finitely even where nothing is, and independently of the other
rows. Left out: calibration of the answers, and training (`models.training.fusion.train`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn

Missing = Literal["mask", "token", "mean", "generated"]
"""What stands in for an absent modality's summary: zeros, a learned token, the mean of those trained on, or what a
generator makes of the modalities that are there.
"""


@dataclass(frozen=True, slots=True, eq=False)
class ModalitySteps:
    """One modality of a batch of windows.

    steps: (rows, time, width) float32, finite; what the mask leaves out has no effect. mask: (rows, time) bool.
    """

    steps: Tensor
    mask: Tensor

    @classmethod
    def vectors(cls, vectors: Tensor, present: Tensor | None = None) -> Self:
        """Makes one step a row.

        vectors: (rows, width); present: (rows,) bool, all by default.
        """
        mask = torch.ones(len(vectors), dtype=torch.bool, device=vectors.device) if present is None else present
        return cls(vectors[:, None], mask[:, None])

    @property
    def present(self) -> Tensor:
        """(rows,) bool."""
        return self.mask.any(dim=1)

    def masked_by(self, keep: Tensor) -> Self:
        """The same, absent where `keep`, (rows,) bool, is false."""
        return type(self)(self.steps, self.mask & keep[:, None])


Inputs = Mapping[str, ModalitySteps]
"""By modality, in the order of the configuration's widths."""


@dataclass(frozen=True, slots=True)
class FusionConfig:
    """Sizes of a strategy, whichever it is.

    widths: of a step, by modality. outputs: logits, by task. hidden: width of summaries and of what is fused.
    dropout: share of values dropped while training. recurrent: a modality of several steps is summed up by a GRU with
    attention instead of by the mean of its steps. missing: what stands in for an absent modality. regressions: the
    tasks whose outputs are numbers, not logits of one label out of several.
    """

    widths: Mapping[str, int]
    outputs: Mapping[str, int]
    hidden: int = 64
    dropout: float = 0.3
    recurrent: bool = False
    missing: Missing = "mask"
    regressions: Collection[str] = ()


@dataclass(frozen=True, slots=True, eq=False)
class FusionOutput:
    """The output of a strategy for a batch of windows.

    fused: (rows, hidden) the joint representation; of a strategy that fuses decisions, these. logits: by task, (rows,
    outputs). unimodal: by modality and task, (rows, outputs) its own logits; meaningless where it is absent.
    summaries: by modality, (rows, hidden), before fusing. penalties: scalars of the strategy's own that training adds
    to its loss, by name.
    """

    fused: Tensor
    logits: Mapping[str, Tensor]
    unimodal: Mapping[str, Mapping[str, Tensor]]
    summaries: Mapping[str, Tensor]
    penalties: Mapping[str, Tensor] = field(default_factory=dict)


class FusionStrategy(nn.Module):
    """A trainable way of fusing. Stateless; calls may overlap in evaluation."""

    reads_session: ClassVar[bool] = False
    """Whether a row's answer depends on other windows of its session, so that batches must hold whole sessions."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, inputs: Inputs, session: Tensor | None = None) -> FusionOutput:
        """Fuses a batch of windows.

        session: (rows,) int, the session of each window; windows of one session are side by side and in order of time.
        Only strategies that read the past use it; without it every row is a session of its own.
        """
        raise NotImplementedError
