"""A BERT-style transformer encoder over sentences laid end to end.

Devlin et al., 2019. All but its word table can be trained.

The rule of batching: everything but attention sees one long row of tokens, so no time is spent on padding. Attention
takes sentences in groups of like length, padded to the longest of the group and masked. A row does not depend on its
batch, but for rounding.

Left out: dropout inside (lines lose tokens instead: `models.training.text.augment`), token types (their first row is
added to the positions), and the word table, which comes from a package, is never trained, and is not saved.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

_GROUP_ROWS = 16


@dataclass(frozen=True, slots=True)
class TransformerSize:
    """Sizes of a network; `hidden` is divisible by `heads`."""

    layers: int
    hidden: int = 384
    heads: int = 12
    feed_forward: int = 1536
    positions: int = 512
    norm_epsilon: float = 1e-12


SIZE = TransformerSize(layers=6)
"""Of the shipped networks."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Sentences that attend together.

    rows, width: of the padded block. place: (tokens,) where each token is in the flattened block.
    bias: (rows, 1, 1, width), minus infinity where padded, or None when nothing is.
    """

    rows: int
    width: int
    place: torch.Tensor
    bias: torch.Tensor | None


class _Layer(nn.Module):
    """Self-attention and feed-forward, each with a residual and normalised after it."""

    def __init__(self, size: TransformerSize) -> None:
        super().__init__()
        self.heads = size.heads
        self.attend = nn.Linear(size.hidden, 3 * size.hidden)  # query, key, value
        self.gather = nn.Linear(size.hidden, size.hidden)
        self.attend_norm = nn.LayerNorm(size.hidden, eps=size.norm_epsilon)
        self.widen = nn.Linear(size.hidden, size.feed_forward)
        self.narrow = nn.Linear(size.feed_forward, size.hidden)
        self.norm = nn.LayerNorm(size.hidden, eps=size.norm_epsilon)

    def forward(self, x: torch.Tensor, groups: Sequence[_Group]) -> torch.Tensor:
        """One layer: (tokens, hidden) to the same shape.

        x: the groups' tokens one after another.
        """
        parts = self.attend(x).split([len(group.place) for group in groups])
        attended = torch.cat([self._attention(part, group) for part, group in zip(parts, groups, strict=True)])
        x = self.attend_norm(x + self.gather(attended))
        y: torch.Tensor = self.norm(x + self.narrow(functional.gelu(self.widen(x))))
        return y

    def _attention(self, attend: torch.Tensor, group: _Group) -> torch.Tensor:
        """Scaled dot-product attention in separate matrix calls.

        On a CPU these train faster than the fused call.
        """
        tokens, hidden = len(attend), attend.shape[1] // 3
        rows, width, heads = group.rows, group.width, self.heads
        if group.bias is not None:
            attend = attend.new_zeros(rows * width, 3 * hidden).index_copy(0, group.place, attend)
        query, key, value = (
            attend.view(rows, width, 3, heads, -1)
            .permute(2, 0, 3, 1, 4)
            .reshape(3, rows * heads, width, hidden // heads)
        )
        score = torch.bmm(query * (hidden // heads) ** -0.5, key.transpose(1, 2))
        if group.bias is not None:
            score = (score.view(rows, heads, width, width) + group.bias).view_as(score)
        mixed = torch.bmm(score.softmax(dim=-1).to(value.dtype), value)
        flat = mixed.view(rows, heads, width, -1).transpose(1, 2).reshape(rows * width, hidden)
        return flat if len(flat) == tokens else flat[group.place]


class Transformer(nn.Module):
    """Encodes sentences: the mean of their own tokens' last states.

    A sentence's own tokens are those through its first separator; what follows is context, seen but not averaged.
    """

    def __init__(self, table: torch.Tensor, separator: int, size: TransformerSize = SIZE) -> None:
        """table: (tokens, hidden) float32. separator: the id that ends a sentence."""
        super().__init__()
        self.separator = separator
        self.register_buffer("table", table, persistent=False)
        self.table: torch.Tensor
        self.width = size.hidden
        self.longest = size.positions
        self.position = nn.Parameter(torch.zeros(size.positions, size.hidden))
        self.norm = nn.LayerNorm(size.hidden, eps=size.norm_epsilon)
        self.layers = nn.ModuleList(_Layer(size) for _ in range(size.layers))

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        """(rows,) int64 token ids to (rows, hidden) float32, from the table."""
        return self.table[token_ids].float()

    def mean_embedding(self) -> torch.Tensor:
        """(hidden,), the mean of the table's rows."""
        return self.table.float().mean(dim=0)

    def forward(self, sentences: Sequence[Sequence[int]], embedded: torch.Tensor | None = None) -> torch.Tensor:
        """Encodes at least one sentence: (sentences, hidden).

        Each has 1 to `longest` tokens, among them a separator. embedded: (tokens, hidden), what is read in place of the
        table's rows; the sentences' tokens one after another.
        """
        lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
        if not len(lengths) or not lengths.all():
            raise ValueError("a batch needs at least one sentence, and each sentence at least one token")
        device = self.table.device
        order = np.argsort(lengths, kind="stable")
        sizes = lengths[order]
        ids = np.concatenate([np.asarray(sentences[i], dtype=np.int64) for i in order])
        within = np.concatenate([np.arange(n) for n in sizes])
        groups = [_group(sizes[i : i + _GROUP_ROWS], device) for i in range(0, len(sizes), _GROUP_ROWS)]
        if embedded is None:
            words = self.embed(torch.from_numpy(ids).to(device))
        else:
            begins = np.cumsum(lengths) - lengths
            places = np.concatenate([np.arange(begins[i], begins[i] + lengths[i]) for i in order])
            words = embedded[torch.from_numpy(places).to(device)]
        x = self.norm(words + self.position[torch.from_numpy(within).to(device)])
        for layer in self.layers:
            x = layer(x, groups)
        own = [sentences[i].index(self.separator) + 1 for i in order]
        starts = np.cumsum(sizes) - sizes
        rows = np.concatenate([np.arange(start, start + n) for start, n in zip(starts, own, strict=True)])
        states = x.float()[torch.from_numpy(rows).to(device)]
        mean = torch.segment_reduce(states, "mean", lengths=torch.tensor(own, device=device), axis=0)
        return mean[torch.from_numpy(np.argsort(order)).to(device)]


def _group(lengths: np.ndarray[tuple[int], np.dtype[np.int64]], device: torch.device) -> _Group:
    rows, width = len(lengths), int(lengths[-1])
    inside = np.arange(width) < lengths[:, None]
    place = torch.from_numpy(np.flatnonzero(inside)).to(device)
    if inside.all():
        return _Group(rows, width, place, None)
    bias = torch.from_numpy(np.where(inside, 0.0, -np.inf).astype(np.float32)).to(device)
    return _Group(rows, width, place, bias[:, None, None, :])
