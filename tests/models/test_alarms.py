"""What thresholds on a risk find, and how many false alarms an hour they cost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics.alarms import LINES_PER_HOUR, alarm_curve

pytestmark = pytest.mark.unit

LEVELS = {"low": 0.3, "high": 0.8}
SCORES = np.array([0.1, 0.2, 0.4, 0.9, 0.35, 0.85, 0.95, 0.99])
HAS = np.array([False] * 4 + [True] * 4)


def test_a_level_is_given_by_what_it_finds_and_what_it_costs_in_an_hour() -> None:
    low, high = (point for point in alarm_curve(SCORES, HAS, LEVELS) if point["level"])
    assert low == {
        "level": "low",
        "threshold": 0.3,
        "precision": round(4 / 6, 4),
        "recall": 1.0,
        "alarms_per_hour": LINES_PER_HOUR / 2,
    }
    assert (high["precision"], high["recall"], high["alarms_per_hour"]) == (0.75, 0.75, LINES_PER_HOUR / 4)


def test_a_threshold_that_no_row_reaches_has_no_precision() -> None:
    [point] = [point for point in alarm_curve(SCORES, HAS, {"critical": 1.0}) if point["level"]]
    assert (point["precision"], point["recall"], point["alarms_per_hour"]) == (None, 0, 0)


def test_rows_of_one_kind_make_no_curve() -> None:
    assert alarm_curve(SCORES, np.ones(8, bool), LEVELS) == []


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=60))
def test_higher_thresholds_find_less_and_cost_less(rows: list[tuple[float, bool]]) -> None:
    scores, has = (np.array(column) for column in zip(*rows, strict=True))
    curve = alarm_curve(scores, has, LEVELS)
    for name in ("threshold", "recall", "alarms_per_hour"):
        values = [point[name] for point in curve]
        assert values == sorted(values, reverse=name != "threshold")  # type: ignore[type-var]
