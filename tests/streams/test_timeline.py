from dataclasses import replace
from typing import Any

import pytest

from streams.alignment.timeline_config import TimelineConfig
from streams.events import Event, Line
from streams.records import MEDIA, Modality
from tests.streams.making import Stage, config, line, ns, picture, seconds, sound, starts_of

pytestmark = pytest.mark.unit

VIDEO, AUDIO, TEXT = Modality.VIDEO, Modality.AUDIO, Modality.TEXT
TUMBLING = config(size_s=4, step_s=4)


def every(step_s: float, from_s: float, to_s: float) -> list[Event]:
    """Pictures at from, from + step ..., before to."""
    return [picture(from_s + i * step_s) for i in range(round((to_s - from_s) / step_s))]


@pytest.mark.parametrize(
    ("settings", "events", "starts"),
    [
        pytest.param(config(), [picture(10)], [7, 8, 9, 10], id="sliding: all four windows that contain the picture"),
        pytest.param(TUMBLING, [picture(10)], [8], id="tumbling: one window"),
        pytest.param(TUMBLING, [picture(11.9), picture(12)], [8, 12], id="tumbling: the end belongs to the next"),
        pytest.param(config(10, 3), [line(10)], [3, 6, 9], id="a step that does not divide the size: three windows"),
        pytest.param(config(10, 3), [line(12)], [3, 6, 9, 12], id="a step that does not divide the size: or four"),
        pytest.param(config(1.2, 0.4), [line(10)], [9.2, 9.6, 10.0], id="a step of a fraction of a second"),
        pytest.param(TUMBLING, [line(1), line(101)], [0, 100], id="a gap in the data has no windows"),
        pytest.param(config(), [sound(10.2)], [7, 8, 9, 10], id="sound: the windows that contain its segment [10, 11)"),
        pytest.param(
            config(), [sound(10.95)], [7, 8, 9, 10, 11], id="sound over two segments is in the windows of both"
        ),
        pytest.param(
            config(), [sound(10, 3)], list(range(7, 13)), id="a long sound is in the windows of all its segments"
        ),
        pytest.param(
            config(), every(0.5, 0, 2), list(range(-3, 2)), id="windows at both ends of a session are partial"
        ),
        pytest.param(
            config(), [line(0), picture(3), sound(5)], list(range(-3, 6)), id="a window needs one modality, not all"
        ),
    ],
)
def test_a_recording_is_cut_into_the_windows_that_hold_something(
    settings: TimelineConfig, events: list[Event], starts: list[float]
) -> None:
    stage = Stage(settings)
    stage.stored(*events)
    stage.end()
    assert stage.starts() == starts


def test_a_window_holds_what_lies_in_it_and_nothing_else() -> None:
    stage = Stage(TUMBLING)
    stage.stored(picture(7.9), picture(8), line(9), sound(10, 0.5), picture(11.9), picture(12), line(12))
    stage.end()
    _, window, _ = stage.windows
    held = {modality: starts_of(units) for modality, units in window.units.items() if units}
    assert held == {VIDEO: [8, 11.9], AUDIO: [10], TEXT: [9]}


def test_a_window_closes_when_the_watermark_reaches_its_end_and_not_before() -> None:
    stage = Stage()
    stage.stored(picture(0.25), picture(1.4))
    assert stage.spans() == []
    stage.stored(picture(1.5))  # less the bound of 0.5 s
    assert stage.spans() == [(-3, 1)]
    assert stage.windows[0].closed_by == "watermark"
    stage.stored(picture(3.6))
    assert stage.spans() == [(-3, 1), (-2, 2), (-1, 3)]


def test_a_promise_closes_windows_without_an_event() -> None:
    stage = Stage()
    stage.stored(picture(0))
    stage.promise(VIDEO, 2)
    assert stage.spans() == [(-3, 1), (-2, 2)]


def test_a_stream_of_a_file_whose_first_event_comes_late_is_waited_for() -> None:
    stage = Stage()
    stage.promise(TEXT, 0)
    stage.stored(*every(0.2, 0, 6))
    assert stage.spans() == []
    stage.stored(line(0.5))
    stage.promise(TEXT, 3)
    assert stage.spans() == [(-3, 1), (-2, 2), (-1, 3)]
    assert [len(window.units[TEXT]) for window in stage.windows] == [1, 1, 1]


