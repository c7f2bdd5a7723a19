"""Losses and schedules: what each reduces to, and what is learned beside the network."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.loop.fit import FitConfig, fit
from models.training.loop.losses import JointLoss, balanced_class_weights, distribution_loss, focal_loss
from models.training.loop.schedule import Schedule, share_of_rate

pytestmark = pytest.mark.unit

_LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.1, 0.0], [-1.0, 3.0, 0.0]])
_LABELS = torch.tensor([0, 2, 1])


def test_class_weights_make_classes_weigh_the_same_and_rows_one_on_average() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [3])
    weights = balanced_class_weights(labels, 4)
    totals = np.bincount(labels, minlength=4) * weights.numpy()
    assert totals[[0, 1, 3]] == pytest.approx([10 / 3] * 3)
    assert weights[2] == 0
    assert balanced_class_weights(labels, 4, power=0.0).tolist() == [1, 1, 1, 1]


def test_focal_loss_is_cross_entropy_without_focus_and_turns_to_hard_rows_with_it() -> None:
    plain = functional.cross_entropy(_LOGITS, _LABELS)
    torch.testing.assert_close(focal_loss(_LOGITS, _LABELS, gamma=0.0), plain)
    easy, hard = (focal_loss(_LOGITS[[row]], _LABELS[[row]]) for row in (2, 1))
    assert hard / easy > functional.cross_entropy(_LOGITS[[1]], _LABELS[[1]]) / functional.cross_entropy(
        _LOGITS[[2]], _LABELS[[2]]
    )
    weighted = focal_loss(_LOGITS, _LABELS, 0.0, torch.tensor([0.0, 0.0, 3.0]))
    torch.testing.assert_close(weighted, functional.cross_entropy(_LOGITS[[1]], _LABELS[[1]]))


def test_distribution_loss_is_nothing_exactly_at_the_votes() -> None:
    shares = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.5, 0.5]])
    assert float(distribution_loss((shares + 1e-30).log(), shares)) == pytest.approx(0, abs=1e-6)
    assert float(distribution_loss(torch.zeros(2, 3), shares)) > 0.1


def _task(value: float) -> Callable[[nn.Module, Tensor], Tensor]:
    return lambda net, batch: torch.as_tensor(value + 0 * net(batch).sum())


def test_fixed_weights_add_up_losses_and_are_given_for_every_task() -> None:
    tasks = {"emotion": _task(2.0), "risk": _task(0.5)}
    net, batch = nn.Linear(1, 1), torch.ones(1, 1)
    assert JointLoss(tasks, {"emotion": 1.0, "risk": 4.0})(net, batch).item() == pytest.approx(4.0)
    with pytest.raises(ValueError, match="emotion, risk"):
        JointLoss(tasks, {"emotion": 1.0})


def test_learned_weights_go_to_one_over_twice_each_tasks_loss() -> None:
    """The minimum of exp(-s) * loss + s / 2 is at exp(-s) = 1 / (2 * loss)."""
    joint = JointLoss({"clear": _task(0.25), "noisy": _task(2.0)})

    def batches(epoch: int) -> list[Tensor]:
        return [torch.ones(1, 1)] * 50

    config = FitConfig(8, 50, "none", optimiser="adam", learning_rate=0.05)
    fit(nn.Linear(1, 1), batches, joint, lambda net: {"none": 0.0}, config)
    assert joint.weights() == pytest.approx({"clear": 2.0, "noisy": 0.25}, rel=0.05)


def _rates(schedule: Schedule, metrics: list[float]) -> list[float]:
    """At the start of each epoch of ten steps."""
    return [share_of_rate(schedule, 10 * epoch, 0, 10 * len(metrics), metrics[:epoch]) for epoch in range(len(metrics))]


def test_the_rate_rises_through_warm_up_then_follows_its_schedule() -> None:
    warm = [share_of_rate(Schedule(), step, 4, 40, []) for step in range(5)]
    assert warm == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert _rates(Schedule("cosine"), [0.0] * 4)[2] == pytest.approx(0.5)
    assert _rates(Schedule("step", factor=0.1, every_epochs=2), [0.0] * 5) == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_a_plateau_lowers_the_rate_after_so_many_epochs_without_a_better_metric() -> None:
    metrics = [0.5, 0.6, 0.6, 0.59, 0.7, 0.6, 0.6, 0.6, 0.6]
    rates = _rates(Schedule("plateau", factor=0.5, every_epochs=2), metrics)
    assert rates == pytest.approx([1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25])


@pytest.mark.parametrize("wrong", [{"kind": "linear"}, {"factor": 1.0}, {"every_epochs": 0}])
def test_a_schedule_that_cannot_be_followed_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"Schedule.{next(iter(wrong))}"):
        replace(Schedule(), **wrong)  # type: ignore[arg-type]
