"""Figures of slices of the rows, and the gap between them.

Rows are sliced by sex, language, intensity or length; the gap is that between the best and the worst slice.

UAR is over the labels that every part has rows enough of, so that parts are compared on the same question.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_ROWS = 20
"""Smaller parts are not measured."""

LEAST_OF_LABEL = 5
"""Rows of a label in every part, for its recall to be compared."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One part: its rows, accuracy and UAR."""

    value: str
    n: int
    accuracy: float
    uar: float


@dataclass(frozen=True, slots=True)
class Sliced:
    """Figures of the slices of one property.

    parts: at least two. gap: the difference between the greatest and the least UAR.
    """

    parts: tuple[Slice, ...]
    gap: float


def sliced(
    predicted: NDArray[np.int64], truth: NDArray[np.int64], slices: Mapping[str, NDArray[np.str_]]
) -> dict[str, Sliced]:
    """Figures by slice, by property.

    predicted, truth: (rows,). slices: by name, (rows,) values. Properties without two slices of 20 rows, or without a
    label that both have enough rows of, are left out.
    """
    figures = {}
    for name, values in slices.items():
        masks = {value: values == value for value in np.unique(values) if (values == value).sum() >= LEAST_ROWS}
        if len(masks) < 2:
            continue
        shared = set.intersection(*(_labels_of(truth[rows]) for rows in masks.values()))
        if not shared:
            continue
        measured = tuple(_slice(str(value), predicted[rows], truth[rows], shared) for value, rows in masks.items())
        uars = [part.uar for part in measured]
        figures[name] = Sliced(measured, max(uars) - min(uars))
    return figures


def _labels_of(truth: NDArray[np.int64]) -> set[int]:
    """The labels with enough rows.

    The recall of two rows would make half of a gap.
    """
    labels, rows = np.unique(truth, return_counts=True)
    return {*labels[rows >= LEAST_OF_LABEL].tolist()}


def _slice(value: str, predicted: NDArray[np.int64], truth: NDArray[np.int64], labels: set[int]) -> Slice:
    recalls = [float((predicted[truth == label] == label).mean()) for label in sorted(labels)]
    return Slice(value, len(truth), float((predicted == truth).mean()), float(np.mean(recalls)))
