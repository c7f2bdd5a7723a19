"""How long a drain may take, in virtual time."""

import threading

import pytest

from daemon.runtime.drain import DrainDeadline
from streams.clock import ManualClock

pytestmark = pytest.mark.unit


def test_asked_to_stop_it_has_the_timeout_whatever_the_progress() -> None:
    clock, hurry = ManualClock(), threading.Event()
    hurry.set()
    deadline = DrainDeadline(clock, 20.0, hurry)
    left_s = []
    for done in range(4):
        left_s.append(deadline.left_s(done))
        clock.advance(8)
    assert left_s == [20, 12, 4, 0]


def test_where_nobody_asked_it_goes_on_for_hours_while_there_is_progress() -> None:
    clock = ManualClock()
    deadline = DrainDeadline(clock, 20.0, threading.Event())
    for done in range(1000):
        assert deadline.left_s(done) == 60
        clock.advance(50)
    assert deadline.left_s(999) == 10
    clock.advance(10)
    assert deadline.left_s(999) == 0


def test_where_nobody_asked_a_reader_may_pause_as_long_as_he_likes() -> None:
    clock, hurry = ManualClock(), threading.Event()
    deadline = DrainDeadline(clock, 20.0, hurry)
    for _ in range(100):
        assert deadline.left_s(1, blocked=True) == 60
        clock.advance(55)
    hurry.set()
    assert deadline.left_s(1, blocked=True) == 20


def test_one_that_is_asked_to_hurry_later_has_the_timeout_from_then_on() -> None:
    clock, hurry = ManualClock(), threading.Event()
    deadline = DrainDeadline(clock, 20.0, hurry)
    clock.advance(55)
    assert deadline.left_s(1) == 60
    hurry.set()
    assert deadline.left_s(1) == 20
    clock.advance(15)
    assert deadline.left_s(2) == 5
