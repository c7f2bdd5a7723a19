"""The people of a session, under any input: they change nothing for the session, and no crash changes who they are."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from daemon.scoring.participants import participants_of, units_of
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.ordered_units import UnitsByModality
from streams.alignment.timeline_config import TimelineConfig
from streams.events import Event, Line, Sound
from streams.participants import NamedBy, Participant
from streams.records import Modality
from tests.property.test_delivery import Instance, Log, assert_crashes_change_nothing, content, written
from tests.property.test_delivery import settings as lookbacks
from tests.property.test_time import BOUND_S, grids, held, played, settings, value
from tests.streams.making import line, ns, picture, sound

pytestmark = pytest.mark.property

MOST = 3
PEOPLE = [Participant(name, how) for name in ("ann", "ben", "eve", "安") for how in (NamedBy.HEADER, NamedBy.AUTHOR)]
CAMERA = Participant("ann", NamedBy.CONFIG)

tenths = st.integers(0, 300).map(lambda tenth: tenth / 10)
anybody = st.none() | st.sampled_from(PEOPLE)
lines = st.builds(
    lambda at_s, text, who: replace(line(at_s, text), participant=who), tenths, st.sampled_from(["yes", "no"]), anybody
)
pictures = st.builds(picture, tenths, st.binary(min_size=1, max_size=2))


def unnamed(events: Iterable[Event]) -> list[Event]:
    return [replace(event, participant=None) for event in events]


def told(window: ClosedWindow) -> list[tuple[Participant, list[object]]]:
    """The people of a window, and what is theirs in it and in what it looks back on."""
    people, _ = participants_of(window.units, MOST)
    return [
        (person, [value for found in (window.units, window.lookback) for value in values(units_of(found, person.id))])
        for person in people
    ]


def values(units: UnitsByModality) -> list[object]:
    return [(unit.modality, unit.start_ns, unit.end_ns, unit.order) for placed in units.values() for unit in placed]


@given(st.lists(lines, max_size=20), st.lists(pictures, max_size=20), st.booleans(), grids, st.data())
def test_names_change_nothing_of_a_sessions_lines_and_of_its_one_camera(
    said: list[Event], seen: list[Event], camera_is_named: bool, grid: tuple[float, float], data: st.DataObject
) -> None:
    if camera_is_named:
        seen = [replace(event, participant=CAMERA) for event in seen]
    events = sorted([*said, *seen], key=lambda event: event.time_ns)
    found, plain = played(events, settings(grid)), played(unnamed(events), settings(grid))
    assert held(found.windows) == held(plain.windows)
    assert found.counts.of == plain.counts.of


@given(st.lists(lines, max_size=30), st.lists(pictures, max_size=10), grids, st.randoms(use_true_random=False))
def test_whose_a_unit_is_does_not_depend_on_the_order_of_arrival(
    said: list[Event], seen: list[Event], grid: tuple[float, float], chance: object
) -> None:
    in_order = sorted([*said, *seen], key=lambda event: event.time_ns)
    jitter = [chance.uniform(0, BOUND_S / 2) for _ in in_order]  # type: ignore[attr-defined]
    arrival = sorted(zip(in_order, jitter, strict=True), key=lambda pair: pair[0].time_ns + pair[1] * 1e9)
    expected, found = played(in_order, settings(grid)), played([event for event, _ in arrival], settings(grid))
    assert [told(window) for window in found.windows] == [told(window) for window in expected.windows]


@given(st.lists(lines, max_size=30), grids)
def test_everything_that_is_somebodys_is_theirs_alone_and_in_the_sessions_row(
    said: list[Event], grid: tuple[float, float]
) -> None:
    for window in played(sorted(said, key=lambda event: event.time_ns), settings(grid)).windows:
        people, more = participants_of(window.units, 1000)
        assert more == 0
        theirs = [unit for person in people for unit in units_of(window.units, person.id)[Modality.TEXT]]
        nobodys = [unit for unit in window.units[Modality.TEXT] if unit.participant is None]
        assert sorted(map(id, [*theirs, *nobodys])) == sorted(map(id, window.units[Modality.TEXT]))
        assert [person.id for person in people] == sorted({unit.participant.id for unit in theirs if unit.participant})


def stereo(at_s: float, session: str) -> Event:
    mono = sound(at_s, session=session)
    assert isinstance(mono.payload, Sound)
    both = mono.payload.samples.repeat(2).reshape(-1, 2)
    return replace(mono, payload=Sound(both, mono.payload.rate_hz), channels=("agent", "customer"))


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Two sessions of lines and pictures of several people, and of sound of two channels."""
    made: list[tuple[float, Event]] = []
    for session in ("one", "two"):
        for tenth in sorted(draw(st.lists(st.integers(0, 240), min_size=1, max_size=50))):
            at_s, kind = tenth / 10, draw(st.sampled_from([picture, line, stereo]))
            event = kind(at_s, session=session)  # type: ignore[operator]
            if kind is not stereo:
                event = replace(event, participant=draw(anybody))
            made.append((at_s + draw(st.integers(0, 4)) / 10, event))
    return written((ns(at_s), event) for at_s, event in made)


class Telling(Instance):
    def content(self, window: ClosedWindow) -> list[tuple[object, ...]]:
        return [*content(window), *told(window)]


@examples(max_examples=60, deadline=None)
@given(logs(), lookbacks, st.data())
def test_after_any_crashes_every_window_was_published_with_the_same_people(
    log: Log, with_settings: TimelineConfig, data: st.DataObject
) -> None:
    assert_crashes_change_nothing(log, lambda committed: Telling(committed, with_settings), data)


def test_the_examples_hold_what_they_are_to_hold() -> None:
    made = replace(line(0), participant=PEOPLE[0])
    assert isinstance(made.payload, Line)
    (window, *_) = played([made], settings((4.0, 1.0))).windows
    assert told(window) == [(PEOPLE[0], [(Modality.TEXT, ns(0), ns(0), (ns(0), 0, "hello\0\0\0ann"))])]
    assert value(window.units[Modality.TEXT][0])[-1] == "hello"
