import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from streams.clock import NS_PER_MS, NS_PER_S, SystemClock
from streams.records import Item, Modality, Progress, Record
from streams.source_state import SourceState
from streams.sources.backoff import Backoff
from streams.sources.devices.camera import Camera, CameraConfig
from streams.sources.runner import SourceRunner
from streams.telemetry import NullTelemetry
from tests.e2e.devices import (
    DEADLINE_S,
    HttpCamera,
    Listener,
    SoundServer,
    flooding_sound,
    rtsp_camera,
    rtsp_server,
)

pytestmark = pytest.mark.e2e

TONE_HZ = 440


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    """Two seconds of a loud tone."""
    path = tmp_path / "tone.wav"
    t = np.arange(2 * 16_000) / 16_000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((np.sin(2 * np.pi * TONE_HZ * t) * 20_000).astype("<i2").tobytes())
    return path


def test_a_microphone_hears_what_is_played_in_the_room(tmp_path: Path, tone: Path) -> None:
    with SoundServer(tmp_path) as server, Listener(server.env) as listener:
        assert "default" in listener.next()["microphones"]
        quiet = listener.next(item="record")
        assert quiet["loudness"] < 10
        player = threading.Thread(target=server.play, args=(tone,))
        player.start()
        heard = [next(record for record in listener.records() if record["loudness"] > 5_000)]
        heard += [listener.next(item="record") for _ in range(10)]
        player.join(DEADLINE_S)
    assert {round(record["pitch_hz"] / 20) * 20 for record in heard[1:]} == {TONE_HZ}
    heard_ns = sum(record["end_ns"] - record["begin_ns"] for record in heard)
    assert heard_ns > 0.8 * (heard[-1]["end_ns"] - heard[0]["begin_ns"])  # a busy machine may lose some, not most


def test_a_silent_microphone_makes_progress_in_step_with_its_sound(tmp_path: Path) -> None:
    with SoundServer(tmp_path) as server, Listener(server.env) as listener:
        first = listener.next(item="record")
        told = [listener.next(item="progress")["through_ns"] for _ in range(10)]
    assert told == sorted(told)
    assert told[0] >= first["begin_ns"]
    steps_ns = np.diff(told)
    assert 150 * NS_PER_MS <= steps_ns.mean() <= 400 * NS_PER_MS


def test_a_microphone_that_vanishes_is_noticed_and_opened_again_when_it_is_back(tmp_path: Path) -> None:
    with SoundServer(tmp_path) as server, Listener(server.env) as listener:
        before = listener.next(item="record")
        server.stop()
        assert "microphone default: gives no more sound" in listener.next(state="waiting")["error"]
        assert "there is no such device" in listener.next(state="waiting")["error"]
        server.start()
        listener.next(state="running")
        after = listener.next(item="record")
    assert after["begin_ns"] - before["end_ns"] > 200 * NS_PER_MS


def test_a_microphone_that_floods_is_dropped_down_to_real_time_and_counted(tmp_path: Path) -> None:
    with Listener(flooding_sound(tmp_path)) as listener:
        records = [listener.next(item="record") for _ in range(10)]
        assert listener.next(dropped="overflow")["count"] > 0
        records += [listener.next(item="record") for _ in range(10)]
    for before, after in pairwise(records):
        assert after["begin_ns"] >= before["end_ns"]
        assert after["end_ns"] <= after["received_ns"] + 100 * NS_PER_MS


def test_a_microphone_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with Listener(flooding_sound(tmp_path), "Sennheiser") as listener:
        there = listener.next()["microphones"]
        error = listener.next(state="waiting")["error"]
    assert "default" in there
    assert "microphone Sennheiser: there is no such device" in error
    assert all(name in error.partition("microphones: ")[2] for name in there)


