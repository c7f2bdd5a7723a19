import threading
from collections.abc import Iterator, Sized
from dataclasses import fields

import numpy as np
import pytest

import streams.alignment.sessions
from streams.alignment.origin import DEVICE
from streams.alignment.sessions import Sessions
from streams.channels.channel import ChannelItem, OverflowPolicy
from streams.channels.inlet import Inlet, InletClock
from streams.clock import ManualClock
from streams.coordinates import Coordinates, Partition
from streams.decoding.decode import Limits, decode_record
from streams.delivery.ledger import Ledger
from streams.records import MEDIA, RAW_PICTURE, EndOfSession, Item, Modality, Progress, Record
from streams.sources.stored.playback import Playback
from tests.streams.making import Counts, Stage, config, line, ns, picture, seconds, sound, span_ns, starts_of

pytestmark = pytest.mark.unit

TUMBLING = config(size_s=4, step_s=4)


def state_size(sessions: Sessions) -> int:
    """Everything that is kept for the live sessions, counted."""
    size = 0
    for timeline in sessions._live.values():
        size += sum(map(len, timeline.units.values())) + len(timeline.closed) + len(timeline.revisions)
        size += len(timeline.watermark.streams)
        for assembler in timeline.streams._assemblers.values():
            kept = [value for value in vars(assembler).values() if isinstance(value, dict | set | list)]
            size += sum(map(len, kept))
            size += sum(len(v) for k in kept if isinstance(k, dict) for v in k.values() if isinstance(v, list))
    return size


def test_sessions_do_not_move_each_other() -> None:
    stage = Stage(TUMBLING)
    stage.stored(line(0, session="a"), line(0, session="b"), line(9, session="b"))
    assert [(window.session, start) for window, start in zip(stage.windows, stage.starts(), strict=True)] == [("b", 0)]


def test_a_session_whose_sources_have_ended_is_freed_once_its_windows_are_scored() -> None:
    stage = Stage(TUMBLING, encodes=False)
    stage.stored(line(0))
    stage.end()
    stage.wait(0.2)
    assert len(stage.sessions) == 1
    for unit in stage.units:
        unit.done = True
    stage.take()
    stage.wait(0.2)
    assert len(stage.sessions) == 0
    assert stage.sessions.ended_sessions() == ["room"]
    assert stage.sessions.ended_sessions() == []


def test_a_session_that_is_silent_for_the_timeout_is_closed_and_freed() -> None:
    stage = Stage(TUMBLING, timeout_s=60)
    stage.live(picture(0), sound(1, 0.5), line(2))
    stage.wait(62.8)  # idle after 3 s, and then 60 s
    assert len(stage.sessions) == 1
    stage.wait(0.6)
    assert len(stage.sessions) == 0
    assert state_size(stage.sessions) == 0
    assert stage.starts() == [0]


@pytest.mark.parametrize("grace_s", [0, 30])
def test_a_session_that_returns_gets_no_window_twice(grace_s: float) -> None:
    stage = Stage(config(grace_s=grace_s))
    stage.stored(picture(10))
    stage.end()
    stage.wait(0.2)
    assert len(stage.sessions) == 0
    assert stage.starts() == [7, 8, 9, 10]
    stage.stored(picture(10.4))
    assert stage.counts.of["late", Modality.VIDEO] == 1
    stage.stored(picture(13.6))  # also in [10, 14), which is published
    stage.end()
    assert stage.starts() == [7, 8, 9, 10, 11, 12, 13]
    assert {window.revision for window in stage.windows} == {0}


def test_a_session_that_was_timed_out_and_returns_goes_on_where_it_is() -> None:
    stage = Stage(timeout_s=60)
    stage.live(picture(0))
    stage.wait(64)
    stage.live(picture(64))
    stage.wait(64)
    assert stage.starts() == [-3, -2, -1, 0, 61, 62, 63, 64]
    assert stage.counts.of["missed a window", Modality.VIDEO] == 0
    assert stage.sessions.ended_sessions() == ["room", "room"]


def test_a_session_that_returns_while_its_last_windows_are_encoded_goes_on() -> None:
    stage = Stage(TUMBLING, timeout_s=60, encodes=False)
    stage.live(line(0))
    stage.wait(64)
    stage.live(line(64))
    for unit in stage.units:
        unit.done = True
    stage.wait(1)
    assert len(stage.sessions) == 1
    stage.drain()
    assert stage.starts() == [0, 64]


def test_what_is_remembered_of_ended_sessions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams.alignment.sessions, "_REMEMBERED_SESSIONS", 3)
    stage = Stage(TUMBLING)
    for number in range(10):
        stage.stored(line(0, session=f"s{number}"))
        stage.end(session=f"s{number}")
    stage.wait(0.2)
    assert list(stage.sessions._ended) == ["s7", "s8", "s9"]


