"""Trains any fusion strategy on any rows.

An epoch is judged by `models.training.fusion.validation` on the rows held out, or, without these, by the loss on the
rows trained on. Contrastive training, where it is asked for, comes first and leaves nothing but the branches' weights.
Left out: calibration, which is fitted afterwards on rows held out; several processes, since rows are few.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from models.data.fusion.rows import FusionRows
from models.fusion.strategies.branches import BranchedFusion
from models.fusion.strategies.interface import FusionConfig, FusionStrategy
from models.fusion.strategies.registry import build_strategy
from models.training.fusion.batches import FusionBatch, batches, whole_batch
from models.training.fusion.contrast import ContrastLoss
from models.training.fusion.loss import FusionLoss
from models.training.fusion.options import FusionTraining
from models.training.fusion.validation import score
from models.training.loop.fit import FitConfig, Metrics, fit
from models.training.loop.run_digest import run_digest, settings_of

__all__ = ["FusionTraining", "train_fusion"]


def train_fusion(
    strategy: str,
    config: FusionConfig,
    train: FusionRows,
    valid: FusionRows | None,
    training: FusionTraining,
    seed: int,
    progress: Callable[[int, Metrics], None] | None = None,
) -> FusionStrategy:
    """Trains a strategy, and returns it with its best epoch's weights.

    It is in evaluation mode, on the training's device.

    Tasks whose targets are floating-point are taken for regressions, whatever the configuration says. progress: told
    every epoch's metrics. Raises ValueError for an unknown strategy, rows that do not fit the configuration, and
    options that do not fit the strategy.
    """
    torch.manual_seed(seed)
    numbers = tuple(task for task in config.outputs if task in train.targets and train.targets[task].dtype.kind == "f")
    net = build_strategy(strategy, replace(config, regressions=numbers)).to(training.device)
    if not isinstance(net, BranchedFusion):
        raise TypeError(f"{strategy} has no branches to train")
    trained = whole_batch(train, config.widths, config.outputs, training.device)
    held_out = None if valid is None else whole_batch(valid, config.widths, config.outputs, training.device)
    loss = FusionLoss(net, training, trained).to(training.device)
    contrast = ContrastLoss(net.modalities, config.hidden).to(training.device)

    def drawn(epoch: int) -> Iterator[FusionBatch]:
        return batches(trained, training.batch_rows, net.reads_session, np.random.default_rng((seed, epoch)))

    def in_order(rows: FusionBatch) -> Iterator[FusionBatch]:
        return batches(rows, training.batch_rows, net.reads_session)

    def contrast_score(averaged: nn.Module) -> Metrics:
        rows = trained if held_out is None else held_out
        return {"score": -float(np.mean([contrast(averaged, batch).item() for batch in in_order(rows)]))}

    def task_score(averaged: nn.Module) -> Metrics:
        if held_out is not None:
            return score(averaged, in_order(held_out))
        return {"score": -float(np.mean([loss.of_tasks(averaged, batch).item() for batch in in_order(trained)]))}

    settings = settings_of(net.config) | settings_of(training, but=("device", "checkpoints"))
    digest = run_digest(settings | {"strategy": strategy, "seed": seed}, [train, valid])

    def fit_config(phase: str, epochs: int) -> FitConfig:
        return FitConfig(
            epochs=epochs,
            steps_per_epoch=math.ceil(len(trained) / training.batch_rows),
            metric="score",
            learning_rate=training.learning_rate,
            weight_decay=training.weight_decay,
            patience=training.patience,
            seed=seed,
            checkpoint=training.checkpoints and training.checkpoints / f"{strategy}-{digest}-{phase}.safetensors",
        )

    if training.contrast_epochs:
        fit(net, drawn, contrast, contrast_score, fit_config("contrast", training.contrast_epochs), progress)
    with loss.modulation.applied_to(net):
        fit(net, drawn, loss, task_score, fit_config("tasks", training.epochs), progress)
    return net
