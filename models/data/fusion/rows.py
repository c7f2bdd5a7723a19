"""Rows for fusion: steps of every modality, targets, groups.

The rows of one group (a video's utterances, an actor's clips) are side by side and in order of time, since some
strategies read a group's past; a group is also what must never be cut in two by a split. A label that is not known is
marked, not left out, so that one row may serve some tasks and not others. Left out: where rows come from
(`models.data.fusion.corpora`), and any change of their values.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

Steps = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Steps (rows, time, width), finite, and which of them there are, (rows, time); a row without any lacks the modality.
"""

Targets = NDArray[np.int64] | NDArray[np.float32]
"""Classes (rows,) with -1 where not known, or values (rows, k) with NaN where not known."""


@dataclass(frozen=True, slots=True, eq=False)
class FusionRows:
    """Steps, targets and groups of rows.

    inputs: by modality. targets: by task. group, ids: (rows,) str. Raises ValueError where lengths or the order of
    groups do not hold.
    """

    inputs: Mapping[str, Steps]
    targets: Mapping[str, Targets]
    group: NDArray[np.str_]
    ids: NDArray[np.str_]

    def __post_init__(self) -> None:
        for modality, (steps, mask) in self.inputs.items():
            if steps.ndim != 3 or mask.shape != steps.shape[:2] or len(steps) != len(self.ids):
                shapes = f"{steps.shape} and {mask.shape} for {len(self.ids)} rows"
                raise ValueError(
                    f"{modality}: steps and mask must be (rows, time, width) and (rows, time), are {shapes}"
                )
        for task, target in self.targets.items():
            if len(target) != len(self.ids):
                raise ValueError(f"{task}: {len(target)} targets for {len(self.ids)} rows")
        if len(self.group) != len(self.ids):
            raise ValueError(f"{len(self.group)} groups for {len(self.ids)} rows")
        starts = self.group[np.flatnonzero(self._starts())]
        if len(np.unique(starts)) != len(starts):
            raise ValueError("the rows of a group must be side by side")

    def __len__(self) -> int:
        return len(self.ids)

    def _starts(self) -> NDArray[np.bool_]:
        """(rows,) whether a row is the first of its group."""
        starts = np.ones(len(self.group), dtype=bool)
        starts[1:] = self.group[1:] != self.group[:-1]
        return starts

    @property
    def session(self) -> NDArray[np.int64]:
        """The number of each row's group, (rows,), from 0 in order."""
        return np.cumsum(self._starts()) - 1

    def rows(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        """Those rows, in the order of `index`: (n,) places or (rows,) bool.

        Raises ValueError if a group's are then no longer side by side.
        """
        return type(self)(
            inputs={name: (steps[index], mask[index]) for name, (steps, mask) in self.inputs.items()},
            targets={name: target[index] for name, target in self.targets.items()},
            group=self.group[index],
            ids=self.ids[index],
        )

    def with_inputs(self, inputs: Mapping[str, Steps]) -> Self:
        """The same rows with other steps."""
        return replace(self, inputs=inputs)

    def without(self, modality: str) -> Self:
        """The same rows, `modality` absent from each."""
        steps, mask = self.inputs[modality]
        return self.with_inputs({**self.inputs, modality: (steps, np.zeros_like(mask))})
