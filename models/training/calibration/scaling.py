"""Fits temperature and Platt scaling to held-out logits, labels weighing the same.

Weighing labels equally makes the fitted posterior that of equally likely labels, whatever the corpus's own frequencies.
A ridge keeps the biases of labels with few rows near nothing.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.calibration.scaling import PlattScaling, TemperatureScaling, bounded_temperature
from models.labels import EMOTIONS

Floats = NDArray[np.float64]
_RIDGE = 0.1  # nats for a bias of 1 in every label; the best cross-validated loss among 0, 0.02 and 0.1
_CURVE_RIDGE = 0.002  # the same for a curve's slope and intercept; only against curves without a finite best
_STEPS = 100


def fit_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64], weight: Floats) -> TemperatureScaling:
    """Fits one temperature and a bias for each emotion.

    logits: (rows, 7); labels: (rows,); weight: (rows,), summing to 1. Every label needs a row.
    """
    x, y, w = torch.from_numpy(logits).double(), torch.from_numpy(labels), torch.from_numpy(weight)
    parameters = torch.zeros(1 + len(EMOTIONS), dtype=torch.float64, requires_grad=True)

    def loss() -> torch.Tensor:
        scaled = x * torch.exp(-parameters[0]) + parameters[1:]
        losses = functional.cross_entropy(scaled, y, reduction="none")
        return (w * losses).sum() + _RIDGE * parameters[1:].square().mean()

    minimise(loss, [parameters])
    temperature, *bias = parameters.detach().tolist()
    mean = sum(bias) / len(bias)
    return TemperatureScaling(
        temperature=bounded_temperature(float(np.exp(temperature))), bias=tuple(b - mean for b in bias)
    )


def fit_platt(logits: NDArray[np.float32], labels: NDArray[np.bool_], weight: Floats) -> PlattScaling:
    """Fits a logistic curve for one risk head.

    logits, labels, weight: (rows,); risk and no risk should weigh the same. Raises ValueError for one label only.
    """
    if labels.all() or not labels.any():
        raise ValueError("a risk head is calibrated on rows with and without risk")
    x, y, w = torch.from_numpy(logits).double(), torch.from_numpy(labels).double(), torch.from_numpy(weight)
    parameters = torch.zeros(2, dtype=torch.float64, requires_grad=True)

    def loss() -> torch.Tensor:
        scaled = x * torch.exp(parameters[0]) + parameters[1]
        losses = functional.binary_cross_entropy_with_logits(scaled, y, reduction="none")
        return (w * losses).sum() + _CURVE_RIDGE * parameters.square().mean()

    minimise(loss, [parameters])
    slope, intercept = parameters.detach().tolist()
    return PlattScaling(slope=float(np.exp(slope)), intercept=intercept)


def equal_label_weight(labels: NDArray[np.int64], groups: NDArray[np.str_] | None = None) -> Floats:
    """Weights (rows,), summing to 1, under which labels weigh the same.

    Within a label, the groups (corpora) that have it weigh the same.
    """
    keys = labels.astype(str) if groups is None else np.char.add(np.char.add(labels.astype(str), "/"), groups)
    weight = np.zeros(len(labels), np.float64)
    for label in np.unique(labels):
        inside = np.unique(keys[labels == label])
        for key in inside:
            rows = (labels == label) & (keys == key)
            weight[rows] = 1 / (len(inside) * rows.sum())
    total: Floats = weight / weight.sum()
    return total


def minimise(loss: Callable[[], torch.Tensor], parameters: list[torch.Tensor]) -> None:
    """Moves the parameters to a minimum of a smooth loss (L-BFGS)."""
    optimiser = torch.optim.LBFGS(parameters, max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    optimiser.step(closure)  # type: ignore[no-untyped-call]
