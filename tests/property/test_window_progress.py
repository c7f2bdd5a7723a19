"""Whatever happens to windows, in any order that can be: their progress keeps its order and never falls."""

from dataclasses import astuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streams.alignment.window_progress import BEFORE_ALL, WindowProgress
from tests.streams.making import config, line, ns
from tests.streams.test_log_sessions import LogStage

pytestmark = pytest.mark.property


def broken(of: WindowProgress) -> list[str]:
    """The invariants of the module's docstring that do not hold."""
    ordered = {
        "restored <= delivered": (of.restored_from, of.delivered_until),
        "delivered <= submitted": (of.delivered_until, of.submitted_until),
        "submitted <= accepting, resumed": (of.submitted_until, max(of.accepting_from, of.resumed_from)),
        "rebuilt <= accepting": (of.rebuilt_from, of.accepting_from),
        "accepting <= open": (of.accepting_from, of.open_from),
        "rebuilt <= resumed": (of.rebuilt_from, of.resumed_from),
        "restored <= resumed": (of.restored_from, of.resumed_from),
        "delivered <= in flight": (of.delivered_until, min(of.in_flight, default=of.delivered_until)),
    }
    return [name for name, (less, more) in ordered.items() if less > more]


def indices(of: WindowProgress) -> tuple[Any, ...]:
    return astuple(of)[:-1]


class ProgressMachine(RuleBasedStateMachine):
    """A timeline and a ledger of one session, as they use its progress."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = WindowProgress()
        self.waiting: list[int] = []
        """Closed windows whose units are not encoded."""
        self.before: tuple[Any, ...] = indices(self.progress)
        self.lookback = 0

    @initialize(
        restored=st.none() | st.integers(-20, 50), ended=st.none() | st.integers(-20, 50), lookback=st.integers(0, 9)
    )
    def begins(self, restored: int | None, ended: int | None, lookback: int) -> None:
        self.lookback = lookback
        if restored is not None:
            self.progress = WindowProgress(restored)
        elif ended is not None:
            self.progress = WindowProgress(open_from=ended)
        self.progress.resume(lookback)
        self.before = indices(self.progress)

    @rule(further=st.integers(0, 12), grace=st.integers(0, 6), occupied=st.integers(0, 2**12 - 1))
    def time_passes(self, further: int, grace: int, occupied: int) -> None:
        """occupied: bit k says whether window k of those that close holds a unit."""
        first = max(-100, self.progress.open_from)
        until = first + further
        closing = [index for index in range(first, until) if occupied >> (index - first) & 1]
        self.waiting += filter(self.progress.submits, closing)
        self.progress.close(until, until - grace)

    @precondition(lambda self: self.progress.accepting_from < self.progress.open_from)
    @rule(data=st.data())
    def a_late_unit_revises_a_window(self, data: st.DataObject) -> None:
        first = max(self.progress.accepting_from, self.progress.open_from - 9)
        index = data.draw(st.integers(first, self.progress.open_from - 1))
        if self.progress.submits(index):
            self.waiting.append(index)

    @precondition(lambda self: self.waiting)
    @rule()
    def the_first_closed_window_is_submitted(self) -> None:
        self.progress.submit(self.waiting.pop(0))

    @rule()
    def the_ledger_is_told_how_far(self) -> None:
        self.progress.submit_until(min([self.progress.accepting_from, *self.waiting]))

    @precondition(lambda self: self.progress.in_flight)
    @rule(data=st.data())
    def a_window_is_delivered(self, data: st.DataObject) -> None:
        before = self.progress.delivered_until
        moved = self.progress.deliver(data.draw(st.sampled_from(self.progress.in_flight)))
        assert moved == (self.progress.delivered_until > before)

    @precondition(lambda self: not self.waiting)
    @rule()
    def the_session_ends_and_comes_back(self) -> None:
        self.progress.resume(self.lookback)

    @invariant()
    def the_order_holds_and_nothing_falls(self) -> None:
        assert broken(self.progress) == []
        now = indices(self.progress)
        assert all(new >= old for new, old in zip(now, self.before, strict=True))
        self.before = now


TestProgressMachine = ProgressMachine.TestCase


@given(st.integers(-10, 100), st.integers(0, 8))
def test_a_restored_window_is_the_first_that_is_submitted_and_its_lookback_is_rebuilt(
    restored: int, lookback: int
) -> None:
    progress = WindowProgress(restored)
    progress.resume(lookback)
    assert (progress.rebuilt_from, progress.resumed_from) == (restored - lookback, restored)
    assert [progress.submits(index) for index in (restored - 1, restored)] == [False, True]


@given(st.integers(-10, 100), st.integers(0, 8))
def test_a_session_that_comes_back_reopens_no_window_and_rebuilds_none(closed: int, lookback: int) -> None:
    progress = WindowProgress(open_from=closed)
    progress.resume(lookback)
    assert progress.rebuilt_from == progress.resumed_from == progress.open_from == closed


def test_before_anything_is_known_every_window_is_open_and_none_is_delivered() -> None:
    progress = WindowProgress()
    progress.resume(3)
    assert set(indices(progress)) == {BEFORE_ALL}
    assert progress.submits(-(2**62))


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 40)), max_size=40),
    st.sampled_from([(0, 0), (2.5, 0), (0, 3), (1.3, 9)]),
    st.none() | st.integers(0, 30),
)
def test_the_progress_of_a_log_session_keeps_its_order(
    events: list[tuple[int, int]], grace_and_lookback_s: tuple[float, float], restored_s: int | None
) -> None:
    """events: when each is written and how long before that it happened, in tenths of a second."""
    grace_s, lookback_s = grace_and_lookback_s
    stage = LogStage(config(grace_s=grace_s, lookback_s=lookback_s))
    if restored_s is not None:
        stage.assignment = stage.assign({"room": stage.sessions.config.grid.first_open(ns(restored_s))})
    before: tuple[Any, ...] | None = None
    for written, ago in sorted(events):
        stage.log(line((written - ago) / 10), written_s=written / 10)
        progress = stage.assignment.leases["room"].progress
        assert broken(progress) == []
        now = indices(progress)
        assert before is None or all(new >= old for new, old in zip(now, before, strict=True))
        before = now
