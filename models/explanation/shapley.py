"""Exact Shapley values of the modalities.

Problem: how much a face matters depends on whether the voice has said the same already. Rule: the worth of a set of
modalities is what is answered from them alone; a modality's value is what it adds to the worth, averaged over all
orders in which the modalities could have come in. So the values add up to the worth of all less that of none,
modalities that say the same share alike, and one that changes nothing gets nothing. Of three modalities there are eight
sets, which are all asked about in one batched call. Left out: which events of a modality it was
(`models.explanation.attribution`).
"""

from math import factorial

import torch
from torch import Tensor


def coalitions(modalities: int) -> Tensor:
    """Every coalition of modalities: (2 ** modalities, modalities) bool.

    The first holds none, the last holds all.
    """
    sets = torch.arange(2**modalities)[:, None]
    return (sets >> torch.arange(modalities)) & 1 == 1


def shapley_values(worth: Tensor) -> Tensor:
    """Exact Shapley values: (modalities, rows).

    values: (2 ** modalities, rows) of the coalitions, in the order of `coalitions`; the result has the same type.
    Raises ValueError for another number of coalitions.
    """
    modalities = (len(worth) - 1).bit_length()
    if len(worth) != 2**modalities:
        raise ValueError(f"there are 2, 4, 8, ... sets of modalities, not {len(worth)}")
    held = coalitions(modalities)
    sizes = held.sum(dim=1)
    orders = torch.tensor([factorial(k) for k in range(modalities + 1)], dtype=worth.dtype, device=worth.device)
    values = []
    for modality in range(modalities):
        without = torch.nonzero(~held[:, modality]).squeeze(1)
        before = sizes[without]
        share = orders[before] * orders[modalities - 1 - before] / orders[modalities]
        added = worth[without + 2**modality] - worth[without]
        values.append((share[:, None] * added).sum(dim=0))
    return torch.stack(values)
