"""Learning rate schedules: a linear warm-up, then cosine, steps or plateaus.

The rate follows from the step and from the metrics of the epochs done, never from a state of its own, so that a run
that goes on from a checkpoint goes on with the same rate.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Schedule:
    """Kind and parameters of a learning rate schedule.

    kind: `cosine` falls along half a cosine to zero (Loshchilov and Hutter, 2017); `step` is multiplied by `factor`
    every `every_epochs`; `plateau` is multiplied by `factor` after every `every_epochs` without a better metric.
    """

    kind: Literal["cosine", "step", "plateau"] = "cosine"
    factor: float = 0.3
    every_epochs: int = 10

    def __post_init__(self) -> None:
        """Raises ValueError for a schedule that would not lower the rate."""
        if self.kind not in ("cosine", "step", "plateau"):
            raise ValueError(f"Schedule.kind is cosine, step or plateau, not {self.kind!r}")
        if not 0 < self.factor < 1:
            raise ValueError(f"Schedule.factor must be between 0 and 1 (is {self.factor})")
        if self.every_epochs < 1:
            raise ValueError(f"Schedule.every_epochs must be at least 1 (is {self.every_epochs})")


def share_of_rate(
    schedule: Schedule, step: int, warmup_steps: float, steps: int, epoch_metrics: Sequence[float]
) -> float:
    """Factor of the full learning rate at a step.

    step: from 0, of the run's `steps`.

    epoch_metrics: what is maximised, of every epoch done.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if schedule.kind == "cosine":
        done = (step - warmup_steps) / max(1.0, steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    if schedule.kind == "step":
        return schedule.factor ** (len(epoch_metrics) // schedule.every_epochs)
    return schedule.factor ** _plateaus(epoch_metrics, schedule.every_epochs)


def _plateaus(epoch_metrics: Sequence[float], patience: int) -> int:
    """How often so many epochs went by without a better metric."""
    best, waited, plateaus = -math.inf, 0, 0
    for metric in epoch_metrics:
        if metric > best:
            best, waited = metric, 0
            continue
        waited += 1
        if waited == patience:
            waited, plateaus = 0, plateaus + 1
    return plateaus
