"""Device discovery: cameras and microphones, and whether they can be opened.

The Video4Linux call `QUERYCAP` tells what a device file is, and does not start the camera. A camera has several device
files, of which one gives pictures. Left out: cameras on systems other than Linux, and network cameras.
"""

import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path

from streams.sources.devices import portaudio
from streams.sources.devices.camera import local_cameras

_VIDIOC_QUERYCAP = 0x80685600  # _IOR('V', 0, struct v4l2_capability), 104 bytes; linux/videodev2.h
_CAPABILITY = struct.Struct("16s32s32sIII12x")  # driver, card, bus_info, version, capabilities, device_caps
_VIDEO_CAPTURE = 0x00000001 | 0x00001000  # V4L2_CAP_VIDEO_CAPTURE, V4L2_CAP_VIDEO_CAPTURE_MPLANE


@dataclass(frozen=True, slots=True)
class CameraDevice:
    """A camera; `problem` tells why it cannot be opened."""

    path: Path
    name: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class MicrophoneDevice:
    """A sound device with inputs, at the rate it prefers."""

    index: int
    name: str
    system: str
    channels: int
    rate_hz: int
    is_default: bool


def cameras() -> list[CameraDevice]:
    """The device files that give pictures, or cannot be queried."""
    found = [_camera(path) for path in local_cameras()]
    return [camera for camera in found if camera is not None]


def microphones() -> list[MicrophoneDevice]:
    """The sound devices with inputs; SourceError without PortAudio."""
    with portaudio.refreshed_devices() as sounddevice:
        default, _ = sounddevice.default.device
        systems = [api["name"] for api in sounddevice.query_hostapis()]
        return [
            MicrophoneDevice(
                index=device["index"],
                name=device["name"],
                system=systems[device["hostapi"]],
                channels=device["max_input_channels"],
                rate_hz=int(device["default_samplerate"]),
                is_default=device["index"] == default,
            )
            for device in sounddevice.query_devices()
            if device["max_input_channels"] > 0
        ]


def _camera(path: Path) -> CameraDevice | None:
    """The camera of a device file.

    None for a file that is not the one with the pictures.
    """
    named = Path("/sys/class/video4linux", path.name, "name")
    name = named.read_text(errors="replace").strip() if named.exists() else path.name
    try:
        device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        advice = " (is this user in the group video?)" if isinstance(error, PermissionError) else ""
        return CameraDevice(path, name, f"{error.strerror}{advice}")
    try:
        answer = fcntl.ioctl(device, _VIDIOC_QUERYCAP, bytes(_CAPABILITY.size))
    except OSError as error:
        return CameraDevice(path, name, f"is no Video4Linux device: {error.strerror}")
    finally:
        os.close(device)
    *_, device_caps = _CAPABILITY.unpack(answer)
    return CameraDevice(path, name, None) if device_caps & _VIDEO_CAPTURE else None