def test_silent_chat_holds_the_windows_until_it_is_idle_and_then_no_more() -> None:
    stage = Stage()
    stage.live(line(0), source="chat")
    for at_s in (0.2 * i for i in range(1, 15)):  # 2.8 s
        stage.wait(0.2)
        stage.live(picture(at_s), source="camera")
    assert stage.spans() == []
    stage.wait(0.2)
    stage.live(picture(3), source="camera")
    assert stage.spans() == [(-3, 1), (-2, 2)]
    assert {window.closed_by for window in stage.windows} == {"watermark"}


def test_when_all_streams_are_idle_the_clock_closes_windows() -> None:
    stage = Stage()
    stage.live(picture(0))
    stage.wait(2.8)
    assert stage.spans() == []
    stage.wait(0.2)
    assert stage.spans() == [(-3, 1), (-2, 2)]  # 0 s, less the bound, and the 3 s that have passed
    stage.wait(1.6)
    assert stage.spans() == [(-3, 1), (-2, 2), (-1, 3), (0, 4)]
    assert {window.closed_by for window in stage.windows} == {"idle"}


def test_a_stream_that_wakes_with_older_events_finds_its_windows_closed() -> None:
    stage = Stage()
    stage.live(picture(0))
    stage.wait(3)
    stage.live(picture(0.4))  # in [-3, 1) and [-2, 2), which are closed, and in two that are open
    assert stage.counts.of["missed a window", VIDEO] == 1
    stage.live(picture(-2.5))
    assert stage.counts.of["late", VIDEO] == 1
    stage.wait(5)
    assert stage.starts() == [-3, -2, -1, 0]
    assert [starts_of(window.units[VIDEO]) for window in stage.windows] == [[0], [0], [0, 0.4], [0, 0.4]]


def test_a_stream_that_wakes_on_time_loses_nothing() -> None:
    stage = Stage()
    stage.live(picture(0))
    stage.wait(10)
    stage.live(picture(10))
    stage.wait(10)
    assert stage.counts.of["missed a window", VIDEO] == 0
    assert stage.starts() == [-3, -2, -1, 0, 7, 8, 9, 10]


def test_a_replay_is_never_moved_by_the_clock() -> None:
    stage = Stage(timeout_s=60)
    stage.stored(picture(0))
    stage.wait(1_000, tick_s=10)
    assert stage.spans() == []
    assert len(stage.sessions) == 1
    stage.stored(picture(0.3))
    assert stage.counts.of["missed a window", VIDEO] == 0


def test_the_end_of_its_source_closes_every_window_of_a_session() -> None:
    stage = Stage(TUMBLING)
    stage.stored(picture(0), sound(1, 0.3), line(5))
    stage.end()
    assert [(window.start_ns, window.closed_by) for window in stage.windows] == [(ns(0), "end"), (ns(4), "end")]


def test_a_session_goes_on_while_one_of_its_sources_does() -> None:
    stage = Stage(TUMBLING)
    stage.stored(picture(0), source="file")
    stage.live(line(0), source="chat")
    stage.end(source="file")
    assert stage.spans() == []
    stage.live(line(4.5), source="chat")
    assert [window.closed_by for window in stage.windows] == ["watermark"]
    stage.end(source="chat")
    assert [window.closed_by for window in stage.windows] == ["watermark", "end"]


def test_a_drain_closes_every_window_of_every_session() -> None:
    stage = Stage(TUMBLING)
    stage.live(picture(0, session="a"), line(1, session="b"), sound(2, 0.3, session="c"))
    stage.drain()
    assert [(window.session, window.closed_by) for window in stage.windows] == [
        ("a", "drain"),
        ("b", "drain"),
        ("c", "drain"),
    ]


def test_a_late_event_still_joins_the_windows_that_are_open() -> None:
    stage = Stage()
    stage.stored(picture(10), picture(15))
    assert stage.starts() == [7, 8, 9, 10]
    stage.stored(picture(12))
    assert stage.counts.of["missed a window", VIDEO] == 1
    stage.end()
    assert {seconds(w.start_ns): starts_of(w.units[VIDEO]) for w in stage.windows[4:]} == {
        11: [12],
        12: [12, 15],
        13: [15],
        14: [15],
        15: [15],
    }


