import random
import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from streams.clock import ManualClock
from streams.records import Item, Modality, Progress, Record
from streams.source_state import LEGAL_MOVES, IllegalMove, SourceState, moved
from streams.sources.backoff import Backoff
from streams.sources.base import Emit, SourceError
from streams.sources.runner import SourceRunner
from streams.telemetry import NullTelemetry

pytestmark = pytest.mark.unit

LINE = Record("room", Modality.TEXT, "text/plain", b"hello", 5, 5)


class ScriptedSource:
    """Each life of the source is one callable."""

    name = "scripted"
    modalities = frozenset({Modality.TEXT})

    def __init__(self, *lives: Callable[[Emit, threading.Event], None], live: bool = True) -> None:
        self.live = live
        self.lives = list(lives)
        self.opened = 0
        self.closed = 0

    def open(self) -> None:
        self.opened += 1

    def read(self, emit: Emit, stop: threading.Event) -> None:
        self.lives.pop(0)(emit, stop)

    def close(self) -> None:
        self.closed += 1


class CountingTelemetry(NullTelemetry):
    def __init__(self) -> None:
        self.states: list[str] = []
        self.reconnects = 0
        self.records: list[tuple[str, Modality, int]] = []

    def source_state(self, source: str, state: str) -> None:
        self.states.append(state)

    def reconnect(self, source: str) -> None:
        self.reconnects += 1

    def record(self, source: str, modality: Modality, size_bytes: int) -> None:
        self.records.append((source, modality, size_bytes))


def says_a_line(emit: Emit, stop: threading.Event) -> None:
    emit(LINE)


def breaks(emit: Emit, stop: threading.Event) -> None:
    raise SourceError("the cable is out")


def run_to_its_end(
    source: ScriptedSource, clock: ManualClock | None = None
) -> tuple[SourceRunner, CountingTelemetry, list[Item]]:
    items: list[Item] = []
    telemetry = CountingTelemetry()
    runner = SourceRunner(source, items.append, clock or ManualClock(), telemetry)
    runner.start()
    assert runner.join(10)
    return runner, telemetry, items


def test_a_source_that_ends_is_opened_read_and_closed_once() -> None:
    source = ScriptedSource(says_a_line, live=False)
    runner, telemetry, items = run_to_its_end(source)
    assert telemetry.states == ["opening", "running", "ended"]
    assert (source.opened, source.closed, items, runner.error) == (1, 1, [LINE], None)


def test_a_live_source_that_breaks_is_opened_again_after_a_wait() -> None:
    source = ScriptedSource(breaks, breaks, says_a_line)
    runner, telemetry, items = run_to_its_end(source)
    again = ["opening", "running", "waiting"]
    assert telemetry.states == [*again, *again, "opening", "running", "ended"]
    assert (telemetry.reconnects, source.closed, items, runner.error) == (2, 3, [LINE], None)


def test_a_source_with_an_end_that_breaks_has_failed_and_keeps_the_error() -> None:
    runner, telemetry, _ = run_to_its_end(ScriptedSource(breaks, live=False))
    assert telemetry.states == ["opening", "running", "failed"]
    assert str(runner.error) == "the cable is out"


def divides_by_zero(emit: Emit, stop: threading.Event) -> None:
    raise ZeroDivisionError


def test_a_live_source_that_breaks_by_a_bug_is_opened_again_after_a_wait_too() -> None:
    source = ScriptedSource(divides_by_zero, divides_by_zero, says_a_line)
    runner, telemetry, items = run_to_its_end(source)
    again = ["opening", "running", "waiting"]
    assert telemetry.states == [*again, *again, "opening", "running", "ended"]
    assert (telemetry.reconnects, source.closed, items, runner.error) == (2, 3, [LINE], None)
    assert not runner.failed_by_bug


def test_a_source_with_an_end_that_breaks_by_a_bug_has_failed_by_it() -> None:
    runner, telemetry, _ = run_to_its_end(ScriptedSource(divides_by_zero, live=False))
    assert telemetry.states == ["opening", "running", "failed"]
    assert isinstance(runner.error, ZeroDivisionError)
    assert runner.failed_by_bug


def test_a_bug_while_it_stops_is_remembered() -> None:
    def breaks_when_stopped(emit: Emit, stop: threading.Event) -> None:
        runner.stop()
        raise ZeroDivisionError

    runner = SourceRunner(ScriptedSource(breaks_when_stopped), lambda item: None, ManualClock())
    runner.start()
    assert runner.join(10)
    assert (runner.state, runner.failed_by_bug) == (SourceState.STOPPED, True)


