"""Decision-level (late) fusion: combines the modalities' own answers.

Rules (Kittler et al., 1998): the mean of their posteriors; a mean with learned weights (the linear opinion pool: Stone,
1961); the product of their posteriors, each to the power of a learned weight (the logarithmic pool: Genest and Zidek,
1986; product of experts: Hinton, 2002); or a small network that reads them all (stacking: Wolpert, 1992). A modality
that does not count adds nothing, and weights that sum to one do so over those that count. In regression tasks, numbers
take the place of log posteriors. Left out: interactions of modalities, except as far as stacking learns them.
"""

import torch
from torch import Tensor, nn

from models.fusion.strategies.attention import masked_softmax
from models.fusion.strategies.branches import BranchedFusion
from models.fusion.strategies.interface import FusionConfig, FusionOutput, Inputs

_LEAST = 1e-30  # posterior; avoids the logarithm of 0


class DecisionFusion(BranchedFusion):
    """A strategy that fuses answers.

    The joint representation is the fused answers side by side.
    """

    def forward(self, inputs: Inputs, session: Tensor | None = None) -> FusionOutput:
        """As `FusionStrategy.forward`."""
        outputs = self.branched(inputs)
        alone = self.unimodal_logits(outputs.filled)
        answers = {
            task: torch.stack([self._answer(task, alone[name][task]) for name in self.modalities], dim=1)
            for task in self.config.outputs
        }
        counted = outputs.counted[..., None]
        logits = self.pool({task: torch.where(counted, each, 0.0) for task, each in answers.items()}, outputs.counted)
        return FusionOutput(torch.cat(list(logits.values()), dim=1), logits, alone, outputs.summaries)

    def pool(self, answers: dict[str, Tensor], counted: Tensor) -> dict[str, Tensor]:
        """Pools the modalities' answers.

        answers: by task, (rows, modalities, outputs): log posteriors or numbers, zero where they do not count. counted:
        (rows, modalities) bool. Returns by task, (rows, outputs).
        """
        raise NotImplementedError

    def _answer(self, task: str, logits: Tensor) -> Tensor:
        return logits if task in self.config.regressions else logits.log_softmax(dim=-1)

    def _mean(self, task: str, answers: Tensor, weights: Tensor) -> Tensor:
        """The weighted mean of numbers, or of posteriors as logarithm.

        weights: (rows, modalities).
        """
        if task in self.config.regressions:
            return (weights[..., None] * answers).sum(dim=1)
        return (weights[..., None] * answers.exp()).sum(dim=1).clamp(min=_LEAST).log()


class DecisionMean(DecisionFusion):
    """The mean of the posteriors of the modalities that count."""

    def pool(self, answers: dict[str, Tensor], counted: Tensor) -> dict[str, Tensor]:
        """As `DecisionFusion.pool`."""
        weights = masked_softmax(torch.zeros_like(counted, dtype=torch.float32), counted)
        return {task: self._mean(task, each, weights) for task, each in answers.items()}


class DecisionWeights(DecisionFusion):
    """A mean with a learned weight for each modality and task."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        self.weight = nn.ParameterDict({task: nn.Parameter(torch.zeros(len(config.widths))) for task in config.outputs})

    def pool(self, answers: dict[str, Tensor], counted: Tensor) -> dict[str, Tensor]:
        """As `DecisionFusion.pool`."""
        return {
            task: self._mean(task, each, masked_softmax(self.weight[task].expand_as(counted), counted))
            for task, each in answers.items()
        }


class ProductOfExperts(DecisionFusion):
    """A weighted sum of log posteriors.

    Numbers are averaged by the same weights.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        self.log_weight = nn.ParameterDict(
            {task: nn.Parameter(torch.zeros(len(config.widths))) for task in config.outputs}
        )

    def pool(self, answers: dict[str, Tensor], counted: Tensor) -> dict[str, Tensor]:
        """As `DecisionFusion.pool`."""
        pooled = {}
        for task, each in answers.items():
            log_weight = self.log_weight[task].expand_as(counted)
            shares = task in self.config.regressions
            weight = masked_softmax(log_weight, counted) if shares else log_weight.exp() * counted
            pooled[task] = (weight[..., None] * each).sum(dim=1)
        return pooled


class Stacking(DecisionFusion):
    """A small network over all modalities' answers and their presence."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        read = len(config.widths) * (sum(config.outputs.values()) + 1)
        self.hidden = nn.Sequential(nn.Linear(read, config.hidden), nn.GELU(), nn.Dropout(config.dropout))
        self.out = nn.ModuleDict({task: nn.Linear(config.hidden, count) for task, count in config.outputs.items()})

    def pool(self, answers: dict[str, Tensor], counted: Tensor) -> dict[str, Tensor]:
        """As `DecisionFusion.pool`."""
        read = torch.cat([*(each.flatten(1) for each in answers.values()), counted.float()], dim=1)
        hidden = self.hidden(read)
        return {task: out(hidden) for task, out in self.out.items()}
