"""The training loop that every task shares.

Epochs of batches, a schedule, weight averaging, early stopping, resuming.

The rule: everything random in an epoch follows from `(seed, epoch)`, so a run that was killed and goes on from its
checkpoint ends with the weights of a run that was not. The weights judged and kept are the exponential moving average
of those trained (Polyak and Juditsky, 1992). Losses, sampling and augmentation belong to the task: `batches(epoch)`
must depend on nothing but `epoch`. Several processes under `torchrun` train as one
(`models.training.loop.distributed`).
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.precision import mixed_precision
from models.training.loop.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from models.training.loop.distributed import as_the_first_has_them, mean_over_processes, processes, rank
from models.training.loop.schedule import Schedule, share_of_rate

Batch = TypeVar("Batch")
Metrics = dict[str, float]


@dataclass(frozen=True, slots=True)
class FitConfig:
    """How to train; what to train on is the task's.

    metric: key of `validate`'s answer that is maximised. steps_per_epoch: optimiser steps the schedule counts on.
    warmup_epochs: linear rise of the learning rate, before the schedule begins.
    clip_norm: upper bound of the gradient's norm, 0 for none. patience: epochs without a better metric before stopping.
    ema_decay: 0 keeps the trained weights themselves. bf16: forward pass under bfloat16 autocast, where the
    device gains by it.
    """

    epochs: int
    steps_per_epoch: int
    metric: str
    optimiser: Literal["adam", "adamw", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup_epochs: float = 0.5
    schedule: Schedule = field(default_factory=Schedule)
    clip_norm: float = 1.0
    patience: int = 1_000
    ema_decay: float = 0.0
    seed: int = 0
    bf16: bool = False
    checkpoint: Path | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a run that could not take a step."""
        for name in ("epochs", "steps_per_epoch", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"FitConfig.{name} must be at least 1 (is {getattr(self, name)})")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"FitConfig.ema_decay must be in [0, 1) (is {self.ema_decay})")


@dataclass(slots=True)
class FitResult:
    """The best epoch, from 0, and every epoch's metrics.

    `loss`, the mean training loss, is one of these.
    """

    best_epoch: int = -1
    best: Metrics = field(default_factory=dict)
    history: list[Metrics] = field(default_factory=list)


def fit(
    net: nn.Module,
    batches: Callable[[int], Iterable[Batch]],
    loss: Callable[[nn.Module, Batch], Tensor],
    validate: Callable[[nn.Module], Mapping[str, float]],
    config: FitConfig,
    progress: Callable[[int, Metrics], None] | None = None,
    split: Callable[[Batch], Batch] | None = None,
) -> FitResult:
    """Trains `net` in place; it ends with the best weights.

    It is left in evaluation mode.

    batches: an epoch's batches, on the network's device. loss: scalar; the parameters of one that is a module are
    trained too. validate: called with the averaged network in evaluation mode, without gradients. progress: told every
    epoch's metrics. split: this process's share of a batch, for several processes.
    Raises FloatingPointError when the loss is not finite, ValueError when the checkpoint is another run's, or for
    several processes without `split`.
    """
    if processes() > 1 and split is None:
        raise ValueError("training in several processes needs a way to split a batch")
    objective = _Objective(net, loss)
    parallel = objective if processes() == 1 else DistributedDataParallel(objective)
    run = _Run(net, copy.deepcopy(net), objective, parallel, _optimiser(objective, config), FitResult(), {})
    if config.checkpoint is not None and config.checkpoint.exists():
        _resume(run, config, config.checkpoint)
    result = run.result
    for epoch in range(len(result.history), config.epochs):
        if epoch - result.best_epoch > config.patience:
            break
        torch.manual_seed(config.seed * 1_000_003 + epoch + 7_919 * rank())
        drawn = batches(epoch) if split is None else map(split, batches(epoch))
        mean_loss = mean_over_processes(_train_epoch(run, drawn, config))
        run.averaged.eval()
        with torch.no_grad():
            metrics = as_the_first_has_them({"loss": mean_loss, **validate(run.averaged)})
        result.history.append(metrics)
        if result.best_epoch < 0 or metrics[config.metric] > result.best[config.metric]:
            result.best_epoch, result.best = epoch, metrics
            run.best_weights = {name: value.clone() for name, value in run.averaged.state_dict().items()}
        if rank() == 0:
            if config.checkpoint is not None:
                save_checkpoint(config.checkpoint, _checkpoint(run, config))
            if progress is not None:
                progress(epoch, metrics)
    net.load_state_dict(run.best_weights)
    net.eval()
    return result


