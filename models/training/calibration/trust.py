"""Fits trust in events to held-out logits for clean and corrupted ones.

The curve is the one under which the calibrated logits, each as sure as its event's quality lets it be, predict the
labels best. Labels weigh the same, and so do conditions: the ways in which events were corrupted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.calibration.trust import TrustCurve
from models.training.calibration.scaling import equal_label_weight, minimise
from models.training.part.held_out import HeldOutLogits

_RIDGE = 1e-3  # nats for standardised terms of 1; only against curves without a finite best
_SURE = 3.0  # where the curve starts from: trusts everything


def fit_reliability(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    qualities: Mapping[str, NDArray[np.float64]],
    condition: NDArray[np.str_],
) -> TrustCurve:
    """Fits the curve to logits whose labels are known.

    logits: (rows, 7). labels: (rows,). qualities: by name, (rows,). condition: (rows,) how each was corrupted, if at
    all.
    """
    names = list(qualities)
    terms = np.stack([v for name in names for v in (qualities[name], np.square(qualities[name]))], axis=1)
    centre, scale = terms.mean(axis=0), terms.std(axis=0).clip(1e-6)
    x = torch.from_numpy((terms - centre) / scale).double()
    z, y = torch.from_numpy(logits).double(), torch.from_numpy(labels)
    weight = torch.from_numpy(equal_label_weight(labels, condition))
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


def fit_trust(held_out: HeldOutLogits) -> TrustCurve:
    """Fits trust to every row; conditions and labels weigh the same."""
    emotion = held_out.emotion
    return fit_reliability(emotion.logits, emotion.labels, held_out.qualities, held_out.condition)


def trusted(held_out: HeldOutLogits, reliability: TrustCurve | None) -> HeldOutLogits:
    """The same rows, their logits scaled by the trust in their qualities."""
    if reliability is None:
        return held_out
    qualities = {name: torch.from_numpy(held_out.qualities[name]) for name in reliability.linear}
    trust = reliability.trust(qualities).numpy()[:, None]
    emotion = replace(held_out.emotion, logits=held_out.emotion.logits * trust)
    return replace(held_out, emotion=emotion, corpus_logits=held_out.corpus_logits * trust)
