"""Interruptions of a source are reported once, in log and metrics."""

import pytest
from structlog.testing import capture_logs

from streams.clock import NS_PER_S, ManualClock
from streams.kafka.connectivity import Connectivity
from streams.telemetry import NullTelemetry

pytestmark = pytest.mark.unit

AWAY = "no answer from its brokers"


class States(NullTelemetry):
    def __init__(self) -> None:
        self.states: list[str] = []
        self.reconnects = 0

    def source_state(self, source: str, state: str) -> None:
        self.states.append(state)

    def reconnect(self, source: str) -> None:
        self.reconnects += 1


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.telemetry = States()
        self.connectivity = Connectivity("kafka", self.clock, self.telemetry)

    def update(self, fault: str | None, seconds: float, silent_s: float = 0.0) -> list[tuple[str, object]]:
        """The logged events, each with its reason or its duration."""
        with capture_logs() as logs:
            for _ in range(round(seconds * 10)):
                self.connectivity.update(fault, self.clock.monotonic_ns() - round(silent_s * NS_PER_S))
                self.clock.advance(0.1)
        return [(line["event"], line.get("why", line.get("away_s"))) for line in logs]


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.clock.advance(100)
    return bench


def test_an_interruption_is_a_line_when_it_begins_and_one_when_it_is_over(bench: Bench) -> None:
    assert bench.update(None, 10) == []
    assert bench.update(AWAY, 19, silent_s=5) == [("the source is interrupted", AWAY)]
    assert bench.telemetry.states == ["waiting"]
    assert bench.update(None, 10) == [("the source is back", 24.0)]
    assert bench.telemetry.states == ["waiting", "running"]
    assert bench.telemetry.reconnects == 1


def test_what_is_over_soon_is_not_reported(bench: Bench) -> None:
    for _ in range(5):
        assert bench.update("it is not in its group yet", 2) == []
        assert bench.update(None, 2) == []
    assert bench.telemetry.states == []
    assert bench.telemetry.reconnects == 0


def test_another_reason_in_the_same_interruption_is_no_other_line(bench: Bench) -> None:
    assert len(bench.update(AWAY, 10)) == 1
    assert bench.update("it is not in its group yet", 10) == []
    assert bench.update(None, 1) == [("the source is back", 20.0)]


def test_each_interruption_is_reported(bench: Bench) -> None:
    for _ in range(3):
        assert len(bench.update(AWAY, 10)) == 1
        assert len(bench.update(None, 10)) == 1
    assert bench.telemetry.reconnects == 3
