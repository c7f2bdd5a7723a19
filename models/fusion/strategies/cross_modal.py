"""Cross-modal attention over unaligned steps: the multimodal transformer.

After Tsai et al. (2019). Problem: a word may belong to a smile some steps away, and modalities have different numbers
of steps. Rule: each modality's steps attend to those of each other modality, for every ordered pair. The results are
concatenated per modality and pass self-attention; the means of all modalities' steps, concatenated, are fused. A
modality without another to attend to keeps its own steps; an absent one is zeros. Left out: the convolution before
(branches project the steps) and the paper's depth, for which windows of seconds are too few.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.fusion.strategies.attention import AttentionLayer, with_positions
from models.fusion.strategies.branches import BranchOutputs, JointFusion
from models.fusion.strategies.interface import FusionConfig
from models.fusion.strategies.summaries import MaskedMean


class CrossModal(JointFusion):
    """Pairwise attention between the modalities' steps."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        width = len(config.widths) * config.hidden
        self.readers = nn.ModuleDict({name: CrossModalReader(name, config) for name in config.widths})
        self.pool = MaskedMean()
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, config.hidden), nn.GELU(), nn.Dropout(config.dropout)
        )

    def fuse(self, outputs: BranchOutputs) -> tuple[Tensor, dict[str, Tensor]]:
        """As `JointFusion.fuse`."""
        steps = {name: with_positions(each) for name, each in outputs.steps.items()}
        pooled = [self.pool(self.readers[name](steps, outputs.masks), outputs.masks[name]) for name in self.modalities]
        return self.mix(torch.cat(pooled, dim=1)), {}


class CrossModalReader(nn.Module):
    """Attention from one modality's steps to the others'."""

    def __init__(self, name: str, config: FusionConfig) -> None:
        super().__init__()
        hidden, others = config.hidden, [other for other in config.widths if other != name]
        self.name = name
        self.crossings = nn.ModuleDict({other: AttentionLayer(hidden, config.dropout) for other in others})
        self.join = nn.Linear(max(1, len(others)) * hidden, hidden)
        self.itself = AttentionLayer(hidden, config.dropout)

    def forward(self, steps: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """Reads the other modalities into the steps of one.

        steps: by modality, (rows, time, hidden). masks: (rows, time) bool. Returns the own steps, as large.
        """
        own = steps[self.name]
        crossed = [layer(own, steps[other], masks[other]) for other, layer in self.crossings.items()]
        read: Tensor = self.itself(self.join(torch.cat(crossed or [own], dim=-1)), None, masks[self.name])
        return read
