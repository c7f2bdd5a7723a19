"""A deadline that steps share, in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.clock import ManualClock
from streams.deadline import Deadline

pytestmark = pytest.mark.unit

_SECONDS = st.integers(0, 100).map(float)


def test_what_remains_grows_less_until_it_has_passed() -> None:
    clock = ManualClock()
    deadline = Deadline.after(clock, 2.0)
    assert (deadline.remaining_s, deadline.has_passed) == (2.0, False)
    clock.advance(1.5)
    assert (deadline.remaining_s, deadline.has_passed) == (0.5, False)
    clock.advance(0.5)
    assert (deadline.remaining_s, deadline.has_passed) == (0.0, True)


def test_a_step_leaves_the_reserve_to_those_after_it() -> None:
    clock = ManualClock()
    deadline = Deadline.after(clock, 10.0)
    clock.advance(deadline.earlier_by(3.0).remaining_s)
    assert deadline.remaining_s == 3.0


@given(timeouts_s=st.lists(_SECONDS, min_size=1), whole_s=_SECONDS)
def test_steps_that_all_take_what_they_may_end_by_the_one_deadline(timeouts_s: list[float], whole_s: float) -> None:
    clock = ManualClock()
    deadline = Deadline.after(clock, whole_s)
    for timeout_s in timeouts_s:
        clock.advance(deadline.at_most(timeout_s).remaining_s)
    assert clock.monotonic_ns() <= deadline.at_ns
    assert deadline.has_passed is (sum(timeouts_s) >= whole_s)
