"""Shared and private representations of the modalities.

After MISA (Hazarika et al., 2020). Problem: modalities are redundant and different at once. Rule: one encoder common to
all modalities makes a shared vector of each summary, and an encoder of its own a private one; all vectors attend to
each other and are concatenated. Penalties draw the shared vectors' distributions together (central moment discrepancy:
Zellinger et al., 2017), keep shared and private apart (orthogonality), and require that both together reconstruct the
summary. Penalties are taken over rows in which the modalities concerned are present; imputed summaries are not
penalised.
"""

from collections.abc import Iterable
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.fusion.strategies.attention import AttentionLayer
from models.fusion.strategies.branches import BranchOutputs, JointFusion
from models.fusion.strategies.interface import FusionConfig

_MOMENTS = 5
_TINY = 1e-6


class SharedPrivate(JointFusion):
    """Shared and private vectors of every modality, attending to each other."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        hidden, count = config.hidden, len(config.widths)
        self.shared = nn.Sequential(nn.Linear(hidden, hidden), nn.Tanh())
        self.private = nn.ModuleDict(
            {name: nn.Sequential(nn.Linear(hidden, hidden), nn.Tanh()) for name in config.widths}
        )
        self.decoders = nn.ModuleDict({name: nn.Linear(hidden, hidden) for name in config.widths})
        self.attend = AttentionLayer(hidden, config.dropout)
        self.mix = nn.Sequential(nn.Linear(2 * count * hidden, hidden), nn.GELU(), nn.Dropout(config.dropout))

    def fuse(self, outputs: BranchOutputs) -> tuple[Tensor, dict[str, Tensor]]:
        """As `JointFusion.fuse`; penalties are `similarity`, `difference` and `reconstruction`."""
        shared = {name: self.shared(outputs.filled[name]) for name in self.modalities}
        private = {name: self.private[name](outputs.filled[name]) for name in self.modalities}
        vectors = torch.stack([*shared.values(), *private.values()], dim=1)
        counted = outputs.counted.repeat(1, 2)
        attended = torch.where(counted[..., None], self.attend(vectors, None, counted), 0.0)
        return self.mix(attended.flatten(1)), self._penalties(outputs, shared, private)

    def _penalties(
        self, outputs: BranchOutputs, shared: dict[str, Tensor], private: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """The penalties: means over modalities or pairs that are present."""
        rows_with = {name: outputs.present[:, i] for i, name in enumerate(self.modalities)}
        pairs = [(a, b, rows_with[a] & rows_with[b]) for a, b in combinations(self.modalities, 2)]
        similarity = [moment_discrepancy(shared[a][both], shared[b][both]) for a, b, both in pairs]
        apart = [cross_correlation(shared[name][rows], private[name][rows]) for name, rows in rows_with.items()]
        apart += [cross_correlation(private[a][both], private[b][both]) for a, b, both in pairs]
        given_back = [
            functional.mse_loss(self.decoders[name](shared[name] + private[name])[rows], outputs.summaries[name][rows])
            for name, rows in rows_with.items()
            if rows.any()
        ]
        zero = next(iter(shared.values())).sum() * 0
        return {
            "similarity": _mean(similarity, zero),
            "difference": _mean(apart, zero),
            "reconstruction": _mean(given_back, zero),
        }


def moment_discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """Central moment discrepancy of two samples.

    first, second: (rows, width), in -1..1. It is 0 for one row or none.

    The range's width, 2, to the power of the moment divides each term, as in the paper.
    """
    if len(first) < 2:
        return (first.sum() + second.sum()) * 0
    means = first.mean(dim=0), second.mean(dim=0)
    total = _distance(means[0], means[1]) / 2
    for power in range(2, _MOMENTS + 1):
        moments = [((sample - mean) ** power).mean(dim=0) for sample, mean in zip((first, second), means, strict=True)]
        total = total + _distance(moments[0], moments[1]) / 2**power
    return total


def cross_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared cross-correlation of the columns of two samples.

    first, second: (rows, width). It is 0 for one row or none.

    Columns are centred and rows brought to length one, as in the paper.
    """
    if len(first) < 2:
        return (first.sum() + second.sum()) * 0
    one, other = (functional.normalize(sample - sample.mean(dim=0), dim=1, eps=_TINY) for sample in (first, second))
    return (one.T @ other).square().mean()


def _distance(first: Tensor, second: Tensor) -> Tensor:
    """Euclidean, with a gradient where both are the same."""
    return ((first - second).square().sum() + _TINY**2).sqrt()


def _mean(values: Iterable[Tensor], nothing: Tensor) -> Tensor:
    terms = list(values)
    return torch.stack(terms).mean() if terms else nothing
