"""Weights come back from few bits as they were, within half a level."""

import pytest
import torch

from models.text.packing import pack, pack_table, unpack, unpack_table

pytestmark = pytest.mark.unit


def test_matrices_return_within_half_a_level_of_their_row() -> None:
    weights = torch.randn(5, 7, 3) * torch.tensor([1e-4, 1.0, 30.0, 0.0, 1.0])[:, None, None]
    packed = pack({"w": weights})
    assert packed["w"].dtype == torch.int8
    level = weights.flatten(1).abs().amax(dim=1) / 127
    error = (unpack(packed)["w"] - weights).flatten(1).abs().amax(dim=1)
    assert (error <= level * 0.6 + 1e-7).all()


def test_vectors_return_as_halves_and_whole_numbers_as_they_are() -> None:
    state = {"bias": torch.tensor([0.5, -1.25]), "steps": torch.tensor([[3, 4]])}
    returned = unpack(pack(state))
    assert returned["bias"].dtype == torch.float32
    assert all(torch.equal(returned[name], state[name]) for name in state)


def test_a_table_takes_four_bits_a_weight_and_returns_within_half_a_level_of_its_block() -> None:
    table = torch.randn(6, 64)
    nibbles, scale = pack_table(table)
    assert nibbles.shape == (6, 32)
    error = (unpack_table(nibbles, scale) - table).reshape(6, 2, 32).abs().amax(dim=2)
    assert (error <= scale.float() * 0.52).all()


def test_a_table_that_was_packed_once_is_packed_again_without_loss() -> None:
    once = unpack_table(*pack_table(torch.randn(6, 64)))
    torch.testing.assert_close(unpack_table(*pack_table(once)), once, atol=0, rtol=2e-3)
