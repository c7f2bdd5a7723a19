"""Dropping modalities while training, so that a model learns to do with what is there (Neverova et al., 2016)."""

import torch
from torch import Tensor


def surviving(present: Tensor, share: float) -> Tensor:
    """Which modalities are kept: each is dropped with probability `share`, but never the last that a row has.

    present: (rows, modalities) bool; returns as large.
    """
    kept = present & (torch.rand(present.shape, device=present.device) >= share)
    spared = torch.where(present, torch.rand(present.shape, device=present.device), -1.0).argmax(dim=1, keepdim=True)
    lost = ~kept.any(dim=1, keepdim=True)
    return kept | (torch.zeros_like(present).scatter(1, spared, value=True) & present & lost)
