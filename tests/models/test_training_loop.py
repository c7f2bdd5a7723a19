"""The training loop: learns, stops early, and a killed run ends where an unbroken one does."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.training.loop.fit import FitConfig, fit
from models.training.loop.losses import JointLoss

pytestmark = pytest.mark.unit

_WEIGHTS = torch.tensor([[1.0], [-2.0], [0.5]])
_VALID = torch.randn(64, 3, generator=torch.Generator().manual_seed(99))
_CONFIG = FitConfig(epochs=4, steps_per_epoch=8, metric="fit", learning_rate=0.05, ema_decay=0.9)


def _net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1))


def _batches(epoch: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(8):
        yield torch.randn(16, 3, generator=generator)


def _loss(net: nn.Module, batch: Tensor) -> Tensor:
    return nn.functional.mse_loss(net(batch), batch @ _WEIGHTS)


def _validate(net: nn.Module) -> dict[str, float]:
    return {"fit": -float(nn.functional.mse_loss(net(_VALID), _VALID @ _WEIGHTS))}


class _Killed(Exception):
    pass


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_a_killed_run_resumes_to_the_weights_of_an_unbroken_one(tmp_path: Path, optimiser: str) -> None:
    config = replace(_CONFIG, optimiser=optimiser)  # type: ignore[arg-type]
    unbroken = _net()
    expected = fit(unbroken, _batches, _loss, _validate, config)

    def kill(epoch: int, _: dict[str, float]) -> None:
        if epoch == 1:
            raise _Killed

    config = replace(config, checkpoint=tmp_path / "run.safetensors")
    with pytest.raises(_Killed):
        fit(_net(), _batches, _loss, _validate, config, progress=kill)
    resumed, epochs = _net(), []
    result = fit(resumed, _batches, _loss, _validate, config, progress=lambda epoch, _: epochs.append(epoch))

    assert epochs == [2, 3]
    assert result == expected
    for name, value in unbroken.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_loss_with_weights_of_its_own_resumes_with_them(tmp_path: Path) -> None:
    config = replace(_CONFIG, checkpoint=tmp_path / "run.safetensors")
    unbroken = JointLoss({"only": _loss})
    fit(_net(), _batches, unbroken, _validate, _CONFIG)

    def kill(epoch: int, _: dict[str, float]) -> None:
        raise _Killed

    with pytest.raises(_Killed):
        fit(_net(), _batches, JointLoss({"only": _loss}), _validate, config, progress=kill)
    resumed = JointLoss({"only": _loss})
    fit(_net(), _batches, resumed, _validate, config)
    assert resumed.weights() == unbroken.weights()
    assert resumed.weights()["only"] != 1.0


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    config = replace(_CONFIG, checkpoint=tmp_path / "run.safetensors")
    first = fit(_net(), _batches, _loss, _validate, config)

    def no_batches(epoch: int) -> Iterator[Tensor]:
        raise AssertionError(f"epoch {epoch} was trained again")

    assert fit(_net(), no_batches, _loss, _validate, config) == first


def test_the_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    config = replace(_CONFIG, checkpoint=tmp_path / "run.safetensors")
    fit(_net(), _batches, _loss, _validate, config)
    with pytest.raises(ValueError, match=r"run\.safetensors: written by a run with other settings"):
        fit(_net(), _batches, _loss, _validate, replace(config, learning_rate=0.01))


def test_training_lowers_the_loss_and_the_best_metric_is_the_largest() -> None:
    result = fit(_net(), _batches, _loss, _validate, replace(_CONFIG, epochs=10))
    assert result.history[-1]["loss"] < 0.5 * result.history[0]["loss"]
    assert result.best["fit"] == max(metrics["fit"] for metrics in result.history)
    assert result.history[result.best_epoch] == result.best


def test_the_best_weights_are_kept_when_later_epochs_are_worse() -> None:
    scores = iter([0.1, 0.9, 0.3, 0.2, 0.1, 0.0])
    judged: list[dict[str, Tensor]] = []

    def validate(net: nn.Module) -> dict[str, float]:
        judged.append({name: value.clone() for name, value in net.state_dict().items()})
        return {"fit": next(scores)}

    net = _net()
    result = fit(net, _batches, _loss, validate, replace(_CONFIG, epochs=6, patience=2))
    assert (result.best_epoch, len(result.history)) == (1, 4)
    assert not net.training
    for name, value in net.state_dict().items():
        assert torch.equal(value, judged[1][name]), name


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step() -> None:
    with pytest.raises(FloatingPointError, match="epoch 0, step 0"):
        fit(_net(), _batches, lambda net, batch: net(batch).sum() * float("nan"), _validate, _CONFIG)


def test_an_epoch_without_batches_is_an_error() -> None:
    with pytest.raises(ValueError, match="no batch"):
        fit(_net(), lambda epoch: iter(()), _loss, _validate, _CONFIG)
