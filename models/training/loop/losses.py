"""Losses that any task may train with.

Weighted classes, hard rows, distributions of labels, several tasks at once.

All are means over rows, and all but the joint ones take logits (rows, labels). Left out: what a corpus does not label,
which the task masks, because only it knows how its corpora are mixed.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional


def balanced_class_weights(labels: NDArray[np.int64], classes: int, power: float = 1.0) -> Tensor:
    """Class weights (classes,) in proportion to 1/frequency**power.

    Their mean over the rows is 1; 0 for unseen classes.

    power: 0 weighs rows the same, and unseen classes too; 1 weighs classes the same.
    """
    if power == 0:
        return torch.ones(classes)
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    weights = np.where(counts > 0, counts.clip(1) ** -power, 0.0)
    return torch.from_numpy(weights * counts.sum() / (weights * counts).sum()).float()


def focal_loss(logits: Tensor, labels: Tensor, gamma: float = 2.0, class_weights: Tensor | None = None) -> Tensor:
    """Focal loss: cross-entropy weighted by (1 - probability)**gamma (Lin et al., 2017).

    labels: (rows,) int. labels: (rows,) int.
    """
    log_probability = functional.log_softmax(logits, dim=1).gather(1, labels[:, None]).squeeze(1)
    losses = -((1 - log_probability.exp()) ** gamma) * log_probability
    return (losses if class_weights is None else losses * class_weights[labels]).mean()


def distribution_loss(logits: Tensor, shares: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Kullback-Leibler divergence from the people's votes (label distribution learning: Geng, 2016).

    shares: (rows, labels), rows sum to 1. class_weights: (labels,), of each label's part of the sum.
    """
    entropy = torch.special.xlogy(shares, shares)
    each = entropy - shares * functional.log_softmax(logits, dim=1)
    weighted: Tensor = each if class_weights is None else each * class_weights
    return weighted.sum(dim=1).mean()


class JointLoss(nn.Module):
    """Losses of several tasks as one, by fixed or learned weights.

    Learned weights follow each task's noise.

    Without `alpha` the weights are learned (Kendall et al., 2018): each task has a log variance s, and counts
    exp(-s) * loss + s / 2. Given to `models.training.loop.fit` as its loss, these are trained beside the network.
    """

    def __init__(
        self, tasks: Mapping[str, Callable[[nn.Module, Any], Tensor]], alpha: Mapping[str, float] | None = None
    ) -> None:
        """tasks: by name, a loss of network and batch.

        alpha: a weight for each name; raises ValueError for others.
        """
        super().__init__()
        if alpha is not None and (set(alpha) != set(tasks) or min(alpha.values()) < 0):
            raise ValueError(
                f"alpha must give a weight of at least 0 for each of {', '.join(tasks)} (is {dict(alpha)})"
            )
        self._tasks = dict(tasks)
        self._alpha = {} if alpha is None else {name: alpha[name] for name in tasks}
        self.log_variance = nn.Parameter(torch.zeros(len(tasks))) if alpha is None else None

    def forward(self, net: nn.Module, batch: Any) -> Tensor:
        """Scalar."""
        losses = torch.stack([task(net, batch) for task in self._tasks.values()])
        if self.log_variance is None:
            return (losses * losses.new_tensor(list(self._alpha.values()))).sum()
        return (torch.exp(-self.log_variance) * losses + self.log_variance / 2).sum()

    def weights(self) -> dict[str, float]:
        """By task, what its loss is multiplied with at present."""
        if self.log_variance is None:
            return dict(self._alpha)
        return dict(zip(self._tasks, torch.exp(-self.log_variance.detach()).tolist(), strict=True))
