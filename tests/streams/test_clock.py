import pytest
from structlog.testing import capture_logs

from streams.clock import NS_PER_S, SteadyTime, SystemClock

pytestmark = pytest.mark.unit

T0_NS = 1_000_000 * NS_PER_S


def read(steady: SteadyTime, at_s: float, step_s: float = 0.0) -> float:
    """Seconds from T0 that are taken for the wall time, where the wall clock is `step_s` off."""
    wall_ns = T0_NS + round((at_s + step_s) * NS_PER_S)
    return round((steady.at(wall_ns, round(at_s * NS_PER_S)) - T0_NS) / NS_PER_S, 6)


@pytest.mark.parametrize("step_s", [3_600.0, -3_600.0, 1.0])
def test_a_step_that_does_not_last_is_not_seen(step_s: float) -> None:
    steady = SteadyTime()
    seen = [read(steady, at, step_s if 10 <= at < 15 else 0.0) for at in range(100)]
    assert seen == list(range(100))


@pytest.mark.parametrize("step_s", [3_600.0, -3_600.0])
def test_a_step_that_lasts_for_a_minute_is_followed_and_told(step_s: float) -> None:
    steady = SteadyTime()
    with capture_logs() as logs:
        seen = [read(steady, at, step_s if at >= 10 else 0.0) for at in range(100)]
    assert seen == [at + (step_s if at >= 70 else 0.0) for at in range(100)]
    assert [entry["step_s"] for entry in logs] == [step_s]


def test_a_second_step_is_waited_for_anew() -> None:
    steady = SteadyTime()
    steps = {at: 3_600.0 if 10 <= at < 40 else -60.0 if at >= 40 else 0.0 for at in range(120)}
    seen = [read(steady, at, steps[at]) for at in range(120)]
    assert seen == [at + (-60.0 if at >= 100 else 0.0) for at in range(120)]


def test_small_changes_are_followed_at_once_however_many() -> None:
    steady = SteadyTime()
    assert [read(steady, at, 0.2 * at) for at in range(20)] == [pytest.approx(1.2 * at) for at in range(20)]


def test_every_system_clock_shows_the_same_time() -> None:
    one, other = SystemClock(), SystemClock()
    before_ns, between_ns, after_ns = one.wall_ns(), other.wall_ns(), one.wall_ns()
    assert before_ns <= between_ns <= after_ns
