"""The branches that all strategies share, one per modality.

Problem: strategies should differ in how they fuse and in nothing else. Rule: each modality has a branch (steps,
summary, imputation where absent) and heads of its own. A strategy makes the joint representation of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.fusion.strategies.interface import FusionConfig, FusionOutput, FusionStrategy, Inputs
from models.fusion.strategies.missing import Imputation
from models.fusion.strategies.summaries import ModalityBranch


class Heads(nn.Module):
    """A linear answer for each task."""

    def __init__(self, width: int, outputs: Mapping[str, int]) -> None:
        super().__init__()
        self.tasks = nn.ModuleDict({task: nn.Linear(width, count) for task, count in outputs.items()})

    def forward(self, vectors: Tensor) -> dict[str, Tensor]:
        """vectors: (rows, width). Returns by task, (rows, outputs)."""
        return {task: head(vectors) for task, head in self.tasks.items()}


@dataclass(frozen=True, slots=True, eq=False)
class BranchOutputs:
    """Every modality of a batch, ready to be fused.

    summaries: (rows, hidden) of its own, zero where absent. filled: the same with stand-ins. present: (rows,
    modalities) bool. counted: as large, which modalities take part: those present, or with stand-ins all. steps: (rows,
    time, hidden), and masks, (rows, time) bool; a stand-in is the one step of the modality that it stands for.
    """

    summaries: Mapping[str, Tensor]
    filled: Mapping[str, Tensor]
    present: Tensor
    counted: Tensor
    steps: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]

    @property
    def stacked(self) -> Tensor:
        """(rows, modalities, hidden): the filled summaries."""
        return torch.stack(list(self.filled.values()), dim=1)


class BranchedFusion(FusionStrategy):
    """A strategy with a branch for each modality."""

    def __init__(self, config: FusionConfig) -> None:
        """Raises ValueError for a configuration without a modality or a task."""
        super().__init__(config)
        if not config.widths or not config.outputs:
            raise ValueError("fusion needs a modality and a task or more")
        self.modalities = tuple(config.widths)
        self.branches = nn.ModuleDict({name: ModalityBranch(width, config) for name, width in config.widths.items()})
        self.stand_ins = Imputation(config)
        self.alone = nn.ModuleDict({name: Heads(config.hidden, config.outputs) for name in config.widths})

    def branched(self, inputs: Inputs) -> BranchOutputs:
        """Runs every modality's branch.

        Raises KeyError for a modality of the configuration that is not given; an absent one is given masked.
        """
        read = {name: self.branches[name](inputs[name]) for name in self.modalities}
        summaries = {name: summary for name, (_, summary) in read.items()}
        present = torch.stack([inputs[name].present for name in self.modalities], dim=1)
        filled, counted = self.stand_ins(summaries, present)
        steps, masks = {}, {}
        for i, name in enumerate(self.modalities):
            first = torch.arange(read[name][0].shape[1], device=present.device) == 0
            stands_in = (counted & ~present)[:, i, None] & first
            steps[name] = torch.where(stands_in[..., None], filled[name][:, None], read[name][0])
            masks[name] = inputs[name].mask | stands_in
        return BranchOutputs(summaries, filled, present, counted, steps, masks)

    def unimodal_logits(self, vectors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """vectors: by modality, (rows, hidden). Returns by modality and task, (rows, outputs)."""
        return {name: self.alone[name](vectors[name]) for name in self.modalities}


class JointFusion(BranchedFusion):
    """A strategy that answers all tasks from one joint vector."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        self.heads = Heads(config.hidden, config.outputs)

    def forward(self, inputs: Inputs, session: Tensor | None = None) -> FusionOutput:
        """As `FusionStrategy.forward`."""
        outputs = self.branched(inputs)
        fused, penalties = self.fuse(outputs)
        return FusionOutput(
            fused, self.heads(fused), self.unimodal_logits(outputs.filled), outputs.summaries, penalties
        )

    def fuse(self, outputs: BranchOutputs) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the joint representation, (rows, hidden), and penalties by name, scalars."""
        raise NotImplementedError