def test_an_event_that_only_closed_windows_contain_is_dropped_and_counted() -> None:
    stage = Stage()
    stage.stored(picture(10), picture(15), picture(10.9))
    assert stage.counts.of["late", VIDEO] == 1
    assert stage.counts.of["event", VIDEO] == 2
    stage.end()
    assert all(10.9 not in starts_of(window.units[VIDEO]) for window in stage.windows)


def test_late_sound_is_judged_by_the_segments_it_becomes_part_of() -> None:
    stage = Stage(config(size_s=4, step_s=0.4, bound_s=0))
    stage.promise(AUDIO, 10.3)
    stage.stored(sound(6.4, 0.2))  # the open window [6.4, 10.4) contains it, but not its segment [6, 7)
    assert stage.counts.of["late", AUDIO] == 1
    assert stage.counts.of["event", AUDIO] == 0
    stage.stored(sound(6.9, 0.2))  # its segment [7, 8) lies in open windows
    assert stage.counts.of["event", AUDIO] == 1
    assert [seconds(unit.start_ns) for unit in stage.units] == [7]


def test_within_grace_closed_windows_are_revised_by_a_late_event() -> None:
    stage = Stage(config(grace_s=2))
    stage.stored(picture(10), picture(15))  # the watermark is at 14.5: windows ending after 12.5 are in grace
    assert [(w.revision, starts_of(w.units[VIDEO])) for w in stage.windows] == [(0, [10])] * 4
    stage.windows.clear()
    stage.stored(picture(11))
    stage.stored(picture(11.2))
    assert [(seconds(w.start_ns), w.revision, starts_of(w.units[VIDEO])) for w in stage.windows] == [
        (9, 1, [10, 11]),
        (10, 1, [10, 11]),
        (9, 2, [10, 11, 11.2]),
        (10, 2, [10, 11, 11.2]),
    ]
    assert stage.counts.of["missed a window", VIDEO] == 2  # [8, 12) is past its grace


def test_a_window_that_was_empty_when_it_closed_appears_when_grace_lets_something_in() -> None:
    stage = Stage(config(size_s=4, step_s=4, grace_s=10))
    stage.stored(line(0), line(9))
    assert stage.starts() == [0]
    stage.stored(line(5))
    assert [(seconds(w.start_ns), w.revision) for w in stage.windows] == [(0, 0), (4, 0)]


def test_late_sound_within_grace_has_its_segment_encoded_anew() -> None:
    stage = Stage(config(size_s=4, step_s=4, grace_s=10))
    stage.stored(sound(0, 0.5), line(0))
    stage.promise(AUDIO, 5)
    stage.promise(TEXT, 5)
    stage.stored(sound(0.5, 0.5))
    first, revised = stage.windows
    assert [unit.received_fraction for unit in first.units[AUDIO]] == [0.5]
    assert [unit.received_fraction for unit in revised.units[AUDIO]] == [1.0]
    assert revised.revision == 1
    assert first.units[TEXT] == revised.units[TEXT]
    assert len(stage.units) == 3


def test_past_its_grace_a_window_is_never_revised() -> None:
    stage = Stage(config(size_s=4, step_s=4, grace_s=1))
    stage.stored(line(0), line(6), line(1))
    assert stage.starts() == [0]
    assert stage.counts.of["late", TEXT] == 1


def test_an_event_that_comes_just_as_the_clock_ends_its_grace_is_not_lost_unnoticed() -> None:
    stage = Stage(config(size_s=4, step_s=4, grace_s=3))
    for at_s in (0, 6):
        stage.live(line(at_s), source="chat")
        stage.live(picture(3 * at_s), source="camera")
    assert stage.starts() == [0]
    stage.clock.advance(2)
    stage.live(picture(20), source="camera")
    stage.clock.advance(1)  # chat is idle now, but no tick has said so
    stage.live(picture(1), source="camera")
    revised = stage.windows[1]
    assert (seconds(revised.start_ns), revised.revision, starts_of(revised.units[VIDEO])) == (0, 1, [0, 1])


