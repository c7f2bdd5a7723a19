"""Shapley values share an answer out: all of it, alike among equals, and nothing to what changes nothing."""

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.explanation.shapley import coalitions, shapley_values

pytestmark = pytest.mark.property

coalition_values = st.lists(st.floats(-10, 10), min_size=8, max_size=8).map(
    lambda values: torch.tensor(values, dtype=torch.float64)[:, None]
)


def place(*modalities: int) -> int:
    """Where the set of these stands."""
    return sum(2**modality for modality in modalities)


def test_every_set_of_the_modalities_is_asked_about_once() -> None:
    sets = {tuple(row) for row in coalitions(3).tolist()}
    assert len(sets) == len(coalitions(3)) == 8
    assert not coalitions(3)[0].any()
    assert coalitions(3)[-1].all()


@given(coalition_values)
def test_the_values_add_up_to_the_value_of_all_less_that_of_none(values: torch.Tensor) -> None:
    assert shapley_values(values).sum().item() == pytest.approx((values[-1] - values[0]).item(), abs=1e-9)


@given(coalition_values)
def test_a_value_is_what_is_added_on_average_over_all_orders_of_coming_in(values: torch.Tensor) -> None:
    added = torch.zeros(3, dtype=torch.float64)
    for order in permutations(range(3)):
        for at, modality in enumerate(order):
            before = place(*order[:at])
            added[modality] += values[before + place(modality), 0] - values[before, 0]
    assert torch.allclose(shapley_values(values)[:, 0], added / 6)


@given(coalition_values)
def test_a_modality_that_changes_nothing_gets_nothing(values: torch.Tensor) -> None:
    held = coalitions(3)
    same = values.clone()
    same[held[:, 1]] = same[~held[:, 1]]
    assert shapley_values(same)[1].item() == 0


@given(coalition_values)
def test_modalities_that_add_the_same_to_every_set_get_the_same(values: torch.Tensor) -> None:
    alike = values.clone()
    alike[place(0)] = alike[place(1)]
    alike[place(0, 2)] = alike[place(1, 2)]
    values = shapley_values(alike)
    assert values[0].item() == pytest.approx(values[1].item(), abs=1e-9)


def test_a_number_of_sets_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="not 6"):
        shapley_values(torch.zeros(6, 1))
