"""Fits how far events can be trusted to answers that networks gave to spoilt and unspoilt events they had not seen.

The curve is the one under which the calibrated answers, each as sure as its event's quality lets it be, predict the
labels best. Labels weigh the same, and so do the ways in which events were spoilt.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.calibration.trust import TrustCurve
from models.training.calibration.scaling import equal_label_weight, minimise

Arrays = Mapping[str, NDArray[Any]]

_RIDGE = 1e-3  # nats for standardised terms of 1; only against curves without a finite best
_SURE = 3.0  # where the curve starts from: trusts everything


def fit_reliability(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    qualities: Mapping[str, NDArray[np.float32]],
    spoilt: NDArray[np.str_],
) -> TrustCurve:
    """logits: (rows, 7). labels: (rows,). qualities: by name, (rows,). spoilt: (rows,) how, if at all."""
    names = list(qualities)
    terms = np.stack([v for name in names for v in (qualities[name], np.square(qualities[name]))], axis=1)
    centre, scale = terms.mean(axis=0), terms.std(axis=0).clip(1e-6)
    x = torch.from_numpy((terms - centre) / scale).double()
    z, y = torch.from_numpy(logits).double(), torch.from_numpy(labels)
    weight = torch.from_numpy(equal_label_weight(labels, spoilt))
    parameters = torch.zeros(2 + x.shape[1], dtype=torch.float64)
    parameters[0] = _SURE
    parameters.requires_grad_(True)

    def loss() -> torch.Tensor:
        trust = torch.sigmoid(parameters[0] + x @ parameters[2:])
        scaled = z * trust[:, None] * torch.exp(parameters[1])
        losses = functional.cross_entropy(scaled, y, reduction="none")
        return (weight * losses).sum() + _RIDGE * parameters.square().mean()

    minimise(loss, [parameters])
    intercept, _, *slopes = parameters.detach().tolist()
    return _unscaled(names, intercept, np.array(slopes), centre, scale)


def _unscaled(
    names: Sequence[str],
    intercept: float,
    slopes: NDArray[np.float64],
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
) -> TrustCurve:
    """The curve in the qualities' own units."""
    each = slopes / scale
    rounded = [round(float(value), 6) for value in each]
    return TrustCurve(
        intercept=round(intercept - float((each * centre).sum()), 4),
        linear=dict(zip(names, rounded[0::2], strict=True)),
        quadratic=dict(zip(names, rounded[1::2], strict=True)),
    )


def trusted(arrays: Arrays, reliability: TrustCurve | None) -> dict[str, NDArray[Any]]:
    """A part's answers as sure as the qualities that stand beside them let them be."""
    if reliability is None:
        return dict(arrays)
    trust = reliability.trust({name: torch.from_numpy(arrays[name]) for name in reliability.linear}).numpy()
    return {**arrays, "logits7": arrays["logits7"] * trust[:, None]}