def test_the_promise_of_a_device_opens_no_session_and_that_of_a_file_does() -> None:
    stage = Stage()
    stage.promise(Modality.TEXT, 0, source="chat")
    assert len(stage.sessions) == 0
    stage.promise(Modality.TEXT, 0, source="file")
    assert len(stage.sessions) == 1


@pytest.mark.parametrize("promised_ns", [ns(3_600), 2**63])
def test_a_device_that_promises_what_has_not_come_makes_nobody_late(promised_ns: int) -> None:
    stage = Stage(TUMBLING)
    stage.live(line(0))
    stage.sessions.progress("room", Modality.TEXT, promised_ns, "device", DEVICE)
    for _ in range(20):
        stage.wait(0.5)
        stage.live(line(seconds(stage.clock.wall_ns())))
    stage.wait(10)
    assert stage.starts() == [0, 4, 8]
    assert not stage.counts.of["missed a window", "text"]


def test_a_source_that_was_not_listened_to_is_not_silent() -> None:
    clock, counts = ManualClock(), Counts()
    inlet: Inlet[str] = Inlet(clock, counts)
    microphone = inlet.channel("microphone", OverflowPolicy.DROP_OLDEST, 100, live=True)
    sessions = Sessions(config(), span_ns(60), InletClock(inlet), counts, Ledger(config().grid))

    def listen() -> None:
        while isinstance(delivery := inlet.take(0), ChannelItem):
            assert isinstance(delivery.item, Record)
            sessions.add(decode_record(delivery.item, Limits(), live=True), "microphone", DEVICE)

    for tenth in range(100):
        clock.advance(0.1)
        microphone.put(Record("room", Modality.AUDIO, "audio/L16", b"\0\0" * 1_600, ns(tenth / 10), ns(tenth / 10)))
        sessions.tick()
        if tenth == 9:
            listen()  # and then, for nine seconds, no more
    listen()
    assert counts.of["event", Modality.AUDIO] == 100
    assert counts.of["missed a window", Modality.AUDIO] == 0


class Stored:
    """Three seconds of sound, a picture every tenth of a second, and two lines of chat far apart."""

    modalities = frozenset(MEDIA)
    start_ns = 0

    def __init__(self, session: str) -> None:
        self.session = session
        self.faults: list[str] = []

    def open(self) -> None:
        return

    def close(self) -> None:
        return

    def records(self) -> Iterator[Record]:
        sounds = [(i / 10, Modality.AUDIO, "audio/L16", b"\0\0" * 1_600) for i in range(30)]
        pictures = [(i / 10, Modality.VIDEO, RAW_PICTURE, np.zeros((2, 2, 3), np.uint8)) for i in range(120)]
        lines = [(at_s, Modality.TEXT, "text/plain", b"hello") for at_s in (0.5, 11.5)]
        for at_s, modality, content_type, payload in sorted([*sounds, *pictures, *lines], key=lambda found: found[:2]):
            yield Record(self.session, modality, content_type, payload, ns(at_s), 0)


@pytest.mark.parametrize("speed", [None, 0.5, 1, 10])
def test_a_recording_is_cut_the_same_at_every_speed(speed: float | None) -> None:
    stage = Stage()

    def emit(item: Item) -> None:
        stage.tick()
        match item:
            case Record():
                stage.stored(decode_record(item, Limits(), live=False))
            case Progress(session=session, modality=modality, through_ns=through_ns):
                stage.promise(modality, seconds(through_ns), session)
            case EndOfSession(session=session):
                stage.end(session=session)

    Playback([Stored("a"), Stored("b")], stage.clock, speed=speed).read(emit, threading.Event())
    assert not any(stage.counts.of["missed a window", modality] for modality in MEDIA)
    for session in ("a", "b"):
        windows = [window for window in stage.windows if window.session == session]
        assert [seconds(window.start_ns) for window in windows] == list(range(-3, 12))
        assert [window.closed_by for window in windows] == ["watermark"] * 11 + ["end"] * 4
        assert [len(window.units[Modality.VIDEO]) for window in windows] == [5, 10, 15] + [20] * 9 + [15, 10, 5]
        assert [len(window.units[Modality.AUDIO]) for window in windows] == [1, 2, 3, 3, 2, 1] + [0] * 9
        assert [len(window.units[Modality.TEXT]) for window in windows] == [1] * 4 + [0] * 7 + [1] * 4


def posted(stage: Stage, for_s: int) -> None:
    """A line a second, which happens when it is posted."""
    for _ in range(for_s):
        stage.wait(1)
        now_s = seconds(stage.clock.wall_ns())
        stage.live(line(now_s, f"{now_s}"), source="chat")


