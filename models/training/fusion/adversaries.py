"""Adversarial losses: alignment of modalities, and imputation of missing ones.

Gradient reversal (Ganin and Lempitsky, 2015) lets both sides train in one backward pass: the second network learns to
tell, and what comes before the reversal learns that it cannot. Alignment: a network guesses which modality a summary is
of, and summaries come to lie in one space. Imputation (Cai et al., 2018): the generators of
`models.fusion.strategies.missing` make a modality that is there from the others, and are told how far off they are and
by what network their summaries were found out.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.fusion.strategies.missing import Imputation


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return -gradients[0]


def reversed_gradient(values: Tensor) -> Tensor:
    """The same values, through which the gradient passes with the opposite sign."""
    passed: Tensor = _Reverse.apply(values)  # type: ignore[no-untyped-call]
    return passed


class ModalityAdversary(nn.Module):
    """Guesses the modality of a summary; summaries learn to hide it."""

    def __init__(self, modalities: int, hidden: int) -> None:
        super().__init__()
        self.guess = _judge(hidden, modalities)

    def forward(self, summaries: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """summaries: by modality, (rows, hidden). present: (rows, modalities) bool. Returns a scalar."""
        stacked = torch.stack(list(summaries.values()), dim=1)
        modality = torch.arange(present.shape[1], device=present.device).expand_as(present)
        if not present.any():
            return stacked.sum() * 0
        return functional.cross_entropy(self.guess(reversed_gradient(stacked[present])), modality[present])


class ImputationAdversary(nn.Module):
    """Tells generated summaries from real ones; generators learn to fool it."""

    def __init__(self, modalities: tuple[str, ...], hidden: int) -> None:
        super().__init__()
        self.judges = nn.ModuleDict({name: _judge(hidden, 1) for name in modalities})

    def forward(self, stand_ins: Imputation, summaries: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """The loss: mean over modalities, of rows with that modality and another.

        summaries: by modality, (rows, hidden), zero where absent; they are not changed by it. present: (rows,
        modalities) bool. Returns a scalar.
        """
        real = {name: summary.detach() for name, summary in summaries.items()}
        losses = []
        for i, (name, judge) in enumerate(self.judges.items()):
            rows = present[:, i] & (present.sum(dim=1) > 1)
            if not rows.any():
                continue
            truth = real[name][rows]
            made = stand_ins.generate(name, {other: each[rows] for other, each in real.items()}, present[rows])
            verdicts = judge(torch.cat([truth, reversed_gradient(made)])).squeeze(1)
            is_real = (torch.arange(len(verdicts), device=verdicts.device) < len(truth)).to(verdicts.dtype)
            losses.append(
                functional.mse_loss(made, truth) + functional.binary_cross_entropy_with_logits(verdicts, is_real)
            )
        return torch.stack(losses).mean() if losses else present.new_zeros((), dtype=torch.float32)


def _judge(hidden: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(hidden, hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, outputs))
