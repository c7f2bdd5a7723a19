"""Summaries: a modality's steps to one vector.

Problem: modalities come in steps of different widths and numbers, some of them missing. Rule: steps pass their
modality's projection. The window's summary is their mean over the unmasked steps, or the attention-weighted mean (Yang
et al., 2016) of a gated recurrent unit (Cho et al., 2014) over them. Layer normalisation (Ba et al., 2016) follows,
because a batch's statistics would make a row depend on its neighbours. Left out: convolution over steps, which is the
encoders' work.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models.fusion.strategies.attention import masked_softmax
from models.fusion.strategies.interface import FusionConfig, ModalitySteps


class ModalityBranch(nn.Module):
    """One modality's branch, from steps to their summary."""

    def __init__(self, width: int, config: FusionConfig) -> None:
        """width: of a step as it comes."""
        super().__init__()
        hidden = config.hidden
        self.project = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(config.dropout))
        self.pool: nn.Module = AttentiveRecurrence(hidden) if config.recurrent else MaskedMean()
        self.finish = nn.Sequential(nn.LayerNorm(hidden), nn.Dropout(config.dropout))

    def forward(self, inputs: ModalitySteps) -> tuple[Tensor, Tensor]:
        """Projects and summarises the steps.

        Returns the steps (rows, time, hidden), zero where masked, and the summary (rows, hidden), zero where absent.

        What masked steps hold has no effect, not even where it is not finite.
        """
        steps = torch.where(inputs.mask[..., None], inputs.steps, 0.0)
        steps = torch.where(inputs.mask[..., None], self.project(steps), 0.0)
        summary = self.finish(self.pool(steps, inputs.mask))
        return steps, torch.where(inputs.present[:, None], summary, 0.0)


class MaskedMean(nn.Module):
    """The mean of the unmasked steps, zero where there is none."""

    def forward(self, steps: Tensor, mask: Tensor) -> Tensor:
        """steps: (rows, time, width). mask: (rows, time) bool. Returns (rows, width)."""
        weight = mask[..., None].to(steps.dtype)
        return (steps * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1.0)


class AttentiveRecurrence(nn.Module):
    """A recurrent unit over unmasked steps, then attention pooling."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.recurrence = nn.GRU(width, width, batch_first=True)
        self.attention = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1, bias=False))

    def forward(self, steps: Tensor, mask: Tensor) -> Tensor:
        """As `MaskedMean.forward`.

        Masked steps in between are closed up, so the recurrence never reads them.
        """
        lengths = mask.sum(dim=1)
        order = mask.long().argsort(dim=1, descending=True, stable=True)
        closed_up = steps.gather(1, order[..., None].expand_as(steps))
        packed = pack_padded_sequence(closed_up, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        read, _ = pad_packed_sequence(self.recurrence(packed)[0], batch_first=True, total_length=steps.shape[1])
        inside = torch.arange(steps.shape[1], device=mask.device) < lengths[:, None]
        weight = masked_softmax(self.attention(read).squeeze(-1), inside)
        return (weight[..., None] * read).sum(dim=1)