def test_a_clock_that_is_set_back_leaves_no_session_waiting_for_it_to_catch_up() -> None:
    stage = Stage()
    stage.clock.set_wall(ns(3_600))
    posted(stage, 20)
    stage.clock.set_wall(ns(20))
    stage.live(line(20, "at once"), source="chat")
    posted(stage, 20)
    stage.wait(10)
    lines = {starts_of(window.units[Modality.TEXT])[0] for window in stage.windows}
    assert lines >= {3_600.0 + at for at in range(1, 21)} | {20.0 + at for at in range(21)}
    assert stage.counts.of["late", Modality.TEXT] == 0
    assert stage.sessions.state().watermark_lag_s < 10


def test_what_was_under_way_when_the_clock_was_set_back_holds_a_session_for_a_tick_at_most() -> None:
    stage = Stage()
    stage.clock.set_wall(ns(3_600))
    posted(stage, 5)
    stage.clock.set_wall(ns(5))
    stage.tick()
    stage.live(line(3_605.1), source="chat")
    posted(stage, 5)
    assert stage.counts.of["late", Modality.TEXT] == 0


def test_a_session_that_ended_by_a_clock_that_was_set_back_can_begin_again() -> None:
    stage = Stage(timeout_s=5)
    stage.clock.set_wall(ns(3_600))
    posted(stage, 1)
    stage.wait(20)
    assert len(stage.sessions) == 0
    stage.clock.set_wall(ns(0))
    posted(stage, 5)
    assert stage.counts.of["late", Modality.TEXT] == 0


def test_a_clock_set_back_a_little_repeats_no_window() -> None:
    stage = Stage()
    posted(stage, 20)
    stage.clock.set_wall(stage.clock.wall_ns() - span_ns(1))
    posted(stage, 20)
    stage.drain()
    assert stage.starts() == sorted(set(stage.starts()))


def test_nothing_of_sessions_that_come_and_go_with_their_partitions_is_kept() -> None:
    sessions = Sessions(config(), span_ns(60), ManualClock(), Counts(), ledger := Ledger(config().grid))
    text, picture_topic = Partition("text", 0), Partition("video", 1)
    for offset in range(20):
        for number, partition in enumerate((text, picture_topic)):
            sessions.assigned(ledger.assigned(number, {partition: offset}, {}))
            ledger.read(partition, [(offset, 1)])
            event = line(offset, session=f"s{offset}")
            sessions.add_logged(event, "kafka", Coordinates(partition, offset, event.time_ns))
        sessions.revoked([0, 1])
        sessions.ended_sessions()
    assert len(sessions) == 0
    kept = [value for value in (getattr(sessions, f.name) for f in fields(sessions)) if isinstance(value, Sized)]
    assert [value for value in kept if len(value)] == []


def test_the_end_of_an_unknown_session_is_nothing() -> None:
    stage = Stage()
    stage.end(session="nobody")
    assert len(stage.sessions) == 0


def test_ready_windows_can_be_taken_of_one_session() -> None:
    stage = Stage(TUMBLING, encodes=False)
    stage.stored(line(0, session="a"), line(0, session="b"))
    stage.end(session="a")
    stage.end(session="b")
    for unit in stage.units:
        unit.done = True
    assert [window.session for window in stage.sessions.ready_windows("b")] == ["b"]
    assert [window.session for window in stage.sessions.ready_windows()] == ["a"]


def test_the_state_of_all_sessions_can_be_looked_at() -> None:
    stage = Stage(TUMBLING, encodes=False)
    stage.live(line(0, session="a"), picture(1, session="a"), line(2, session="b"))
    state = stage.sessions.state()
    assert (state.sessions, state.idle_streams, state.open_windows) == (2, 0, 2)
    stage.clock.advance(5)
    state = stage.sessions.state()
    assert state.idle_streams == 3
    assert state.watermark_lag_s == pytest.approx(5 + 0.5)


@pytest.mark.parametrize("grace_s", [0, 5])
def test_a_long_session_keeps_only_the_last_seconds(grace_s: float) -> None:
    stage = Stage(config(step_s=0.4, grace_s=grace_s))
    sizes = []
    for second in range(300):
        for tenth in range(10):
            at_s = second + tenth / 10
            stage.live(picture(at_s), sound(at_s), source="device")
            stage.wait(0.1, tick_s=0.1)
        stage.live(line(second))
        stage.windows.clear()
        sizes.append(state_size(stage.sessions))
    assert max(sizes[200:]) == max(sizes[50:150]) < 300


def test_every_window_of_a_day_long_gap_costs_nothing() -> None:
    stage = Stage(config(step_s=0.1))
    stage.stored(line(0), line(86_400))
    stage.end()
    assert len(stage.windows) == 80
    assert {tuple(starts_of(window.units[Modality.TEXT])) for window in stage.windows} == {(0.0,), (86_400.0,)}