class Watching(NullTelemetry):
    """A camera that is watched; its items, and how often it was opened again."""

    def __init__(self, address: str) -> None:
        clock = SystemClock()
        self.items: list[Item] = []
        self.reconnects = 0
        self.slow = threading.Event()
        self._news = threading.Condition()
        camera = Camera(CameraConfig("room", address, sample_hz=5.0, read_timeout_s=2.0), clock)
        self.runner = SourceRunner(camera, self._emit, clock, self, Backoff(0.1, 0.5))

    def reconnect(self, source: str) -> None:
        self.reconnects += 1

    def source_state(self, source: str, state: str) -> None:
        with self._news:
            self._news.notify_all()

    @property
    def pictures(self) -> list[Record]:
        return [item for item in self.items if isinstance(item, Record)]

    def wait_for(self, is_met: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(is_met, DEADLINE_S), (self.runner.state, self.runner.error, len(self.items))

    def wait_for_pictures(self, more: int) -> list[Record]:
        """The next `more` pictures."""
        seen = len(self.pictures)
        self.wait_for(lambda: len(self.pictures) >= seen + more)
        return self.pictures[seen : seen + more]

    def _emit(self, item: Item) -> None:
        with self._news:
            self.items.append(item)
            self._news.notify_all()


@contextmanager
def watching(address: str) -> Iterator[Watching]:
    watch = Watching(address)
    watch.runner.start()
    try:
        yield watch
    finally:
        watch.runner.stop()
        assert watch.runner.join(DEADLINE_S)
    assert watch.runner.state is SourceState.STOPPED


@pytest.fixture
def over_udp(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's RTSP server speaks UDP only."""
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;udp")


@pytest.mark.usefixtures("over_udp")
def test_an_rtsp_camera_that_vanishes_is_noticed_and_opened_again_when_it_is_back() -> None:
    with rtsp_server() as (to_send, to_open), watching(to_open) as watch:
        with rtsp_camera(to_send):
            pictures = watch.wait_for_pictures(20)
        watch.wait_for(lambda: watch.runner.state is SourceState.WAITING)
        assert f"camera {to_open}: " in str(watch.runner.error)
        gone_at = len(watch.items)
        with rtsp_camera(to_send):
            back = watch.wait_for_pictures(5)
    assert {picture.payload.shape for picture in [*pictures, *back]} == {(240, 320, 3)}
    times_ns = [picture.event_time_ns for picture in pictures]
    assert times_ns == sorted(set(times_ns))
    assert any(not np.array_equal(pictures[0].payload, later.payload) for later in pictures[1:])
    assert watch.reconnects >= 1
    assert watch.items[gone_at] is back[0]  # and no promise was made meanwhile
    assert back[0].event_time_ns - pictures[-1].event_time_ns > 1 * NS_PER_S


def grey(picture: Record) -> int:
    return round(float(picture.payload.mean()))


def test_an_http_camera_is_read_at_the_rate_asked_for() -> None:
    with HttpCamera() as camera, watching(camera.address) as watch:
        pictures = watch.wait_for_pictures(15)
    sent = (grey(pictures[-1]) - grey(pictures[0])) % 250
    assert sent >= 2 * len(pictures)  # 5 pictures a second of 20, and room for a busy machine
    assert {(picture.session, picture.modality) for picture in pictures} == {("room", Modality.VIDEO)}
    assert any(isinstance(item, Progress) for item in watch.items)


def test_pictures_are_never_stale_even_after_a_pause() -> None:
    with HttpCamera() as camera:
        watch = Watching(camera.address)
        pause, paused = threading.Event(), threading.Event()
        taken: list[tuple[int, int]] = []

        def pauses_once(item: Item) -> None:
            if isinstance(item, Record):
                taken.append((grey(item), camera.shown))
                if len(taken) == 5:
                    paused.set()
                    pause.wait(DEADLINE_S)
            watch._emit(item)

        watch.runner.emit = pauses_once
        watch.runner.start()
        assert paused.wait(DEADLINE_S)
        shown = camera.shown
        waiting = threading.Event()
        while (camera.shown - shown) % 250 < 40:  # two seconds of pictures queue up
            assert not waiting.wait(0.05)
        pause.set()
        watch.wait_for_pictures(10)
        watch.runner.stop()
        assert watch.runner.join(DEADLINE_S)
    behind = [(shown - got) % 250 for got, shown in taken]
    assert max(behind) <= 20, f"pictures lag the camera by {behind} twentieths of a second"


def test_an_http_camera_that_freezes_is_noticed() -> None:
    with HttpCamera() as camera, watching(camera.address) as watch:
        watch.wait_for_pictures(3)
        camera.freeze()
        watch.wait_for(lambda: watch.runner.state is SourceState.WAITING)
        assert "gave no picture for 2 s" in str(watch.runner.error) or "no more pictures" in str(watch.runner.error)


def test_an_http_camera_that_vanishes_is_opened_again_when_it_is_back() -> None:
    with HttpCamera() as camera, watching(camera.address) as watch:
        watch.wait_for_pictures(3)
        camera.stop()
        watch.wait_for(lambda: watch.runner.state is SourceState.WAITING)
        assert f"camera {camera.address}: " in str(watch.runner.error)
        camera.start()
        assert len(watch.wait_for_pictures(3)) == 3
    assert watch.reconnects >= 1
