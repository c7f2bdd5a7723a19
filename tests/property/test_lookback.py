"""Windows that look back: on exactly what lay in the windows before, and changed in nothing else by it."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.alignment.closed_window import ClosedWindow
from streams.alignment.ordered_units import UnitsByModality
from streams.alignment.timeline_config import TimelineConfig
from streams.alignment.window_progress import BEFORE_ALL
from streams.events import Event
from streams.records import MEDIA
from tests.property.test_time import (
    BOUND_S,
    anything,
    grids,
    happens,
    held,
    played,
    settings,
    shuffled,
    timelines,
    value,
)
from tests.streams.making import Stage, config, span_ns

pytestmark = pytest.mark.property

lookbacks = st.sampled_from([1, 3, 10])
"""In steps."""


def looking_back(grid: tuple[float, float], steps: int, grace_s: float = 0) -> TimelineConfig:
    return config(*grid, bound_s=BOUND_S, grace_s=grace_s, lookback_s=steps * grid[1])


def earlier(window: ClosedWindow, found: TimelineConfig) -> list[UnitsByModality]:
    return window.preceding(found.lookback_windows, found.grid.step_ns)


def counted(stage: Stage) -> dict[tuple[str, str], int]:
    """What was counted of events."""
    return {key: count for key, count in stage.counts.of.items() if key[0] != "window"}


def values(units: UnitsByModality) -> list[Any]:
    return [value(unit) for placed in units.values() for unit in placed]


@given(shuffled(), grids, lookbacks)
def test_what_is_looked_back_on_is_what_the_windows_before_held_whatever_the_arrival_order(
    orders: tuple[list[Event], list[Event]], grid: tuple[float, float], steps: int
) -> None:
    in_order, arrived = orders
    looking = looking_back(grid, steps)
    plain, found = played(in_order, settings(grid)), played(arrived, looking)
    assert held(found.windows) == held(plain.windows)
    lay = defaultdict(list, {window.index: values(window.units) for window in plain.windows})
    for window in found.windows:
        before = range(window.index - steps, window.index)
        assert [values(units) for units in earlier(window, looking)] == [lay[index] for index in before]


@given(shuffled(), grids, lookbacks)
def test_what_is_kept_to_look_back_on_lies_in_some_window_before_and_not_in_the_window(
    orders: tuple[list[Event], list[Event]], grid: tuple[float, float], steps: int
) -> None:
    looking = looking_back(grid, steps)
    for window in played(orders[1], looking).windows:
        before = {unit for units in window.lookback.values() for unit in units}
        assert not before & {unit for units in window.units.values() for unit in units}
        assert before <= {unit for units in earlier(window, looking) for placed in units.values() for unit in placed}


@given(timelines, grids)
def test_without_a_lookback_nothing_is_kept_to_look_back_on(found: list[Event], grid: tuple[float, float]) -> None:
    assert all(window.lookback == {} for window in played(found, settings(grid)).windows)


@given(anything, grids, st.sampled_from([0.0, 3.0, 30.0]), lookbacks)
def test_whatever_happens_the_windows_are_those_without_a_lookback_but_for_revisions_of_what_was_looked_back_on(
    moves: list[tuple[str, Any, str]], grid: tuple[float, float], grace_s: float, steps: int
) -> None:
    plain = Stage(settings(grid, grace_s), timeout_s=20)
    looking = Stage(looking_back(grid, steps, grace_s), timeout_s=20)
    for move in moves:
        happens(plain, move)
        happens(looking, move)
    plain.drain()
    looking.drain()
    assert counted(looking) == counted(plain)
    last = [{window.start_ns: held([replace(window, revision=0)]) for window in s.windows} for s in (plain, looking)]
    assert last[0] == last[1]
    revisions = defaultdict(list)
    for window in looking.windows:
        revisions[window.start_ns].append(window.revision)
    assert all(found == list(range(len(found))) for found in revisions.values())
    if not grace_s:
        assert held(looking.windows) == held(plain.windows)


@given(anything, grids, lookbacks)
def test_no_more_is_kept_than_windows_can_look_back_on(
    moves: list[tuple[str, Any, str]], grid: tuple[float, float], steps: int
) -> None:
    stage = Stage(looking_back(grid, steps), timeout_s=20)
    for move in moves:
        happens(stage, move)
        for timeline in stage.sessions._live.values():
            if timeline.progress.open_from != BEFORE_ALL:
                oldest_ns = stage.config.grid.start_ns(timeline.progress.open_from) - span_ns(steps * grid[1])
                assert all(unit.start_ns >= oldest_ns for modality in MEDIA for unit in timeline.units[modality])