def test_a_source_that_cannot_be_closed_is_opened_again_all_the_same() -> None:
    class Stuck(ScriptedSource):
        def close(self) -> None:
            super().close()
            raise ZeroDivisionError

    source = Stuck(breaks, says_a_line)
    runner, telemetry, items = run_to_its_end(source)
    assert (telemetry.states[-1], telemetry.reconnects, source.closed, items) == ("ended", 1, 2, [LINE])
    assert runner.error is None


def test_a_stopped_source_leaves_and_is_closed() -> None:
    running = threading.Event()

    def reads_until_stopped(emit: Emit, stop: threading.Event) -> None:
        running.set()
        stop.wait()

    source = ScriptedSource(reads_until_stopped)
    runner = SourceRunner(source, lambda item: None, ManualClock())
    runner.start()
    assert running.wait(10)
    runner.stop()
    assert runner.join(10)
    assert (runner.state, source.closed) == (SourceState.STOPPED, 1)


def test_a_source_stopped_before_it_starts_is_never_opened() -> None:
    source = ScriptedSource(says_a_line)
    runner = SourceRunner(source, lambda item: None, ManualClock())
    runner.stop()
    runner.start()
    assert runner.join(10)
    assert (runner.state, source.opened) == (SourceState.STOPPED, 0)


def test_a_fault_while_stopping_is_not_waited_for() -> None:
    def breaks_when_stopped(emit: Emit, stop: threading.Event) -> None:
        runner.stop()
        raise SourceError("closed under our feet")

    runner = SourceRunner(ScriptedSource(breaks_when_stopped), lambda item: None, ManualClock())
    runner.start()
    assert runner.join(10)
    assert runner.state is SourceState.STOPPED


def test_records_are_counted_with_their_size_and_other_items_are_not() -> None:
    def emits_both(emit: Emit, stop: threading.Event) -> None:
        emit(LINE)
        emit(Progress("room", Modality.TEXT, 9))

    _, telemetry, items = run_to_its_end(ScriptedSource(emits_both))
    assert telemetry.records == [("scripted", Modality.TEXT, 5)]
    assert len(items) == 2


def test_back_off_starts_short_again_only_after_the_source_has_run_well() -> None:
    clock = ManualClock()

    def runs_well_then_breaks(emit: Emit, stop: threading.Event) -> None:
        clock.advance(60)
        raise SourceError("out")

    class LongestWait(Backoff):
        ceilings: list[float]

        def next_s(self) -> float:
            self.ceilings.append(self._ceiling_s)
            return super().next_s()

    backoff = LongestWait(first_s=1, cap_s=4, rng=random.Random(0))
    backoff.ceilings = []
    source = ScriptedSource(breaks, breaks, breaks, breaks, runs_well_then_breaks, says_a_line)
    runner = SourceRunner(source, lambda item: None, clock, backoff=backoff)
    runner.start()
    assert runner.join(10)
    assert backoff.ceilings == [1, 2, 4, 4, 1]


def test_waits_are_jittered_over_the_whole_range_below_the_ceiling() -> None:
    backoff = Backoff(first_s=2.0, cap_s=2.0, rng=random.Random(1))
    waits = [backoff.next_s() for _ in range(200)]
    assert min(waits) < 0.2
    assert 1.8 < max(waits) <= 2.0


def test_the_same_seed_gives_the_same_waits() -> None:
    first, second = (Backoff(rng=random.Random(7)) for _ in range(2))
    assert [first.next_s() for _ in range(9)] == [second.next_s() for _ in range(9)]


@pytest.mark.parametrize("current", SourceState)
@pytest.mark.parametrize("to", SourceState)
def test_only_legal_moves_are_made(current: SourceState, to: SourceState) -> None:
    if to in LEGAL_MOVES[current]:
        assert moved(current, to) is to
    else:
        with pytest.raises(IllegalMove, match=f"from {current} to {to}"):
            moved(current, to)


def test_the_final_states_are_those_that_nothing_follows() -> None:
    assert {state for state in SourceState if state.is_final} == {
        SourceState.ENDED,
        SourceState.FAILED,
        SourceState.STOPPED,
    }


def test_a_fault_that_repeats_is_told_once_and_once_more_when_something_comes_again() -> None:
    with capture_logs() as logs:
        run_to_its_end(ScriptedSource(*[breaks] * 5, says_a_line))
    told = [line for line in logs if line["log_level"] != "debug"]
    assert [line["event"] for line in told] == ["source broke; it is opened again", "source is back"]
    assert told[1]["away_s"] > 0


def test_another_fault_is_told_too() -> None:
    def burns(emit: Emit, stop: threading.Event) -> None:
        raise SourceError("the cable burns")

    with capture_logs() as logs:
        run_to_its_end(ScriptedSource(breaks, breaks, burns, says_a_line))
    told = [str(line["error"]) for line in logs if "error" in line and line["log_level"] == "warning"]
    assert told == ["the cable is out", "the cable burns"]
