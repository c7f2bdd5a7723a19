"""Fusion by attention bottleneck.

Modalities exchange only what passes a few shared tokens (Nagrani et al., 2021).

Problem: attention between all steps of all modalities costs much and mixes noise. Rule: in each layer a modality's
steps attend to themselves and to a few bottleneck tokens, which attend likewise; the tokens of the next layer are the
mean of what the modalities that count made of them. What is fused is the mean of the modalities' pooled steps and of
the tokens. Left out: layers before the exchange begins; the encoders are these.
"""

import torch
from torch import Tensor, nn

from models.fusion.strategies.attention import AttentionLayer, with_positions
from models.fusion.strategies.branches import BranchOutputs, JointFusion
from models.fusion.strategies.interface import FusionConfig
from models.fusion.strategies.summaries import MaskedMean

_TOKENS = 4
_LAYERS = 2


class Bottleneck(JointFusion):
    """Modalities' transformers, joined by a few tokens."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        self.tokens = nn.Parameter(torch.randn(_TOKENS, config.hidden) * config.hidden**-0.5)
        self.layers = nn.ModuleList(BottleneckLayer(config) for _ in range(_LAYERS))
        self.pool = MaskedMean()
        self.norm = nn.LayerNorm(config.hidden)

    def fuse(self, outputs: BranchOutputs) -> tuple[Tensor, dict[str, Tensor]]:
        """As `JointFusion.fuse`."""
        steps = {name: with_positions(each) for name, each in outputs.steps.items()}
        tokens = self.tokens.expand(len(outputs.counted), -1, -1)
        for layer in self.layers:
            steps, tokens = layer(steps, tokens, outputs)
        pooled = torch.stack([self.pool(steps[name], outputs.masks[name]) for name in self.modalities], dim=1)
        return self.norm(self.pool(pooled, outputs.counted) + tokens.mean(dim=1)), {}


class BottleneckLayer(nn.Module):
    """One layer: every modality's steps and the tokens attend to each other."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.each = nn.ModuleDict({name: AttentionLayer(config.hidden, config.dropout) for name in config.widths})
        self.pool = MaskedMean()

    def forward(
        self, steps: dict[str, Tensor], tokens: Tensor, outputs: BranchOutputs
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Exchanges between steps and tokens.

        steps: by modality, (rows, time, hidden). tokens: (rows, tokens, hidden). Returns both, as large.
        """
        after, passed = {}, []
        for name, layer in self.each.items():
            mask = torch.cat([torch.ones_like(tokens[..., 0], dtype=torch.bool), outputs.masks[name]], dim=1)
            read = layer(torch.cat([tokens, steps[name]], dim=1), None, mask)
            passed.append(read[:, : tokens.shape[1]].flatten(1))
            after[name] = read[:, tokens.shape[1] :]
        return after, self.pool(torch.stack(passed, dim=1), outputs.counted).view_as(tokens)