class _Objective(nn.Module):
    """Network and loss as one module.

    So processes average the gradients of both, whatever of them is called.
    """

    def __init__(self, net: nn.Module, loss: Callable[[nn.Module, Any], Tensor]) -> None:
        super().__init__()
        self.net = net
        self.loss = loss

    def forward(self, batch: Any) -> Tensor:
        return self.loss(self.net, batch)

    def loss_state(self) -> dict[str, Tensor]:
        """Of a loss that is a module; nothing of another."""
        return self.loss.state_dict() if isinstance(self.loss, nn.Module) else {}


@dataclass(slots=True)
class _Run:
    """Everything that changes while training."""

    net: nn.Module
    averaged: nn.Module
    objective: _Objective
    parallel: nn.Module  # the objective, or what shares its gradients with the other processes
    optimiser: torch.optim.Optimizer
    result: FitResult
    best_weights: dict[str, Tensor]


def _optimiser(objective: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    """Weight decay on matrices and kernels only, not on biases and normalisation."""
    parameters = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True)
    kind = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, lr=config.learning_rate)


def _learning_rate(config: FitConfig, step: int, history: list[Metrics]) -> float:
    """`step` counts from 0 over the whole run."""
    per_epoch = config.steps_per_epoch
    metrics = [figures[config.metric] for figures in history]
    share = share_of_rate(config.schedule, step, config.warmup_epochs * per_epoch, config.epochs * per_epoch, metrics)
    return config.learning_rate * share


def _train_epoch(run: _Run, batches: Iterable[Any], config: FitConfig) -> float:
    """Returns the mean loss of this process's rows."""
    run.parallel.train()
    device = next(run.net.parameters()).device.type
    epoch = len(run.result.history)
    total, step = 0.0, -1
    for step, batch in enumerate(batches):
        done = epoch * config.steps_per_epoch + step
        for group in run.optimiser.param_groups:
            group["lr"] = _learning_rate(config, done, run.result.history)
        run.optimiser.zero_grad(set_to_none=True)
        with mixed_precision(device, config.bf16):
            value = run.parallel(batch)
        if not torch.isfinite(value):
            raise FloatingPointError(f"epoch {epoch}, step {step}: the loss is {value.item()}")
        value.backward()
        if config.clip_norm > 0:
            nn.utils.clip_grad_norm_(run.objective.parameters(), config.clip_norm)
        run.optimiser.step()
        _average(run, config.ema_decay, done)
        total += value.item()
    if step < 0:
        raise ValueError(f"epoch {epoch}: there is no batch to train on")
    return total / (step + 1)


@torch.no_grad()
def _average(run: _Run, decay: float, step: int) -> None:
    """Moves the averaged weights.

    The decay rises to its value, so that the first steps are soon forgotten.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    for average, trained in zip(run.averaged.state_dict().values(), run.net.state_dict().values(), strict=True):
        if average.is_floating_point():
            average.lerp_(trained, share)
        else:
            average.copy_(trained)


def _settings(config: FitConfig) -> dict[str, Any]:
    """What a resumed run must share with the one that was killed."""
    return {name: value for name, value in asdict(config).items() if name not in ("checkpoint", "patience")}


def _checkpoint(run: _Run, config: FitConfig) -> Checkpoint:
    tensors = {
        "net": dict(run.net.state_dict()),
        "loss": run.objective.loss_state(),
        "averaged": dict(run.averaged.state_dict()),
        "best": run.best_weights,
        "optimiser": {
            f"{index}/{name}": torch.as_tensor(value)
            for index, state in run.optimiser.state_dict()["state"].items()
            for name, value in state.items()
        },
    }
    return Checkpoint(_settings(config), asdict(run.result), tensors)


def _resume(run: _Run, config: FitConfig, path: Path) -> None:
    checkpoint = load_checkpoint(path)
    if checkpoint.settings != _settings(config):
        raise ValueError(f"{path}: written by a run with other settings; delete it or give another path")
    run.net.load_state_dict(checkpoint.tensors["net"])
    if isinstance(run.objective.loss, nn.Module):
        run.objective.loss.load_state_dict(checkpoint.tensors["loss"])
    run.averaged.load_state_dict(checkpoint.tensors["averaged"])
    run.best_weights = checkpoint.tensors["best"]
    run.result = FitResult(**checkpoint.result)
    state: defaultdict[int, dict[str, Tensor]] = defaultdict(dict)
    for name, value in checkpoint.tensors["optimiser"].items():
        index, _, key = name.partition("/")
        state[int(index)][key] = value
    run.optimiser.load_state_dict({**run.optimiser.state_dict(), "state": state})
