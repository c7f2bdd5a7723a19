"""Fusion by products of the modalities' features.

So interactions of every pair and triple of modalities are represented. Tensor fusion (Zadeh et al., 2017) takes the
outer product of all summaries, each with a one appended, so that it contains every modality by itself too. It grows
with the width to the power of the modalities, so summaries are narrowed first. Low-rank fusion (Liu et al., 2018) never
builds that tensor: with low-rank weights, the product of the modalities' linear maps is the same. An absent modality's
summary is zero, and its one keeps the products of the others.
"""

import math

import torch
from torch import Tensor, nn

from models.fusion.strategies.branches import BranchOutputs, JointFusion
from models.fusion.strategies.interface import FusionConfig

_WIDTH = 16  # of a summary before the outer product: three modalities make 17**3 = 4913 products
_RANK = 4


class TensorFusion(JointFusion):
    """The outer product of narrowed summaries, through a hidden layer."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        width = min(_WIDTH, config.hidden)
        self.narrow = nn.ModuleDict({name: nn.Linear(config.hidden, width, bias=False) for name in config.widths})
        self.mix = nn.Sequential(
            nn.Dropout(config.dropout), nn.Linear((width + 1) ** len(config.widths), config.hidden), nn.GELU()
        )

    def fuse(self, outputs: BranchOutputs) -> tuple[Tensor, dict[str, Tensor]]:
        """As `JointFusion.fuse`."""
        product = outputs.stacked.new_ones(len(outputs.counted), 1)
        for name in self.modalities:
            factor = with_one(torch.tanh(self.narrow[name](outputs.filled[name])))
            product = (product[:, :, None] * factor[:, None, :]).flatten(1)
        return self.mix(product), {}


class LowRankFusion(JointFusion):
    """Low-rank tensor fusion: a sum over ranks of linear maps' products."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        hidden = config.hidden
        self.factors = nn.ParameterDict({name: nn.Parameter(_factor(hidden)) for name in config.widths})
        self.rank_weight = nn.Parameter(torch.full((_RANK,), _RANK**-0.5))
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.dropout = nn.Dropout(config.dropout)

    def fuse(self, outputs: BranchOutputs) -> tuple[Tensor, dict[str, Tensor]]:
        """As `JointFusion.fuse`."""
        product = torch.ones((), device=self.bias.device)
        for name in self.modalities:
            product = product * torch.einsum("bi,rio->bro", with_one(outputs.filled[name]), self.factors[name])
        fused = torch.einsum("bro,r->bo", product, self.rank_weight) + self.bias
        return self.dropout(fused), {}


def with_one(vectors: Tensor) -> Tensor:
    """(rows, width + 1): vectors with a one appended.

    It keeps the products of fewer modalities.
    """
    return torch.cat([vectors, torch.ones_like(vectors[:, :1])], dim=1)


def _factor(hidden: int) -> Tensor:
    """A random factor: (rank, hidden + 1, hidden).

    Near one for a summary of zeros, so that the other modalities pass at the start.
    """
    factor = torch.randn(_RANK, hidden + 1, hidden) / math.sqrt(hidden)
    factor[:, -1] += 1.0
    return factor
