"""The benchmarks in small: their figures have one form, and what they count is what was put in. Nothing is timed."""

import json
from functools import partial

import pytest

from daemon.bench import bench
from daemon.bench.measure import Effort, Figure, timed

pytestmark = pytest.mark.unit

_STREAM_S, _SCORED_S = 8, 4
_TINY = Effort(rounds=1, scored_rounds=1, stream_s=_STREAM_S, scored_s=_SCORED_S, sessions=3)


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    """Every figure by its name."""
    return {str(figure["figure"]): figure for figure in bench(("align", "encode", "fuse"), _TINY)}


def test_every_figure_is_a_flat_json_object_that_says_what_was_measured_where(figures: dict[str, Figure]) -> None:
    for figure in figures.values():
        assert json.loads(json.dumps(figure)) == figure
        assert {"bench", "figure", "value", "unit", "device", "threads"} <= figure.keys()
        assert not any(isinstance(value, dict | list) for value in figure.values())
        assert isinstance(figure["value"], float)
        assert figure["value"] > 0
        assert ("ratio" in figure) == ("against" in figure)


def test_only_the_benchmarks_that_were_named_are_run() -> None:
    assert {figure["bench"] for figure in bench(("align",), _TINY)} == {"align"}


def test_all_events_are_counted_and_a_tenth_of_the_step_makes_ten_times_the_windows(
    figures: dict[str, Figure],
) -> None:
    whole, tenth = figures["events, step = size"], figures["events, step = size / 10"]

    assert whole["events"] == tenth["events"] == _STREAM_S * (30 + 10) + _STREAM_S // 2
    assert whole["windows"] == _STREAM_S // 4
    assert tenth["windows"] == 10 * _STREAM_S // 4 + 9, "nine begin before the stream does"


def test_an_idle_session_holds_less_than_an_active_one(figures: dict[str, Figure]) -> None:
    active, idle = figures["memory of an active session"], figures["memory of an idle session"]

    assert active["sessions"] == idle["sessions"] == _TINY.sessions
    assert float(str(idle["value"])) < float(str(active["value"]))


def test_on_demand_five_pictures_of_a_second_are_looked_at_and_a_face_is_seen_on_each(
    figures: dict[str, Figure],
) -> None:
    on_demand, every = figures["pictures, on demand"], figures["pictures, every one looked at"]

    assert on_demand["pictures"] == every["pictures"] == every["looked_at"] == every["faces"] == _SCORED_S * 30
    assert on_demand["looked_at"] == on_demand["faces"] == _SCORED_S * 5


def test_units_are_encoded_once_however_many_windows_they_lie_in(figures: dict[str, Figure]) -> None:
    whole = figures["second of a whole session, step = size"]
    tenth = figures["second of a whole session, step = size / 10"]

    pictures_and_lines = _SCORED_S * 5 + _SCORED_S // 2
    assert whole["units"] == pictures_and_lines + _SCORED_S - 1  # pairs of seconds over a window's edge are in none
    assert tenth["units"] == pictures_and_lines + _SCORED_S + 1  # with those that reach over the ends
    assert (whole["windows"], tenth["windows"]) == (1, 19)
    people = figures["second of a whole session, step = size / 10, of two people"]
    assert (people["units"], people["windows"]) == (tenth["units"], tenth["windows"])
    told = figures["second of a whole session, of two faces, told apart"]
    assert (told["units"], told["windows"]) == (whole["units"], whole["windows"])


def test_what_is_compared_is_timed_in_turns_after_a_first_call() -> None:
    called: list[str] = []

    def call(name: str) -> str:
        called.append(name)
        return name

    answers = [answer for answer, _ in timed([partial(call, "a"), partial(call, "b")], rounds=2)]

    assert answers == ["a", "b"]
    assert called == ["a", "b"] * 3
