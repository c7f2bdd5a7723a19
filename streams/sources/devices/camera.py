"""Camera read through OpenCV: a local device or a network address.

Problem: drivers and network streams queue frames, so a reader that pauses gets pictures that are seconds old.
Rule: frames are grabbed as fast as the camera gives them, and only those that are due are retrieved. So the queue stays
empty, and the newest frame wins. A picture is stamped when it is grabbed. Frames that queued while the camera was
opened, or while pictures were not taken, are skipped. A camera that gives nothing for `read_timeout_s` is gone, even if
OpenCV then has a last frame in its decoder.
Left out: the sound of a network camera, and the capture time that an RTSP sender reports (OpenCV does not pass it on).
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2

from streams.clock import NS_PER_S, Clock
from streams.participants import Participant
from streams.records import RAW_PICTURE, Modality, Progress, Record
from streams.redaction import redacted_address
from streams.sources.base import Emit, SourceError
from streams.sources.sampler import Sampler

_PROGRESS_HZ = 5.0
_QUEUED_GRAB_S = 0.010  # a frame that took less was waiting for us: cameras give at most 60 a second
_SLOW_EMIT_S = 0.1
_QUEUE_LIMIT_S = 1.0  # a sender that never makes us wait is read all the same


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """Settings of a camera.

    `device`: "0" or "/dev/video0" for a local camera, else an address with a scheme (rtsp://, http://, ...).
    """

    session: str
    device: str
    sample_hz: float = 5.0
    open_timeout_s: float = 5.0
    read_timeout_s: float = 3.0
    """Local cameras answer at once when they are pulled out; one that hangs is noticed after ten seconds at most."""
    name: str = "camera"
    """Of the source, in metrics and logs; faults name the device too."""
    participant: Participant | None = None
    """Whose pictures it takes."""

    @property
    def is_network(self) -> bool:
        return "://" in self.device


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def isOpened(self) -> bool: ...
    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


def open_capture(config: CameraConfig) -> Capture:
    """A `cv2.VideoCapture`, which may not be open."""
    if config.is_network:
        timeouts = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            round(config.open_timeout_s * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            round(config.read_timeout_s * 1000),
            cv2.CAP_PROP_N_THREADS,
            1,  # each further decoding thread holds back one frame more
        ]
        return cv2.VideoCapture(config.device, cv2.CAP_FFMPEG, timeouts)
    capture = cv2.VideoCapture(str(_device_path(config.device)), cv2.CAP_V4L2)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture


class Camera:
    """Live source of one session's pictures.

    Pictures are (height, width, 3) BGR uint8 arrays. Owned by its runner's thread.
    """

    live = True
    modalities = frozenset({Modality.VIDEO})

    def __init__(
        self, config: CameraConfig, clock: Clock, open_capture: Callable[[CameraConfig], Capture] = open_capture
    ) -> None:
        self.name = config.name
        self._device = f"camera {redacted_address(config.device)}"
        self._config = config
        self._clock = clock
        self._open_capture = open_capture
        self._capture: Capture | None = None

    def open(self) -> None:
        if not self._config.is_network and not _device_path(self._config.device).exists():
            there = ", ".join(map(str, local_cameras())) or "there are none"
            raise SourceError(f"{self._device}: there is no such device; cameras: {there}")
        try:
            self._capture = self._open_capture(self._config)
        except cv2.error as error:
            raise SourceError(f"{self._device}: cannot be opened: {error}") from error
        if not self._capture.isOpened():
            raise SourceError(f"{self._device}: cannot be opened; {self._advice()}")

    def read(self, emit: Emit, stop: threading.Event) -> None:
        sampler = Sampler(self._config.sample_hz)
        progress = Sampler(_PROGRESS_HZ)
        self._skip_queue()
        while not stop.is_set():
            now_ns = self._grab()
            grabbed_ns = self._clock.monotonic_ns()
            if sampler.takes(now_ns):
                emit(self._retrieved(now_ns))
            if progress.takes(now_ns):
                emit(Progress(self._config.session, Modality.VIDEO, now_ns))
            if self._clock.monotonic_ns() - grabbed_ns > _SLOW_EMIT_S * NS_PER_S:
                self._skip_queue()

    def close(self) -> None:
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _skip_queue(self) -> None:
        """Grabs until it waited for two frames in a row.

        One alone may be the machine's delay.
        """
        begun_ns = now_ns = self._clock.monotonic_ns()
        waits = 0
        while waits < 2 and now_ns - begun_ns < _QUEUE_LIMIT_S * NS_PER_S:
            before_ns = now_ns
            self._grab()
            now_ns = self._clock.monotonic_ns()
            waits = waits + 1 if now_ns - before_ns >= _QUEUED_GRAB_S * NS_PER_S else 0

    def _grab(self) -> int:
        """Waits for the next frame; returns when it came."""
        before_ns = self._clock.monotonic_ns()
        try:
            if self._capture is None or not self._capture.grab():
                raise SourceError(f"{self._device}: gives no more pictures")
        except cv2.error as error:
            raise SourceError(f"{self._device}: breaks off: {error}") from error
        if self._clock.monotonic_ns() - before_ns >= self._config.read_timeout_s * NS_PER_S:
            raise SourceError(f"{self._device}: gave no picture for {self._config.read_timeout_s:g} s")
        return self._clock.wall_ns()

    def _retrieved(self, now_ns: int) -> Record:
        if self._capture is None:
            raise SourceError(f"{self._device}: is closed")
        try:
            retrieved, picture = self._capture.retrieve()
        except cv2.error as error:
            raise SourceError(f"{self._device}: breaks off: {error}") from error
        if not retrieved or picture is None:
            raise SourceError(f"{self._device}: gives a picture that cannot be decoded")
        session, participant = self._config.session, self._config.participant
        return Record(session, Modality.VIDEO, RAW_PICTURE, picture, now_ns, now_ns, participant=participant)

    def _advice(self) -> str:
        if self._config.is_network:
            return (
                f"no video came within {self._config.open_timeout_s:g} s: check the address and that it is switched on"
            )
        return "it is no camera, in use by another program, or this user may not open it (group video)"


def local_cameras() -> list[Path]:
    """The video device files of this machine, by number."""
    devices = (path for path in Path("/dev").glob("video*") if path.name.removeprefix("video").isdigit())
    return sorted(devices, key=lambda path: int(path.name.removeprefix("video")))


def _device_path(device: str) -> Path:
    return Path(f"/dev/video{device}" if device.isdigit() else device)
