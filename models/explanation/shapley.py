"""What each modality adds to an answer, shared out fairly: exact Shapley values (Shapley, 1953).

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
    """(2 ** modalities, modalities) bool: every set of them; the first holds none, the last holds all."""
    sets = torch.arange(2**modalities)[:, None]
    return (sets >> torch.arange(modalities)) & 1 == 1


def shapley_values(worth: Tensor) -> Tensor:
    """worth: (2 ** modalities, rows), in the order of `coalitions`. Returns (modalities, rows) of the same type."""
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
