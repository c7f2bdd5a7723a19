"""Exact Shapley values of the modalities.

Problem: how much a face matters depends on whether the voice shows the same already. Rule: the value of a coalition is
the score from its modalities alone; a modality's Shapley value (Shapley, 1953) is its marginal contribution, averaged
over all orders in which the modalities could come in. So the values add up to the value of all modalities less that of
none, modalities that show the same share equally, and one that changes nothing gets nothing. Three modalities have
eight coalitions, which are all fused in one batched call. Left out: which events of a modality it was
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


def shapley_values(values: Tensor) -> Tensor:
    """Exact Shapley values: (modalities, rows).

    values: (2 ** modalities, rows) of the coalitions, in the order of `coalitions`; the result has the same type.
    Raises ValueError for another number of coalitions.
    """
    modalities = (len(values) - 1).bit_length()
    if len(values) != 2**modalities:
        raise ValueError(f"there are 2, 4, 8, ... sets of modalities, not {len(values)}")
    members = coalitions(modalities)
    sizes = members.sum(dim=1)
    orders = torch.tensor([factorial(k) for k in range(modalities + 1)], dtype=values.dtype, device=values.device)
    shares = []
    for modality in range(modalities):
        without = torch.nonzero(~members[:, modality]).squeeze(1)
        before = sizes[without]
        share = orders[before] * orders[modalities - 1 - before] / orders[modalities]
        added = values[without + 2**modality] - values[without]
        shares.append((share[:, None] * added).sum(dim=0))
    return torch.stack(shares)
