"""Fusion of summaries: concatenated, or as a gated sum.

Concatenation (feature-level or early fusion: Baltrušaitis et al., 2019) leaves interactions of modalities to a hidden
layer. The gated sum (Arevalo et al., 2017) weighs the modalities of each row; the gates are a softmax over those
present, so that they add up to one whatever is missing.
"""

import torch
from torch import Tensor, nn

from models.fusion.strategies.attention import masked_softmax
from models.fusion.strategies.branches import BranchOutputs, JointFusion
from models.fusion.strategies.interface import FusionConfig


class Concatenation(JointFusion):
    """Summaries side by side, with their presence, through a hidden layer."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        self.mix = nn.Sequential(
            nn.Linear(len(config.widths) * (config.hidden + 1), config.hidden), nn.GELU(), nn.Dropout(config.dropout)
        )

    def fuse(self, outputs: BranchOutputs) -> tuple[Tensor, dict[str, Tensor]]:
        """As `JointFusion.fuse`."""
        return self.mix(with_presence(outputs)), {}


class GatedSum(JointFusion):
    """A sum of the modalities' transformed summaries, weighted for each row."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        count, hidden = len(config.widths), config.hidden
        self.values = nn.ModuleDict({name: nn.Linear(hidden, hidden) for name in config.widths})
        self.gates = nn.Linear(count * (hidden + 1), count)

    def fuse(self, outputs: BranchOutputs) -> tuple[Tensor, dict[str, Tensor]]:
        """As `JointFusion.fuse`."""
        values = torch.stack([torch.tanh(self.values[name](outputs.filled[name])) for name in self.modalities], dim=1)
        return (self.weights(outputs)[..., None] * values).sum(dim=1), {}

    def weights(self, outputs: BranchOutputs) -> Tensor:
        """(rows, modalities) gates.

        Rows sum to 1, or to 0 where nothing is present.
        """
        return masked_softmax(self.gates(with_presence(outputs)), outputs.counted)


def with_presence(outputs: BranchOutputs) -> Tensor:
    """The imputed summaries side by side, and which count.

    Returns (rows, modalities * (hidden + 1)).
    """
    return torch.cat([outputs.stacked.flatten(1), outputs.counted.to(outputs.stacked.dtype)], dim=1)
