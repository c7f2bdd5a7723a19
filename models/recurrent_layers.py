"""Recurrent layers over sequences of unlike length.

A bidirectional LSTM (Hochreiter and Schmidhuber, 1997; Schuster and Paliwal, 1997), and pooling by attention.

Problem: rows of a batch are padded to the longest, and the backward direction would begin in the padding. Rule: each
row is reversed within its own length, so that both directions read its steps first and its padding last; a step's
output then depends only on the row's own steps. Packed sequences would do the same, but on a CPU take four times as
long in bfloat16. Left out: several layers, and states carried from one call to the next.
"""

import torch
from torch import nn


class BidirectionalLstm(nn.Module):
    """A bidirectional LSTM. No state besides the weights; calls may overlap."""

    def __init__(self, width: int, hidden: int) -> None:
        """width: values of a step. hidden: values of each direction."""
        super().__init__()
        self.forwards = nn.LSTM(width, hidden, batch_first=True)
        self.backwards = nn.LSTM(width, hidden, batch_first=True)

    def forward(self, steps: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Reads steps in both directions.

        steps: (batch, time, width); lengths: (batch,) int, steps of each row that are its own, from its beginning.
        Returns (batch, time, 2 * hidden), meaningless beyond a row's length.
        """
        place = torch.arange(steps.shape[1], device=steps.device).expand(steps.shape[:2])
        turned = torch.where(place < lengths[:, None], lengths[:, None] - 1 - place, place)[..., None]
        ahead, _ = self.forwards(steps)
        back, _ = self.backwards(steps.gather(1, turned.expand_as(steps)))
        return torch.cat([ahead, back.gather(1, turned.expand_as(back))], dim=-1)


class AttentionPool(nn.Module):
    """Pools steps by their attention-weighted mean and spread.

    Attentive statistics (Okabe et al., 2018), from additive attention (Bahdanau et al., 2015).
    """

    def __init__(self, width: int, hidden: int = 64) -> None:
        """width: values of a step. hidden: values of the attention network."""
        super().__init__()
        self.width = 2 * width
        self.score = nn.Sequential(nn.Linear(width, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, steps: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
        """Pools the counted steps.

        steps: (batch, time, width); counted: (batch, time) bool. Returns (batch, 2 * width) float32.

        Steps that are not counted have no effect; a row without a counted step is finite and means nothing.
        """
        score = self.score(steps).squeeze(-1).float().masked_fill(~counted, -1e4)
        share = score.softmax(dim=-1).unsqueeze(-1)
        values = steps.float()
        mean = (values * share).sum(dim=1)
        spread = ((values - mean.unsqueeze(1)).square() * share).sum(dim=1)
        return torch.cat([mean, spread.clamp(min=1e-5).sqrt()], dim=-1)
