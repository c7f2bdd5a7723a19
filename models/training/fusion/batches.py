"""Rows to fuse, as batches on a device.

Problem: strategies that read the past need a session's windows together, others learn better from rows mixed. Rule:
units (rows, or whole sessions) are shuffled and cut where their rows pass a multiple of the batch size, so that an
epoch has at most the batches that its rows make, and no session is cut in two. Left out: padding; rows come as wide as
they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.data.fusion.rows import FusionRows
from models.fusion.strategies.interface import ModalitySteps


@dataclass(frozen=True, slots=True, eq=False)
class FusionBatch:
    """Some windows.

    inputs: by modality. session: (rows,) int. targets: by task, (rows,) int with -1 where not known, or (rows, outputs)
    float with NaN where not known.
    """

    inputs: Mapping[str, ModalitySteps]
    session: Tensor
    targets: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.session)

    @property
    def present(self) -> Tensor:
        """(rows, modalities) bool."""
        return torch.stack([each.present for each in self.inputs.values()], dim=1)

    def kept(self, keep: Tensor) -> Self:
        """The same without the modalities where `keep`, (rows, modalities) bool, is false."""
        kept = {name: each.masked_by(keep[:, i]) for i, (name, each) in enumerate(self.inputs.items())}
        return replace(self, inputs=kept)

    def rows(self, index: Tensor) -> Self:
        """index: (chosen,) int."""
        return type(self)(
            {name: ModalitySteps(each.steps[index], each.mask[index]) for name, each in self.inputs.items()},
            self.session[index],
            {task: target[index] for task, target in self.targets.items()},
        )


def whole_batch(rows: FusionRows, modalities: Mapping[str, int], tasks: Mapping[str, int], device: str) -> FusionBatch:
    """All rows as one batch, of a strategy's modalities and tasks.

    modalities: the width of a step by name.

    Raises ValueError where there are no rows, or for one that they do not have, or have in another width.
    """
    if not len(rows):
        raise ValueError("there is no row")
    for name, width in modalities.items():
        found = rows.inputs[name][0].shape[2] if name in rows.inputs else None
        if found != width:
            raise ValueError(f"rows have steps of {name} of width {found}, not {width}")
    if not set(tasks) <= set(rows.targets):
        raise ValueError(f"rows have targets for {', '.join(rows.targets)}, not for all of {', '.join(tasks)}")
    return FusionBatch(
        {
            name: ModalitySteps(*(torch.from_numpy(part).to(device) for part in rows.inputs[name]))
            for name in modalities
        },
        torch.from_numpy(rows.session).to(device),
        {task: torch.from_numpy(rows.targets[task]).to(device) for task in tasks},
    )


def batches(
    whole: FusionBatch, size: int, whole_sessions: bool, rng: np.random.Generator | None = None
) -> Iterator[FusionBatch]:
    """Every row once, about `size` rows at a time.

    In order without `rng`, shuffled with it.
    """
    starts, lengths = _units(whole, whole_sessions)
    order = np.arange(len(starts)) if rng is None else rng.permutation(len(starts))
    starts, lengths = starts[order], lengths[order]
    batch_of = (np.cumsum(lengths) - lengths) // size
    for number in np.unique(batch_of):
        units = np.flatnonzero(batch_of == number)
        index = np.concatenate([np.arange(starts[unit], starts[unit] + lengths[unit]) for unit in units])
        yield whole.rows(torch.from_numpy(index).to(whole.session.device))


def _units(whole: FusionBatch, whole_sessions: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First row and number of rows of each."""
    if not whole_sessions:
        return np.arange(len(whole)), np.ones(len(whole), np.int64)
    lengths = torch.unique_consecutive(whole.session.cpu(), return_counts=True)[1].numpy()
    return np.cumsum(lengths) - lengths, lengths
