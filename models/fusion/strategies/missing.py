"""Imputation of modalities that a row lacks.

Problem: fusing needs a vector for every modality, and any may be absent. Rule: the imputed summary is zeros, a learned
token, the running mean of the training summaries, or generated from the modalities that are present (Tran et al., 2017;
Cai et al., 2018; Ma et al., 2021). With zeros, strategies that weigh modalities leave the absent one out; the others
count as if it were present. Left out: imputing steps rather than summaries.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.fusion.strategies.interface import FusionConfig

_SLOWEST_SHARE = 0.01  # of a batch in the running mean, after a hundred batches


class Imputation(nn.Module):
    """Imputes every modality, in the way that the configuration names."""

    mean: Tensor
    batches: Tensor

    def __init__(self, config: FusionConfig) -> None:
        """Raises ValueError for an unknown kind.

        Also for generators where there is no modality to generate from.
        """
        super().__init__()
        self.kind = config.missing
        self.modalities = tuple(config.widths)
        count, hidden = len(self.modalities), config.hidden
        if self.kind == "token":
            self.token = nn.Parameter(torch.randn(count, hidden) * hidden**-0.5)
        elif self.kind == "mean":
            self.register_buffer("mean", torch.zeros(count, hidden))
            self.register_buffer("batches", torch.zeros(count, dtype=torch.long))
        elif self.kind == "generated":
            if count < 2:
                raise ValueError("missing = generated needs two modalities or more")
            self.generators = nn.ModuleDict({name: _generator(count - 1, config) for name in self.modalities})
        elif self.kind != "mask":
            raise ValueError(f"missing is mask, token, mean or generated, not {self.kind!r}")

    def forward(self, summaries: Mapping[str, Tensor], present: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """summaries: by modality, (rows, hidden), zero where absent. present: (rows, modalities) bool.

        Returns the summaries with stand-ins where absent, and (rows, modalities) bool, which of them fusing may count.
        While training, the running mean moves.
        """
        if self.kind == "mask":
            return dict(summaries), present
        if self.kind == "mean" and self.training:
            self._move_mean(summaries, present)
        filled = {
            name: torch.where(present[:, i, None], summaries[name], self.of(i, summaries, present))
            for i, name in enumerate(self.modalities)
        }
        return filled, torch.ones_like(present)

    def of(self, index: int, summaries: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """(rows or 1, hidden): the imputed summary of one modality."""
        if self.kind == "token":
            return self.token[index, None]
        if self.kind == "mean":
            return self.mean[index, None]
        if self.kind == "generated":
            return self.generate(self.modalities[index], summaries, present)
        return torch.zeros_like(summaries[self.modalities[index]][:1])

    def generate(self, modality: str, summaries: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """(rows, hidden): one modality generated from the others.

        Its own summary has no part in that.
        """
        others = [i for i, name in enumerate(self.modalities) if name != modality]
        read = [summaries[self.modalities[i]] for i in others]
        generated: Tensor = self.generators[modality](torch.cat([*read, present[:, others].to(read[0].dtype)], dim=1))
        return generated

    @torch.no_grad()
    def _move_mean(self, summaries: Mapping[str, Tensor], present: Tensor) -> None:
        for i, name in enumerate(self.modalities):
            rows = summaries[name][present[:, i]]
            if len(rows):
                share = max(_SLOWEST_SHARE, 1.0 / (1 + int(self.batches[i])))
                self.mean[i].lerp_(rows.mean(dim=0).to(self.mean.dtype), share)
                self.batches[i] += 1


def _generator(others: int, config: FusionConfig) -> nn.Module:
    hidden = config.hidden
    return nn.Sequential(
        nn.Linear(others * (hidden + 1), 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, hidden), nn.LayerNorm(hidden)
    )
