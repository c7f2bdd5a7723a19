"""Signs of progress."""

import pytest

from daemon.telemetry.heartbeats import OVERDUE_S, Heartbeats
from daemon.telemetry.instruments import Instruments
from streams.clock import ManualClock
from tests.daemon.making import counted

pytestmark = pytest.mark.unit


def test_a_worker_that_does_not_beat_is_overdue_until_it_beats_again() -> None:
    clock = ManualClock()
    heartbeats = Heartbeats(clock)
    beat = heartbeats.worker("device")
    clock.advance(OVERDUE_S - 1)
    assert heartbeats.overdue() == []
    clock.advance(1)
    assert heartbeats.overdue() == ["device"]
    assert heartbeats.age_s("device") == OVERDUE_S
    beat()
    assert heartbeats.overdue() == []


def test_only_the_worker_that_is_stuck_is_named() -> None:
    clock = ManualClock()
    heartbeats = Heartbeats(clock)
    heartbeats.worker("stuck")
    beat = heartbeats.worker("well")
    clock.advance(OVERDUE_S)
    beat()
    assert heartbeats.overdue() == ["stuck"]


def test_nothing_is_expected_of_a_worker_that_has_retired_even_if_it_beats_once_more() -> None:
    clock = ManualClock()
    heartbeats = Heartbeats(clock)
    beat = heartbeats.worker("publish")
    heartbeats.retire("publish")
    beat()
    clock.advance(OVERDUE_S)
    assert heartbeats.names() == heartbeats.overdue() == []
    assert heartbeats.age_s("publish") == 0.0


def test_the_age_of_every_worker_is_a_metric() -> None:
    clock = ManualClock()
    of = Instruments(clock)
    of.heartbeats.worker("timeline")
    clock.advance(2.5)
    assert counted(of, "worker_heartbeat_age_seconds", worker="timeline") == 2.5
