import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streams.clock import NS_PER_MS, NS_PER_S, ManualClock
from streams.participants import NamedBy, Participant
from streams.records import RAW_PICTURE, Item, Modality, Progress, Record
from streams.sources.base import SourceError
from streams.sources.devices import camera as camera_module
from streams.sources.devices import discovery
from streams.sources.devices.camera import Camera, CameraConfig
from streams.sources.sampler import Sampler

pytestmark = pytest.mark.unit


class FakeCapture:
    """A camera at 30 Hz whose pictures are numbered; it gives `frames` of them, then nothing."""

    def __init__(self, clock: ManualClock, frames: int = 90, is_open: bool = True) -> None:
        self.clock = clock
        self.left = frames
        self.is_open = is_open
        self.grabbed = 0
        self.retrieved = 0
        self.fault: Exception | None = None
        self.delays_s: list[float] = []

    def isOpened(self) -> bool:
        return self.is_open

    def grab(self) -> bool:
        if self.fault is not None:
            raise self.fault
        self.clock.advance(self.delays_s.pop(0) if self.delays_s else 1 / 30)
        self.left -= 1
        self.grabbed += 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, Any]:
        self.retrieved += 1
        return True, np.full((4, 6, 3), self.grabbed % 256, np.uint8)

    def release(self) -> None:
        self.is_open = False


def opened(capture: FakeCapture, clock: ManualClock, sample_hz: float = 5.0) -> Camera:
    camera = Camera(CameraConfig("room", "rtsp://10.0.0.9/cam", sample_hz), clock, lambda config: capture)
    camera.open()
    return camera


def read_all(capture: FakeCapture, clock: ManualClock, sample_hz: float = 5.0) -> list[Item]:
    items: list[Item] = []
    with pytest.raises(SourceError, match="gives no more pictures"):
        opened(capture, clock, sample_hz).read(items.append, threading.Event())
    return items


def test_every_frame_is_grabbed_but_only_those_that_are_due_are_retrieved() -> None:
    clock = ManualClock()
    capture = FakeCapture(clock, frames=90)
    items = read_all(capture, clock)
    assert capture.grabbed == 91
    assert capture.retrieved == len([item for item in items if isinstance(item, Record)])
    assert 15 <= capture.retrieved <= 16


def test_a_picture_is_stamped_when_it_is_grabbed() -> None:
    clock = ManualClock()
    start_ns = clock.wall_ns()
    for item in read_all(FakeCapture(clock), clock):
        if isinstance(item, Record):
            grabbed = int(item.payload[0, 0, 0])
            assert abs(item.event_time_ns - start_ns - grabbed * NS_PER_S // 30) < NS_PER_MS
            assert (item.session, item.modality, item.content_type) == ("room", Modality.VIDEO, RAW_PICTURE)
            assert item.payload.shape == (4, 6, 3)


def test_progress_is_told_five_times_a_second_even_where_few_pictures_are_wanted() -> None:
    clock = ManualClock()
    items = read_all(FakeCapture(clock), clock, sample_hz=0.5)
    progress = [item for item in items if isinstance(item, Progress)]
    assert 14 <= len(progress) <= 16
    assert 1 <= len(items) - len(progress) <= 3


def test_progress_never_passes_a_picture_that_is_still_to_come() -> None:
    clock = ManualClock()
    through_ns = 0
    for item in read_all(FakeCapture(clock), clock, sample_hz=30):
        if isinstance(item, Progress):
            through_ns = item.through_ns
        elif isinstance(item, Record):
            assert item.event_time_ns >= through_ns


def test_frames_that_queued_up_while_opening_are_passed_over() -> None:
    clock = ManualClock()
    capture = FakeCapture(clock)
    capture.delays_s = [0.001] * 40
    items = read_all(capture, clock, sample_hz=30)
    assert isinstance(items[0], Record)
    assert int(items[0].payload[0, 0, 0]) == 43  # the 41st and 42nd were the first to be waited for


def test_frames_that_queued_up_while_pictures_were_not_taken_are_passed_over() -> None:
    clock = ManualClock()
    capture = FakeCapture(clock, frames=60)
    items: list[Item] = []

    def is_slow_once(item: Item) -> None:
        if not items:
            clock.advance(1.0)
            capture.delays_s = [0.001] * 30  # what queued up meanwhile
        items.append(item)

    with pytest.raises(SourceError):
        opened(capture, clock, sample_hz=30).read(is_slow_once, threading.Event())
    grabbed = [int(item.payload[0, 0, 0]) for item in items if isinstance(item, Record)]
    assert grabbed[:2] == [3, 36]


def test_a_sender_that_never_makes_us_wait_is_read_all_the_same() -> None:
    clock = ManualClock()
    capture = FakeCapture(clock, frames=3000)
    capture.delays_s = [0.001] * 3000
    assert any(isinstance(item, Record) for item in read_all(capture, clock))


def test_a_last_frame_from_the_decoder_of_a_camera_that_is_gone_is_no_picture() -> None:
    clock = ManualClock()
    capture = FakeCapture(clock)
    capture.delays_s = [0.033, 0.033, 0.033, 3.001]
    items: list[Item] = []
    with pytest.raises(SourceError, match="gave no picture for 3 s"):
        opened(capture, clock).read(items.append, threading.Event())
    assert len([item for item in items if isinstance(item, Record)]) == 1


def test_a_camera_that_fails_in_opencv_is_a_fault_naming_it() -> None:
    clock = ManualClock()
    capture = FakeCapture(clock)
    capture.fault = cv2.error("the driver is gone")
    with pytest.raises(SourceError, match=r"camera rtsp://10\.0\.0\.9/cam: breaks off: .*driver is gone"):
        opened(capture, clock).read(lambda item: None, threading.Event())


def test_a_camera_that_does_not_open_says_what_to_look_at() -> None:
    clock = ManualClock()
    with pytest.raises(SourceError, match=r"camera rtsp://10\.0\.0\.9/cam: cannot be opened; no video came"):
        opened(FakeCapture(clock, is_open=False), clock)


def test_a_camera_number_that_does_not_exist_is_named_with_those_that_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_module, "local_cameras", lambda: ["/dev/video0", "/dev/video2"])
    with pytest.raises(SourceError, match="camera 97: there is no such device; cameras: /dev/video0, /dev/video2"):
        Camera(CameraConfig("room", "97"), ManualClock()).open()


