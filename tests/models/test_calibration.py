"""Calibration makes probabilities mean what they say, for labels equally likely beforehand."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.calibration.scaling import PlattScaling, TemperatureScaling
from models.labels import EMOTIONS
from models.training.calibration.scaling import equal_label_weight, fit_platt, fit_temperature

pytestmark = pytest.mark.unit


def drawn(rows: int, overconfident: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits whose posterior is right, times `overconfident`, and labels drawn from that posterior."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (rows, len(EMOTIONS)))
    posterior = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(len(EMOTIONS), p=row) for row in posterior])
    return (logits * overconfident).astype(np.float32), labels


def test_overconfident_answers_get_the_temperature_that_tempers_them() -> None:
    logits, labels = drawn(6000, overconfident=2.5)
    fitted = fit_temperature(logits, labels, equal_label_weight(labels))
    assert fitted.temperature == pytest.approx(2.5, rel=0.1)
    assert max(map(abs, fitted.bias)) < 0.2


def test_biases_sum_to_nothing_so_that_only_their_differences_are_kept() -> None:
    logits, labels = drawn(500, overconfident=1)
    assert sum(fit_temperature(logits, labels, equal_label_weight(labels)).bias) == pytest.approx(0, abs=1e-6)


def test_a_log_posterior_sums_to_one_and_keeps_the_order_without_bias() -> None:
    logits = torch.tensor([[3.0, 1.0, 0.5, 0.2, 0.1, 0.0, -9.0]])
    log_posterior = TemperatureScaling(temperature=2.0, bias=(0.0,) * 7).log_posterior(logits)
    assert log_posterior.exp().sum().item() == pytest.approx(1)
    assert log_posterior.argsort().equal(logits.argsort())


def test_a_head_that_is_a_step_too_high_is_moved_back() -> None:
    rng = np.random.default_rng(1)
    labels = rng.random(4000) < 0.5
    logits = np.where(labels, 1.0, -1.0) + rng.logistic(0, 1, 4000) * 0.5 + 3
    fitted = fit_platt(logits.astype(np.float32), labels, np.full(4000, 1 / 4000))
    probability = fitted.probability(torch.from_numpy(logits)).numpy()
    assert probability.mean() == pytest.approx(0.5, abs=0.03)


def test_a_higher_logit_is_a_higher_risk() -> None:
    probability = PlattScaling(slope=0.3, intercept=-4.0).probability(torch.linspace(-5, 5, 11))
    assert (probability.diff() > 0).all()


def test_a_head_without_both_answers_cannot_be_calibrated() -> None:
    with pytest.raises(ValueError, match="with and without risk"):
        fit_platt(np.zeros(3, np.float32), np.ones(3, np.bool_), np.full(3, 1 / 3))


def test_labels_weigh_the_same_and_so_do_the_corpora_of_a_label() -> None:
    labels = np.array([0, 0, 0, 1])
    corpora = np.array(["a", "a", "b", "a"])
    assert equal_label_weight(labels, corpora).tolist() == pytest.approx([0.125, 0.125, 0.25, 0.5])
