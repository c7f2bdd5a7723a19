"""Contrastive pretraining across modalities (InfoNCE: van den Oord et al., 2018).

Problem: labels are few, windows many. Rule: the summaries of two modalities of a window, each projected into a shared
space, should be nearer than those of different windows of the batch, in both directions (as in CLIP: Radford et al.,
2021). Taken over all pairs of modalities, and of each pair over the rows that have both. Left out: pairs of windows of
one session, which count as different though they may mean the same.
"""

from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.fusion.strategies.branches import BranchedFusion
from models.training.fusion.batches import FusionBatch

_TEMPERATURE = 0.1


class ContrastLoss(nn.Module):
    """Contrastive loss, with projections that are thrown away after training."""

    def __init__(self, modalities: tuple[str, ...], hidden: int) -> None:
        super().__init__()
        self.projections = nn.ModuleDict({name: nn.Linear(hidden, hidden) for name in modalities})

    def forward(self, net: nn.Module, batch: FusionBatch) -> Tensor:
        """Scalar. Raises TypeError for a strategy without branches."""
        if not isinstance(net, BranchedFusion):
            raise TypeError(f"{type(net).__name__} has no summaries to compare")
        seen = net.branched(batch.inputs)
        shared = [
            functional.normalize(projection(seen.summaries[name]), dim=1)
            for name, projection in self.projections.items()
        ]
        losses = [
            info_nce(shared[i][both], shared[j][both])
            for i, j in combinations(range(len(shared)), 2)
            if (both := seen.present[:, i] & seen.present[:, j]).sum() > 1
        ]
        return torch.stack(losses).mean() if losses else torch.stack([each.sum() for each in shared]).sum() * 0


def info_nce(first: Tensor, second: Tensor) -> Tensor:
    """InfoNCE between two batches of unit vectors.

    first, second: (rows, width) of length one; row i of one belongs to row i of the other. Returns a scalar.
    """
    likeness = first @ second.T / _TEMPERATURE
    which = torch.arange(len(first), device=first.device)
    return (functional.cross_entropy(likeness, which) + functional.cross_entropy(likeness.T, which)) / 2
