"""The deadline of a shutdown, in virtual time."""

import configparser
import threading
from pathlib import Path

import pytest

from daemon.config.sections import LifecycleSettings
from daemon.runtime.drain import CLOSING_S, EXIT_S, ShutdownDeadline
from streams.clock import ManualClock

pytestmark = pytest.mark.unit

_UNIT = Path(__file__).parents[2] / "deploy/systemd/affectd.service"


def test_a_requested_stop_has_the_timeout_whatever_the_progress() -> None:
    clock, stop = ManualClock(), threading.Event()
    stop.set()
    shutdown = ShutdownDeadline(clock, 20.0, stop)
    remaining_s = []
    for done in range(4):
        remaining_s.append(shutdown.drain(done).remaining_s)
        clock.advance(8)
    assert remaining_s == [20, 12, 4, 0]


def test_where_nobody_requested_it_the_drain_goes_on_for_hours_while_there_is_progress() -> None:
    clock = ManualClock()
    shutdown = ShutdownDeadline(clock, 20.0, threading.Event())
    for done in range(1000):
        assert shutdown.drain(done).remaining_s == 60
        clock.advance(50)
    assert shutdown.drain(999).remaining_s == 10
    clock.advance(10)
    assert shutdown.drain(999).has_passed


def test_where_nobody_requested_it_a_reader_may_pause_as_long_as_he_likes() -> None:
    clock, stop = ManualClock(), threading.Event()
    shutdown = ShutdownDeadline(clock, 20.0, stop)
    for _ in range(100):
        assert shutdown.drain(1, blocked=True).remaining_s == 60
        clock.advance(55)
    stop.set()
    assert shutdown.drain(1, blocked=True).remaining_s == 20


def test_a_stop_that_is_requested_later_has_the_timeout_from_then_on() -> None:
    clock, stop = ManualClock(), threading.Event()
    shutdown = ShutdownDeadline(clock, 20.0, stop)
    clock.advance(55)
    assert shutdown.drain(1).remaining_s == 60
    stop.set()
    assert shutdown.drain(1).remaining_s == 20
    clock.advance(15)
    assert shutdown.drain(2).remaining_s == 5


def test_what_a_drain_took_too_long_is_not_added_to_the_whole_of_a_requested_stop() -> None:
    clock, stop = ManualClock(), threading.Event()
    stop.set()
    shutdown = ShutdownDeadline(clock, 20.0, stop)
    assert shutdown.drain().remaining_s == 20
    clock.advance(20 + CLOSING_S - 1)
    assert shutdown.close().remaining_s == 1


@pytest.mark.parametrize("requested", [True, False])
def test_closing_has_its_time_from_the_end_of_a_drain_that_was_in_time(requested: bool) -> None:
    clock, stop = ManualClock(), threading.Event()
    shutdown = ShutdownDeadline(clock, 20.0, stop)
    if requested:
        stop.set()
    assert shutdown.drain(1).remaining_s > 0
    clock.advance(3)
    assert shutdown.close().remaining_s == CLOSING_S


def test_the_unit_waits_as_long_as_a_stop_with_the_default_configuration_may_take() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(_UNIT)
    assert float(unit["Service"]["TimeoutStopSec"]) == LifecycleSettings().drain_timeout_s + CLOSING_S + EXIT_S
