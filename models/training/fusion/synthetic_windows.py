"""Synthetic windows: one held-out row of each modality, put together by label.

Problem: no corpus here has face, voice and text of the same moment. Rule: a label is drawn, every label as likely, and
for each modality the logits of a row with that label; then a random subset of the modalities is present. Left out: what
modalities share beyond the label, and how often each emotion really occurs, which are not in the data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from models.calibration.scaling import TemperatureScaling
from models.labels import EMOTIONS, MODALITIES
from models.training.calibration.scaling import equal_label_weight
from models.training.part.held_out import EmotionLogits

SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(MODALITIES, size)]

WINDOWS = 14_000
"""Drawn for each fit and for each measurement."""


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticWindows:
    """Windows put together by label.

    labels: (windows,). log_posterior: (3, windows, 7) float64, calibrated. present: (3, windows) bool.
    """

    labels: NDArray[np.int64]
    log_posterior: torch.Tensor
    present: torch.Tensor


def synthetic_windows(
    held_out: Mapping[str, EmotionLogits], calibration: Mapping[str, TemperatureScaling], rng: np.random.Generator
) -> SyntheticWindows:
    """Draws labels, a row of each modality, and which are present."""
    labels = rng.integers(len(EMOTIONS), size=WINDOWS)
    drawn = [calibration[m].log_posterior(torch.from_numpy(_draw(held_out[m], labels, rng))) for m in MODALITIES]
    subset = rng.integers(len(SUBSETS), size=WINDOWS)
    present = np.array([[name in each for each in SUBSETS] for name in MODALITIES])
    return SyntheticWindows(labels, torch.stack(drawn), torch.from_numpy(present[:, subset]))


def _draw(held_out: EmotionLogits, labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draws, for each label, the logits of one row of it.

    The corpora that have the label are equally likely.
    """
    weight = equal_label_weight(held_out.labels, held_out.corpus)
    logits = np.empty((len(labels), len(EMOTIONS)), np.float32)
    for label in range(len(EMOTIONS)):
        rows = np.flatnonzero(held_out.labels == label)
        wanted = labels == label
        share = weight[rows] / weight[rows].sum()
        logits[wanted] = held_out.logits[rng.choice(rows, size=int(wanted.sum()), p=share)]
    return logits
