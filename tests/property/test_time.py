"""Time under any arrival: what must hold for every mix of modalities, order, promise and silence."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.alignment.closed_window import ClosedWindow
from streams.alignment.origin import DEVICE, STORED
from streams.alignment.timeline_config import TimelineConfig
from streams.alignment.watermark import Watermark, WatermarkConfig
from streams.alignment.windows import WindowGrid
from streams.events import EncodingUnit, Event, Line, Picture, SoundPieces
from streams.records import MEDIA, Modality
from tests.streams.making import Stage, config, line, ns, picture, seconds, sound, span_ns

pytestmark = pytest.mark.property

BOUND_S = 2.0
VIDEO, AUDIO, TEXT = Modality.VIDEO, Modality.AUDIO, Modality.TEXT

grids = st.sampled_from([(4.0, 4.0), (4.0, 1.0), (4.0, 0.4), (10.0, 3.0), (2.0, 0.5)])
tenths = st.integers(0, 300).map(lambda tenth: tenth / 10)
sound_lengths = st.sampled_from([0.1, 0.3, 1.0])  # at most half the bound, so that half is left for disorder
events = st.one_of(
    st.builds(picture, tenths, st.binary(min_size=1, max_size=2)),
    st.builds(sound, tenths, sound_lengths, level=st.sampled_from([0.1, 0.5])),
    st.builds(line, tenths, st.sampled_from(["yes", "no"])),
)
timelines = st.lists(events, max_size=40).map(lambda found: sorted(found, key=lambda event: event.time_ns))


def settings(grid: tuple[float, float], grace_s: float = 0) -> TimelineConfig:
    return config(*grid, bound_s=BOUND_S, grace_s=grace_s)


def value(unit: EncodingUnit) -> tuple[Any, ...]:
    """A unit as what it says, whoever says it."""
    match unit.payload:
        case SoundPieces(pieces=pieces):
            content: Any = tuple((time_ns, piece.samples.tobytes()) for time_ns, piece in pieces)
        case Picture(payload=payload):
            content = payload
        case Line(text=text):
            content = text
    return unit.modality, unit.start_ns, unit.end_ns, unit.received_fraction, content


def held(windows: Iterable[ClosedWindow]) -> list[tuple[Any, ...]]:
    """Windows as values, in the order they were handed on."""
    return [
        (seconds(w.start_ns), w.revision, [[value(unit) for unit in w.units[m]] for m in MEDIA], w.received_fraction)
        for w in windows
    ]


def played(found: Iterable[Event], with_settings: TimelineConfig) -> Stage:
    stage = Stage(with_settings)
    stage.stored(*found)
    stage.end()
    return stage


@st.composite
def shuffled(draw: st.DrawFn) -> tuple[list[Event], list[Event]]:
    """A timeline, and the same events in another order within the disorder bound."""
    in_order = draw(timelines)
    jitter_s = draw(st.lists(st.floats(0, BOUND_S / 2), min_size=len(in_order), max_size=len(in_order)))
    arrival = sorted(zip(in_order, jitter_s, strict=True), key=lambda pair: pair[0].time_ns + span_ns(pair[1]))
    return in_order, [event for event, _ in arrival]


@given(shuffled(), grids)
def test_any_arrival_order_within_the_bound_gives_the_same_windows(
    orders: tuple[list[Event], list[Event]], grid: tuple[float, float]
) -> None:
    in_order, arrived = orders
    expected, found = played(in_order, settings(grid)), played(arrived, settings(grid))
    assert held(found.windows) == held(expected.windows)
    assert not any(found.counts.of["missed a window", modality] for modality in MEDIA)


@given(shuffled(), grids, st.floats(0, 4), st.integers(1, 4))
def test_promises_and_the_clock_change_nothing_in_a_replay(
    orders: tuple[list[Event], list[Event]], grid: tuple[float, float], wait_s: float, every: int
) -> None:
    in_order, arrived = orders
    stage = Stage(settings(grid))
    for at, event in enumerate(arrived):
        if at % every == 0:
            for modality in MEDIA:
                stage.promise(modality, min(seconds(later.time_ns) for later in arrived[at:]))
        stage.clock.advance(wait_s)
        stage.tick()
        stage.stored(event)
    stage.end()
    assert held(stage.windows) == held(played(in_order, settings(grid)).windows)


@given(timelines, grids)
def test_each_unit_lies_in_exactly_the_windows_that_contain_it(found: list[Event], grid: tuple[float, float]) -> None:
    stage = played(found, settings(grid))
    size_ns, step_ns = map(span_ns, grid)
    windows_of = defaultdict(list)
    for window in stage.windows:
        assert any(window.units.values())
        assert window.end_ns - window.start_ns == size_ns
        for units in window.units.values():
            for unit in units:
                windows_of[unit].append(window.start_ns)
    for unit in stage.units:
        starts = [ns(0) + k * step_ns for k in range(-200, 400)]
        needed_until = max(unit.end_ns, unit.start_ns + 1)
        assert windows_of.pop(unit) == [s for s in starts if s <= unit.start_ns and needed_until <= s + size_ns]
    assert not windows_of


@given(timelines, grids)
def test_every_event_is_in_a_unit_or_counted_as_sampled_out(found: list[Event], grid: tuple[float, float]) -> None:
    stage = played(found, settings(grid))
    units = {modality: [unit for unit in stage.units if unit.modality is modality] for modality in MEDIA}
    of = Counter(event.modality for event in found)
    assert len(units[TEXT]) == of[TEXT]
    assert len(units[VIDEO]) + stage.counts.of["sampled_out", VIDEO] == of[VIDEO]
    cells = {event.time_ns // span_ns(0.2) for event in found if event.modality is VIDEO}
    assert [unit.start_ns // span_ns(0.2) for unit in units[VIDEO]] == sorted(cells)
    segments = {
        at
        for event in found
        if event.modality is AUDIO
        for at in range(event.time_ns // span_ns(1), (event.time_ns + event.duration_ns - 1) // span_ns(1) + 1)
    }
    assert [unit.start_ns // span_ns(1) for unit in units[AUDIO]] == sorted(segments)


@given(timelines, timelines, grids)
def test_a_session_is_cut_the_same_whatever_else_goes_on(
    found: list[Event], others: list[Event], grid: tuple[float, float]
) -> None:
    stage = Stage(settings(grid))
    elsewhere = [replace(event, session="other") for event in others]
    stage.stored(*sorted(found + elsewhere, key=lambda event: event.received_ns))
    stage.end()
    stage.end(session="other")
    for session, alone in (("room", found), ("other", others)):
        windows = [window for window in stage.windows if window.session == session]
        assert held(windows) == held(played(alone, settings(grid)).windows)


sources = st.sampled_from(["camera", "phone"])
ahead = st.builds(
    lambda event, ahead_s: replace(event, received_ns=event.time_ns - span_ns(ahead_s)), events, st.floats(0, 60)
)
"""From a clock that is ahead: what happens is received before."""
anything = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.one_of(events, ahead), sources),
        st.tuples(st.just("wait"), st.floats(0, 40), st.just("")),
        st.tuples(st.just("promise"), tenths, st.sampled_from(list(MEDIA))),
        st.tuples(st.just("end"), st.just(0.0), sources),
    ),
    max_size=50,
)
"""What can happen to a session, in any order: also far outside the disorder bound."""


def happens(stage: Stage, move: tuple[str, Any, str]) -> None:
    match move:
        case ("event", event, source):
            stage.live(event, source=source)
        case ("wait", for_s, _):
            stage.clock.advance(for_s)
            stage.tick()
        case ("promise", through_s, modality):
            stage.promise(Modality(modality), through_s, source="camera")
        case ("end", _, source):
            stage.end(source=source)


@given(timelines, ahead, grids)
def test_an_event_ahead_of_its_time_changes_no_window_but_those_it_is_in(
    found: list[Event], early: Event, grid: tuple[float, float]
) -> None:
    """Devices send in order, and one of them is ahead; nothing it says makes anybody late."""
    early = replace(early, time_ns=early.time_ns + span_ns(100))
    stage, expected = Stage(settings(grid)), Stage(settings(grid))
    expected.live(*found)
    for event in sorted([*found, early], key=lambda event: event.received_ns):
        stage.live(event)
    stage.drain()
    expected.drain()
    reached_ns = ns(100)
    before = [window for window in stage.windows if window.end_ns <= reached_ns]
    assert held(before) == held(window for window in expected.windows if window.end_ns <= reached_ns)
    assert not any(stage.counts.of["missed a window", modality] for modality in MEDIA)


@given(anything, grids, st.sampled_from([0.0, 3.0, 30.0]))
def test_no_window_is_handed_on_twice_whatever_happens(
    moves: list[tuple[str, Any, str]], grid: tuple[float, float], grace_s: float
) -> None:
    stage = Stage(settings(grid, grace_s), timeout_s=20)
    for move in moves:
        happens(stage, move)
    stage.drain()
    revisions = defaultdict(list)
    for window in stage.windows:
        revisions[window.start_ns].append(window.revision)
    assert all(found == list(range(len(found))) for found in revisions.values())
    if not grace_s:
        assert stage.starts() == sorted(set(stage.starts()))


@given(anything, grids, st.sampled_from([0.0, 3.0]))
def test_every_event_ends_in_a_window_or_in_a_count(
    moves: list[tuple[str, Any, str]], grid: tuple[float, float], grace_s: float
) -> None:
    stage = Stage(settings(grid, grace_s), timeout_s=20)
    for move in moves:
        happens(stage, move)
    stage.drain()
    offered = Counter(move[1].modality for move in moves if move[0] == "event")
    in_windows = {unit for w in stage.windows for units in w.units.values() for unit in units}
    changed_since = {value(unit)[:3] for unit in set(stage.units) - in_windows}
    assert changed_since <= {value(unit)[:3] for unit in in_windows if unit.modality is AUDIO}
    for modality in MEDIA:
        assert stage.counts.of["event", modality] + stage.counts.of["late", modality] == offered[modality]
    for modality in (VIDEO, TEXT):
        units = sum(unit.modality is modality for unit in in_windows)
        assert units + stage.counts.of["sampled_out", modality] == stage.counts.of["event", modality]
    pieces = [unit.payload.pieces for unit in in_windows if isinstance(unit.payload, SoundPieces)]
    assert len({id(heard) for placed in pieces for _, heard in placed}) == stage.counts.of["event", AUDIO]


@given(anything)
def test_a_session_that_ends_leaves_nothing_but_one_number(moves: list[tuple[str, Any, str]]) -> None:
    stage = Stage(settings((4.0, 1.0), grace_s=3), timeout_s=20)
    for move in moves:
        happens(stage, move)
    stage.wait(100, tick_s=5)
    assert len(stage.sessions) == 0
    assert stage.sessions.waiting() == 0
    assert all(isinstance(kept, int) for kept in stage.sessions._ended.values())


streams = st.tuples(st.sampled_from(["camera", "phone", "file"]), st.sampled_from(["video", "audio"]))
testimony = st.one_of(
    st.tuples(st.just("event"), streams, st.integers(0, 1_000), st.booleans()),
    st.tuples(st.just("progress"), streams, st.integers(0, 1_000), st.booleans()),
    st.tuples(st.just("end"), streams, st.just(0), st.just(True)),
    st.tuples(st.just("wait"), streams, st.integers(0, 200), st.just(True)),
)


@given(st.lists(testimony, max_size=60))
def test_the_watermark_never_moves_back(told: list[tuple[str, tuple[str, str], int, bool]]) -> None:
    watermark, now_ns = Watermark(WatermarkConfig(disorder_bound_ns=20, idle_after_ns=100)), 0
    reached = watermark.advance(now_ns)
    for kind, feed, number, device in told:
        origin = DEVICE if device else STORED
        match kind:
            case "event":
                watermark.event(feed, number, now_ns, origin)
            case "progress":
                watermark.progress(feed, number, now_ns, origin)
            case "end":
                watermark.end(feed[0])
            case _:
                now_ns += number
        moved = watermark.advance(now_ns)
        assert moved >= reached
        assert moved == watermark.time_ns
        reached = moved


@given(st.integers(1, 50), st.integers(1, 50), st.integers(-1_000, 1_000), st.integers(0, 60))
def test_the_grid_finds_the_windows_that_contain_a_span(step: int, more: int, start: int, length: int) -> None:
    grid = WindowGrid(step + more, step)
    found = range(grid.first_containing(start, start + length), grid.last_containing(start) + 1)
    every = range(-1_300, 1_300)
    until = start + max(length, 1)
    assert list(found) == [k for k in every if grid.start_ns(k) <= start and until <= grid.end_ns(k)]
    open_from = grid.first_open(start)
    assert grid.end_ns(open_from) > start >= grid.end_ns(open_from - 1)