def test_a_camera_is_released_when_closed_and_closing_twice_is_harmless() -> None:
    clock = ManualClock()
    capture = FakeCapture(clock)
    camera = opened(capture, clock)
    camera.close()
    camera.close()
    assert not capture.is_open


def test_reading_stops_when_told_to() -> None:
    clock = ManualClock()
    stop = threading.Event()
    items: list[Item] = []

    def stops_at_once(item: Item) -> None:
        items.append(item)
        stop.set()

    opened(FakeCapture(clock), clock).read(stops_at_once, stop)
    assert len(items) == 2  # the picture, and that it was


def test_the_first_of_each_slot_is_taken_whatever_came_before() -> None:
    times_ms = [0, 33, 199, 200, 399, 401, 950, 1000]
    sampler = Sampler(5.0)
    assert [ms for ms in times_ms if sampler.takes(ms * NS_PER_MS)] == [0, 200, 401, 950, 1000]


def test_without_a_rate_all_are_taken() -> None:
    sampler = Sampler(None)
    assert all(sampler.takes(0) for _ in range(3))


def test_a_rate_must_be_above_zero() -> None:
    with pytest.raises(ValueError, match=r"above 0 Hz \(is 0\)"):
        Sampler(0)


def test_a_device_file_that_is_no_camera_is_listed_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "local_cameras", lambda: [Path("/dev/null"), Path("/dev/none")])
    null, none = discovery.cameras()
    assert (null.path, null.name) == (Path("/dev/null"), "null")
    assert null.problem is not None
    assert "is no Video4Linux device" in null.problem
    assert none.problem == "No such file or directory"


@pytest.mark.parametrize(("device_caps", "is_listed"), [(0x04200001, True), (0x04A00000, False)])
def test_of_a_cameras_device_files_the_one_with_pictures_is_listed(
    monkeypatch: pytest.MonkeyPatch, device_caps: int, is_listed: bool
) -> None:
    def answers(device: int, request: int, buffer: bytes) -> bytes:
        return buffer[:88] + device_caps.to_bytes(4, "little") + buffer[92:]

    monkeypatch.setattr(discovery, "local_cameras", lambda: [Path("/dev/null")])
    monkeypatch.setattr("fcntl.ioctl", answers)
    assert [camera.problem for camera in discovery.cameras()] == ([None] if is_listed else [])


def test_pictures_are_of_the_participant_that_is_configured() -> None:
    clock, ann = ManualClock(), Participant("ann", NamedBy.CONFIG)
    capture, items = FakeCapture(clock, frames=30), list[Item]()
    camera = Camera(CameraConfig("room", "rtsp://10.0.0.9/cam", participant=ann), clock, lambda config: capture)
    camera.open()
    with pytest.raises(SourceError, match="gives no more pictures"):
        camera.read(items.append, threading.Event())
    assert {item.participant for item in items if isinstance(item, Record)} == {ann}
