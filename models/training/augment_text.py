"""Augmentation of token ids, for training only: lines with tokens left out, and spans of long posts.

The encoder sums over tokens, so a line without one of its words is the cheapest way to stop a label from hanging on
that word. Long posts are cut to spans because the posts that speak of risk are long and chat is short: without it,
length itself would tell them apart.
"""

from collections.abc import Sequence

import numpy as np

_SHORTEST_SPAN = 16


def drop_tokens(ids: Sequence[int], rate: float, rng: np.random.Generator) -> list[int]:
    """Leaves each token between the sentence marks out with probability `rate`, but never all of them."""
    inner = np.asarray(ids[1:-1])
    kept = inner[rng.random(len(inner)) >= rate]
    if not len(kept):
        kept = rng.choice(inner, 1)
    return [ids[0], *kept.tolist(), ids[-1]]


def crop_span(ids: Sequence[int], rng: np.random.Generator) -> list[int]:
    """A contiguous span of 16 tokens or more between the sentence marks; shorter lines stay whole."""
    inner = ids[1:-1]
    if len(inner) <= _SHORTEST_SPAN:
        return list(ids)
    # Lengths evenly in their logarithm, so that spans as short as chat lines are as common as long ones.
    length = round(float(np.exp(rng.uniform(np.log(_SHORTEST_SPAN), np.log(len(inner))))))
    start = int(rng.integers(len(inner) - length + 1))
    return [ids[0], *inner[start : start + length], ids[-1]]
