"""When a sink counts as blocked, how often that is told, and what those who ask for readiness hear."""

import pytest
from structlog.testing import capture_logs

from daemon.scoring.blocked_sinks import BlockedSinks
from streams.clock import ManualClock

pytestmark = pytest.mark.unit

GONE = "topic affectd.predictions is not there"


def test_a_sink_that_acknowledges_nothing_is_blocked_after_some_seconds() -> None:
    clock = ManualClock()
    blocked_sinks, since_ns = BlockedSinks(clock), clock.monotonic_ns()
    with capture_logs() as logs:
        for _ in range(40):
            clock.advance(0.1)
            blocked_sinks.waits("kafka", since_ns)
        assert (blocked_sinks.reasons(), logs) == ([], [])
        for _ in range(260):
            clock.advance(0.1)
            blocked_sinks.waits("kafka", since_ns)
        assert blocked_sinks.reasons() == ["sink kafka has delivered nothing for 30 s"]
        blocked_sinks.delivers("kafka")
        assert blocked_sinks.reasons() == []
    begun, ended = logs
    assert (begun["event"], begun["sink"]) == ("a sink is blocked: it acknowledges nothing", "kafka")
    assert (ended["event"], ended["away_s"]) == ("a sink delivers again", 30.0)


def test_its_cause_is_told_once_however_often_it_tries() -> None:
    clock = ManualClock()
    blocked_sinks, since_ns = BlockedSinks(clock), clock.monotonic_ns()
    with capture_logs() as logs:
        for _ in range(100):
            blocked_sinks.fails("kafka", since_ns, GONE)
            clock.advance(15)
            blocked_sinks.waits("kafka", since_ns)
    assert [(line["event"], line["why"]) for line in logs] == [("a sink is blocked", GONE)]
    assert blocked_sinks.reasons() == [f"sink kafka has delivered nothing for 1500 s: {GONE}"]


def test_a_sink_that_delivers_is_no_line() -> None:
    with capture_logs() as logs:
        BlockedSinks(ManualClock()).delivers("kafka")
    assert logs == []
