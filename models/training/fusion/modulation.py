"""Gradient modulation of the modality ahead (OGM-GE: Peng et al., 2022).

The others are learned too.

Problem: the modality that is easiest to learn from explains the labels soon, and the branches of the others are left
without a gradient. Rule: in every batch each modality is scored by the probability that it alone gives to the right
labels; where its score is above the mean of the others', in the ratio r, the gradient of its branch is multiplied by
1 - tanh(strength * r), and with `noise` Gaussian noise of the gradient's own deviation makes up for the randomness that
is lost with it. The others' gradients stay as they are. Left out: tasks that ask for numbers have no such probability
and are not scored.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from models.fusion.strategies.branches import BranchedFusion

_LEAST = 1e-8


class GradientModulation:
    """What the gradients of each modality's branch are multiplied with at present."""

    def __init__(self, strength: float, noise: bool = False) -> None:
        self.strength = strength
        self.noise = noise
        self.factor: dict[str, float] = {}

    @torch.no_grad()
    def measure(
        self, alone: Mapping[str, Mapping[str, Tensor]], targets: Mapping[str, Tensor], present: Tensor
    ) -> None:
        """Measures how far each modality is ahead, by a batch.

        Takes a batch's answers by modality and task, its targets by task, and (rows, modalities) bool.
        """
        scores = {}
        for i, (name, predictions) in enumerate(alone.items()):
            right = _probability_of_the_right_labels(predictions, targets, present[:, i])
            if right is not None:
                scores[name] = right
        self.factor = {}
        for name, score in scores.items():
            others = [other for rival, other in scores.items() if rival != name]
            ratio = score * len(others) / max(sum(others), _LEAST) if others else 1.0
            self.factor[name] = 1 - math.tanh(self.strength * ratio) if ratio > 1 else 1.0

    @contextmanager
    def applied_to(self, net: BranchedFusion) -> Iterator[None]:
        """While this holds, gradients of the branches are changed as they arrive."""
        hooks = [
            parameter.register_hook(partial(self._changed, name))  # type: ignore[no-untyped-call]
            for name, branch in net.branches.items()
            for parameter in branch.parameters()
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _changed(self, modality: str, gradient: Tensor) -> Tensor:
        factor = self.factor.get(modality, 1.0)
        if factor == 1.0:
            return gradient
        if not self.noise or gradient.numel() < 2:
            return gradient * factor
        return gradient * factor + torch.randn_like(gradient) * gradient.std()


def _probability_of_the_right_labels(
    predictions: Mapping[str, Tensor], targets: Mapping[str, Tensor], present: Tensor
) -> float | None:
    """The mean probability of right labels over tasks and rows.

    None where there is nothing to measure it by.
    """
    probabilities = []
    for task, logits in predictions.items():
        target = targets[task]
        if target.is_floating_point():
            continue
        rows = present & (target >= 0)
        if rows.any():
            probabilities.append(logits[rows].softmax(dim=1).gather(1, target[rows][:, None]).mean().item())
    return sum(probabilities) / len(probabilities) if probabilities else None
