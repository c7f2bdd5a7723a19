"""What is measured: rows, each a window with what it shows and what it is said to be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class EvaluationError(ValueError):
    """A corpus, split, task or modality that cannot be measured; the message says what there is."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRows:
    """What is to be measured.

    task: "emotion", "expression" or a risk. labels: names, in the order of the answer. units: by modality, each row's
    events before `prepare`, none for a row that lacks it. truth: (rows,) index of the label, -1 for a row that has
    several. shares: (rows, 7) labels of rows that may have several, else None. groups: (rows,) what rows are alike by
    (a speaker, a dialogue). slices: by name, (rows,) what figures may be broken down by. notes: what was left out.
    """

    task: str
    labels: tuple[str, ...]
    units: Mapping[str, Sequence[Sequence[Any]]]
    truth: NDArray[np.int64]
    shares: NDArray[np.float64] | None = None
    groups: NDArray[np.str_] | None = None
    slices: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def without(self, modality: str | None) -> Self:
        """The same rows less a modality."""
        return replace(self, units={name: units for name, units in self.units.items() if name != modality})
