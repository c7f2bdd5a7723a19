"""Modality dropout (Neverova et al., 2016).

A model learns to do with the modalities that are present.
"""

import torch
from torch import Tensor


def surviving(present: Tensor, share: float) -> Tensor:
    """Which modalities survive dropout; a row's last one always does.

    share: probability of each to be dropped.

    present: (rows, modalities) bool; returns as large.
    """
    survivors = present & (torch.rand(present.shape, device=present.device) >= share)
    spared = torch.where(present, torch.rand(present.shape, device=present.device), -1.0).argmax(dim=1, keepdim=True)
    lost = ~survivors.any(dim=1, keepdim=True)
    return survivors | (torch.zeros_like(present).scatter(1, spared, value=True) & present & lost)