def test_windows_wait_for_their_units_and_are_handed_on_in_closing_order() -> None:
    stage = Stage(TUMBLING, encodes=False)
    stage.stored(line(0, "first"), line(5, "second"))
    stage.end()
    first, second = stage.units
    second.done = True
    stage.take()
    assert stage.spans() == []
    first.done = True
    stage.take()
    assert stage.starts() == [0, 4]


def test_a_unit_that_cannot_be_encoded_stalls_nothing() -> None:
    stage = Stage(TUMBLING, encodes=False)
    stage.stored(picture(0, b"broken"), line(0))
    stage.end()
    for unit in stage.units:
        unit.done, unit.result = True, None
    stage.take()
    assert stage.starts() == [0]


def test_once_encoded_a_picture_and_a_sound_are_let_go_and_a_line_is_kept() -> None:
    stage = Stage(TUMBLING, encodes=False)
    stage.stored(picture(0), sound(0), line(0))
    stage.end()
    for unit in stage.units:
        unit.finish()
    stage.take()
    (window,) = stage.windows
    assert [window.units[modality][0].payload for modality in MEDIA] == [None, None, Line("hello")]


def test_a_unit_is_encoded_once_however_many_windows_overlap_it() -> None:
    stage = Stage(config(size_s=4, step_s=0.4))
    events = [*every(0.2, 0, 20), *(sound(i / 10) for i in range(200)), line(3)]
    stage.stored(*sorted(events, key=lambda event: event.time_ns))
    stage.end()
    assert len(stage.units) == 100 + 20 + 1
    held = [unit for window in stage.windows for units in window.units.values() for unit in units]
    assert len(held) > 9 * len(stage.units)
    assert set(map(id, held)) == set(map(id, stage.units))


@pytest.mark.parametrize(
    ("events", "received"),
    [
        (every(0.2, 0, 4), {VIDEO: 1, AUDIO: 0, TEXT: 0}),
        (every(0.2, 0, 1), {VIDEO: 0.25, AUDIO: 0, TEXT: 0}),
        (every(0.04, 0, 4), {VIDEO: 1, AUDIO: 0, TEXT: 0}),
        ([sound(0, 4)], {VIDEO: 0, AUDIO: 1, TEXT: 0}),
        ([sound(0.5, 0.5), sound(3, 0.5)], {VIDEO: 0, AUDIO: 0.25, TEXT: 0}),
        ([sound(0, 1), sound(0.5, 1)], {VIDEO: 0, AUDIO: 0.375, TEXT: 0}),
        ([line(2)], {VIDEO: 0, AUDIO: 0, TEXT: 1}),
    ],
)
def test_a_window_says_how_much_of_it_was_received(events: list[Event], received: dict[Modality, float]) -> None:
    stage = Stage(TUMBLING)
    stage.stored(*events)
    stage.end()
    (window,) = stage.windows
    assert window.received_fraction == pytest.approx({**received, Modality.SIGNALS: 0.0})


def test_a_window_says_how_far_event_time_was_ahead_when_it_closed() -> None:
    stage = Stage(TUMBLING)
    stage.stored(line(1), picture(1), picture(3.9), picture(9))
    stage.promise(TEXT, 4)
    assert [window.watermark_lag_ns / 1e9 for window in stage.windows] == [5.0]


@pytest.mark.parametrize("settings", [{"grace_s": -1}, {"sample_hz": 0}, {"size_s": 1.5, "step_s": 1.5}])
def test_settings_that_would_lose_events_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"below 0|lie in no window"):
        config(**settings)


def test_what_is_of_a_modality_that_is_not_scored_is_masked_and_counted() -> None:
    stage = Stage(replace(TUMBLING, modalities=frozenset({TEXT})))
    stage.stored(picture(0.5), line(1), sound(1, 0.5))
    stage.end()
    (window,) = stage.windows
    assert [modality for modality, units in window.units.items() if units] == [TEXT]
    assert (stage.counts.of["masked", VIDEO], stage.counts.of["masked", AUDIO]) == (1, 1)
