"""Two models are compared on the same draws of the same groups."""

import numpy as np
import pytest

from models.metrics.comparison import Paired, compare

pytestmark = pytest.mark.unit

TRUTH = np.arange(120) % 3
GROUPS = np.arange(120).astype(str)
RIGHT, ONE_ANSWER = TRUTH, np.zeros(120, np.int64)
HALF = np.where(np.arange(120) % 2 == 0, TRUTH, (TRUTH + 1) % 3)


def paired(before: np.ndarray, after: np.ndarray, groups: np.ndarray = GROUPS) -> Paired:
    return Paired(TRUTH, before, after, groups, 3)


def test_a_model_that_answers_everything_alike_is_worse_than_one_that_is_half_right() -> None:
    found = compare([paired(HALF, ONE_ANSWER)])
    assert found.rows == 120
    assert found.before[0] == pytest.approx(0.5)
    assert found.after == pytest.approx((1 / 3, 1 / 3, 1 / 3), abs=1e-3)
    assert found.change[2] < 0
    assert found.better_in == 0


def test_a_model_that_is_better_everywhere_is_better_in_every_draw_and_the_same_one_in_none() -> None:
    assert compare([paired(HALF, RIGHT)]).better_in == 1
    same = compare([paired(HALF, HALF)])
    assert (same.better_in, same.change) == (0, (0, 0, 0))


def test_few_groups_are_less_sure_than_many() -> None:
    """One person who is read better says little of the next person."""
    persons = np.repeat([f"p{person}" for person in range(6)], 20)
    better_for_one = np.where(persons == "p0", TRUTH, HALF)
    assert compare([paired(HALF, better_for_one, persons)]).better_in < 0.8
    assert compare([paired(HALF, better_for_one)]).better_in > 0.95


def test_several_tasks_count_alike_however_many_rows_they_have() -> None:
    few = Paired(TRUTH[:9] % 2, np.zeros(9, np.int64), TRUTH[:9] % 2, GROUPS[:9], 2)
    both = compare([paired(RIGHT, HALF), few])
    assert both.rows == 129
    assert both.change[0] == pytest.approx((-0.5 + 0.5) / 2)
