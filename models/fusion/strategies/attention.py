"""Attention over steps of which some, or all, are missing.

Problem: a softmax over nothing is not a number, and a modality may be absent from any row. Rule: scaled dot-product
attention with several heads (Vaswani et al., 2017), which gives zeros where there is no key. Layers normalise before
attention, not after (Xiong et al., 2020), so that they train without a warm-up. Positions are sinusoidal. Left out:
causal masks; a window is complete when it is fused.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_HEADS = 4  # as many as divide the width, at most so many


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over unmasked values of the last dimension; else zeros.

    mask: true for what counts.
    """
    some = mask.any(dim=-1, keepdim=True)
    shares = scores.masked_fill(~mask & some, -math.inf).softmax(dim=-1)
    return torch.where(mask, shares, 0.0)


def with_positions(steps: Tensor) -> Tensor:
    """Adds sinusoidal positions to steps (rows, time, width).

    They are scaled so that they do not drown the steps.
    """
    time, width, device = steps.shape[1], steps.shape[2], steps.device
    rate = torch.exp(-math.log(10_000.0) * torch.arange(0, width, 2, device=device) / width)
    angle = torch.arange(time, device=device)[:, None] * rate
    return steps + torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :width] / math.sqrt(width)


class Attention(nn.Module):
    """Multi-head attention; zeros for a row without keys."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.heads = math.gcd(width, _HEADS)
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key_and_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor) -> Tensor:
        """Attends from queries to keys.

        queries: (rows, steps, width). keys: (rows, time, width). mask: (rows, time) bool, of the keys. Returns (rows,
        steps, width).
        """
        some = mask.any(dim=1)
        key, value = self.key_and_value(keys).chunk(2, dim=-1)
        attended = functional.scaled_dot_product_attention(
            self._split(self.query(queries)),
            self._split(key),
            self._split(value),
            attn_mask=(mask | ~some[:, None])[:, None, None],
            dropout_p=self.dropout if self.training else 0.0,
        )
        answer: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return torch.where(some[:, None, None], answer, 0.0)

    def _split(self, values: Tensor) -> Tensor:
        """(rows, steps, width) to (rows, heads, steps, width of a head)."""
        return values.view(*values.shape[:2], self.heads, -1).transpose(1, 2)


class AttentionLayer(nn.Module):
    """Attention and a feed-forward network, both residual."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(width, dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, steps: Tensor, keys: Tensor | None, mask: Tensor) -> Tensor:
        """Attends from steps to keys, or to themselves.

        steps: (rows, steps, width). keys: (rows, time, width), or None for the steps themselves. mask: of the keys.
        Returns (rows, steps, width).
        """
        normed = self.norm(steps)
        read = normed if keys is None else self.norm(keys)
        steps = steps + self.dropout(self.attention(normed, read, mask))
        layered: Tensor = steps + self.dropout(self.feed_forward(steps))
        return layered
