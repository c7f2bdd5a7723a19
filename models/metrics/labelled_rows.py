"""Labelled rows: windows with their events and their labels.

`models.evaluation.corpus_rows` reads them from known corpora, `models.evaluation.user_rows` from a user's manifest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


class EvaluationError(ValueError):
    """What cannot be measured: a corpus, split, task or modality.

    The message says why.
    """


@dataclass(frozen=True, slots=True, eq=False)
class LabelledRows:
    """Labelled rows of one task.

    task: "emotion", "expression" or a risk. labels: names, in the order of the answer. units: by modality, each row's
    events before `prepare`, none for a row that lacks it. truth: (rows,) index of the label, -1 for a row that has
    several. shares: (rows, 7) labels of rows that may have several, else None. groups: (rows,) what makes rows alike (a
    speaker, a dialogue). slices: by name, (rows,) values that figures are broken down by. notes: what was left out.
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
        """The same rows without a modality."""
        return replace(self, units={name: units for name, units in self.units.items() if name != modality})
