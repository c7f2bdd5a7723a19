"""The loss of fusion: all tasks, and what `FusionTraining` turns on.

A task's loss is cross-entropy, or the mean square error where it asks for numbers, over what is known of the batch, and
nothing where nothing is. Tasks count by fixed weights or by learned ones (`models.training.loop.losses.JointLoss`). The
modalities' own answers, the strategy's penalties, and the adversaries are added, each times its weight.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.fusion.strategies.branches import BranchedFusion
from models.fusion.strategies.interface import FusionOutput
from models.training.fusion.adversaries import ImputationAdversary, ModalityAdversary
from models.training.fusion.batches import FusionBatch
from models.training.fusion.modality_dropout import surviving
from models.training.fusion.modulation import GradientModulation
from models.training.fusion.options import FusionTraining
from models.training.loop.losses import JointLoss, balanced_class_weights


class _ScoredBatch(NamedTuple):
    output: FusionOutput
    batch: FusionBatch


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """A task's loss, as `JointLoss` wants it."""

    name: str
    class_weights: Tensor | None

    def __call__(self, net: nn.Module, scored: _ScoredBatch) -> Tensor:
        return task_loss(scored.output.logits[self.name], scored.batch.targets[self.name], self.class_weights)


class FusionLoss(nn.Module):
    """The loss, with networks that are thrown away after training."""

    def __init__(self, net: BranchedFusion, training: FusionTraining, train: FusionBatch) -> None:
        """train: all rows, whose labels are counted.

        Raises ValueError where an option does not fit the strategy.
        """
        super().__init__()
        self.options = training
        self.tasks = {
            task: _Task(task, _class_weights(target, net.config.outputs[task], training.class_power))
            for task, target in train.targets.items()
        }
        self.joint = JointLoss(self.tasks, _alpha(training, self.tasks))
        hidden, names = net.config.hidden, net.modalities
        self.alignment = ModalityAdversary(len(names), hidden) if training.alignment else None
        self.imputation = ImputationAdversary(names, hidden) if training.generator else None
        if training.generator and net.config.missing != "generated":
            raise ValueError("generator has a weight, but what stands in for a missing modality is not generated")
        self.modulation = GradientModulation(training.modulation, training.modulation_noise)

    def forward(self, net: nn.Module, batch: FusionBatch) -> Tensor:
        """Scalar."""
        options = self.options
        if options.modality_dropout:
            batch = batch.kept(surviving(batch.present, options.modality_dropout))
        present = batch.present
        output: FusionOutput = net(batch.inputs, batch.session)
        total: Tensor = self.joint(net, _ScoredBatch(output, batch))
        if options.alone:
            total = total + options.alone * self._alone(output, batch, present)
        if options.modulation:
            self.modulation.measure(output.unimodal, batch.targets, present)
        for penalty in output.penalties.values():
            total = total + options.penalty * penalty
        if self.alignment is not None:
            total = total + options.alignment * self.alignment(output.summaries, present)
        if self.imputation is not None and isinstance(net, BranchedFusion):
            total = total + options.generator * self.imputation(net.stand_ins, output.summaries, present)
        return total

    def of_tasks(self, net: nn.Module, batch: FusionBatch) -> Tensor:
        """Scalar: the tasks alone, with nothing dropped and nothing added."""
        total: Tensor = self.joint(net, _ScoredBatch(net(batch.inputs, batch.session), batch))
        return total

    def _alone(self, output: FusionOutput, batch: FusionBatch, present: Tensor) -> Tensor:
        """The unimodal loss: mean over modalities of the sum over tasks.

        Of each modality, over the rows that have it.
        """
        losses = [
            task_loss(predictions[name], batch.targets[name], task.class_weights, present[:, i])
            for i, predictions in enumerate(output.unimodal.values())
            for name, task in self.tasks.items()
        ]
        return torch.stack(losses).sum() / present.shape[1]


def task_loss(
    predictions: Tensor, target: Tensor, class_weights: Tensor | None = None, rows: Tensor | None = None
) -> Tensor:
    """Cross-entropy of labels, or squared error of numbers.

    answers: (rows, outputs). target: (rows,) labels, -1 where not known, or (rows, outputs) numbers, NaN where not
    known. rows: (rows,) bool, which to look at. Returns a scalar, 0 where nothing is known.
    """
    if target.is_floating_point():
        known = ~target.isnan()
        losses = (predictions - torch.where(known, target, 0.0)).square()
    else:
        known = target >= 0
        losses = functional.cross_entropy(predictions, target.clamp(min=0), class_weights, reduction="none")
    if rows is not None:
        known = known & (rows[:, None] if known.ndim == 2 else rows)
    return torch.where(known, losses, 0.0).sum() / known.sum().clamp(min=1)


def _class_weights(target: Tensor, outputs: int, power: float) -> Tensor | None:
    if target.is_floating_point() or not power or not (target >= 0).any():
        return None
    return balanced_class_weights(target[target >= 0].cpu().numpy(), outputs, power).to(target.device)


def _alpha(training: FusionTraining, tasks: Mapping[str, object]) -> dict[str, float] | None:
    if training.task_weights == "learned":
        return None
    return dict.fromkeys(tasks, 1.0) if training.task_weights == "equal" else dict(training.task_weights)
