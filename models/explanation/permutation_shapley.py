"""Permutation Shapley values of many players, by cyclic orders.

Problem: exact Shapley values of twenty pictures need a million coalitions. Rule: a player's value is its marginal
contribution, averaged over 2n orders instead of all n!: every cyclic shift of the order of time, and its reverse. In
them every player takes every place exactly twice. So values still add up to the value of all players less that of none,
a player that changes nothing gets nothing, and where contributions simply add up the values are Shapley's. Only
intervals of time are scored, n (n - 1) + 2 of them. Where players depend on each other, neighbours count more than they
would over all orders (random-order values: Weber, 1988).
"""

from itertools import pairwise

import torch
from torch import Tensor


def cyclic_coalitions(players: int) -> Tensor:
    """The coalitions that cyclic orders need.

    (n (n - 1) + 2, n) bool: none; 1 to n - 1 players in turn, from each player on; all.
    """
    place = torch.arange(players)
    from_first = (place[None, :] - place[:, None]) % players
    some = [from_first < length for length in range(1, players)]
    none = torch.zeros(1, players, dtype=torch.bool)
    return torch.cat([none, *some, ~none])


def cyclic_shapley_values(values: Tensor, players: int) -> Tensor:
    """Shapley values estimated over cyclic orders: (players, rows).

    values: (coalitions, rows), in the order of `cyclic_coalitions`; the result has the same type. Raises ValueError for
    another number of coalitions.
    """
    if players < 1 or len(values) != players * (players - 1) + 2:
        raise ValueError(f"{players} players have {players * (players - 1) + 2} cyclic coalitions, not {len(values)}")
    none, some, every = values[:1], values[1:-1], values[-1:]
    everyone = torch.ones(players, 1, dtype=values.dtype, device=values.device)
    by_length = [
        everyone * none,
        *torch.split(some, players),
        everyone * every,
    ]  # each (players, rows), by first player
    added = torch.zeros_like(by_length[0])
    for length, (before, after) in enumerate(pairwise(by_length)):
        forwards = (after - before).roll(length, dims=0)
        backwards = after - before.roll(-1, dims=0)
        added += forwards + backwards
    return added / (2 * players)
