"""Frames of files as they are meant to be shown: what their container states about them is heeded."""

import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream
from numpy.typing import NDArray

from streams.clock import ManualClock
from streams.decoding import pictures
from streams.decoding.frames import to_pixels, with_pixel_shape
from streams.events import Picture
from streams.records import RAW_PICTURE, Modality, Record
from streams.sources.stored.discovery import stored_sessions
from streams.sources.stored.playback import Playback
from streams.sources.stored.recording import RecordingWriter

pytestmark = pytest.mark.unit

WIDTH, HEIGHT = 96, 48
CORNERED: NDArray[np.uint8] = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
CORNERED[: HEIGHT // 2, : WIDTH // 2] = 250  # white at the top left

Setup = Callable[[VideoStream], object]


def write(path: Path, setup: Setup, picture: NDArray[np.uint8] = CORNERED) -> Path:
    with av.open(str(path), "w") as box:
        stream = box.add_stream("mpeg4", rate=10)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        setup(stream)
        for at in range(3):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = at, Fraction(1, 10)
            box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
    return path


def played(path: Path) -> list[Record]:
    items: list[object] = []
    Playback(stored_sessions([path]), ManualClock()).read(items.append, threading.Event())
    return [item for item in items if isinstance(item, Record) and item.modality is Modality.VIDEO]


def shown(path: Path, max_side_px: int = 640) -> NDArray[np.uint8]:
    return pictures.decode_picture(Picture(RAW_PICTURE, played(path)[1].payload), max_side_px)


def white_corner(pixels: NDArray[np.uint8]) -> str:
    height, width = pixels.shape[:2]
    places = {"top left": (1, 1), "top right": (1, 3), "bottom left": (3, 1), "bottom right": (3, 3)}
    light = {name: int(pixels[height * y // 4, width * x // 4].mean()) for name, (y, x) in places.items()}
    (white,) = (name for name, value in light.items() if value > 200)
    assert sorted(light.values())[2] < 80
    return white


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(
    ("turned", "mirrored", "corner"),
    [
        (0, {}, "top left"),
        (90, {}, "bottom left"),
        (180, {}, "bottom right"),
        (270, {}, "top right"),
        (0, {"hflip": True}, "top right"),
        (0, {"vflip": True}, "bottom left"),
        (90, {"vflip": True}, "top left"),
        (90, {"hflip": True}, "bottom right"),
    ],
)
def test_a_picture_is_turned_and_mirrored_as_its_file_states(
    tmp_path: Path, suffix: str, turned: int, mirrored: dict[str, bool], corner: str
) -> None:
    path = write(tmp_path / f"room{suffix}", lambda stream: stream.set_display_rotation(turned, **mirrored))
    pixels = shown(path)
    assert white_corner(pixels) == corner
    assert pixels.shape[:2] == ((HEIGHT, WIDTH) if turned in (0, 180) else (WIDTH, HEIGHT))
    assert white_corner(shown(path, 30)) == corner


def test_a_turn_of_other_than_quarters_is_rounded_to_one(tmp_path: Path) -> None:
    path = write(tmp_path / "room.mp4", lambda stream: stream.set_display_rotation(100))
    assert white_corner(shown(path)) == "bottom left"


def test_a_recording_keeps_pictures_upright(tmp_path: Path) -> None:
    (record, *_) = played(write(tmp_path / "room.mp4", lambda stream: stream.set_display_rotation(90)))
    with RecordingWriter(tmp_path / "recorded", "room", 0) as writer:
        writer.append(record)
    (kept,) = played(tmp_path / "recorded")
    assert white_corner(pictures.decode_picture(Picture(kept.content_type, kept.payload), 640)) == "bottom left"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize(("ratio", "shape"), [(Fraction(2), (48, 192)), (Fraction(1, 2), (48, 48))])
def test_pixels_that_are_not_square_are_drawn_out(
    tmp_path: Path, suffix: str, ratio: Fraction, shape: tuple[int, int]
) -> None:
    def stretch(stream: VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = ratio

    path = write(tmp_path / f"room{suffix}", stretch)
    assert shown(path).shape[:2] == shape
    assert max(shown(path, 24).shape) == 24


@pytest.mark.parametrize("ratio", [None, Fraction(0), Fraction(1), Fraction(500)])
def test_a_shape_of_pixels_that_cannot_be_is_passed_over(ratio: Fraction | None) -> None:
    frame = av.VideoFrame.from_ndarray(CORNERED, format="bgr24")
    assert to_pixels(with_pixel_shape(frame, ratio)).shape == CORNERED.shape


def yuv(luma: int, form: str = "yuv420p") -> av.VideoFrame:
    frame = av.VideoFrame(64, 48, form)
    deep = "10" in form
    for plane, value in zip(frame.planes, (luma, 512 if deep else 128, 512 if deep else 128), strict=True):
        plane.update(np.full(plane.buffer_size // (2 if deep else 1), value, np.uint16 if deep else np.uint8).tobytes())
    return frame


def level(frame: av.VideoFrame) -> int:
    return int(to_pixels(frame)[20, 20].mean())


def test_the_range_of_colours_that_a_frame_states_is_heeded() -> None:
    limited, full = yuv(235), yuv(235)
    limited.color_range, full.color_range = ColorRange.MPEG, ColorRange.JPEG
    assert (level(limited), level(full), level(yuv(235))) == (255, 235, 255)


def test_the_matrix_of_colours_that_a_frame_states_is_heeded() -> None:
    red = yuv(63)
    for plane, value in zip(red.planes[1:], (102, 240), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    red.colorspace = Colorspace.ITU709
    assert to_pixels(red)[20, 20].tolist() == pytest.approx([0, 0, 255], abs=3)


@pytest.mark.parametrize(("curve", "white"), [(ColorTrc.SMPTE2084, 0.58), (ColorTrc.ARIB_STD_B67, 0.75)])
def test_the_reference_white_of_hdr_is_white_and_skin_is_not_dark(curve: ColorTrc, white: float) -> None:
    """In both, a mid-grey (18 %) lies at 0.38 of the signal; in SDR near 0.41 to 0.49."""

    def shown_at(signal: float) -> int:
        frame = yuv(64 + round(signal * 876), "yuv420p10le")
        frame.color_trc = curve
        return level(frame)

    assert shown_at(white) >= 250
    assert 100 <= shown_at(0.38) <= 126
    assert shown_at(0) == 0


def test_ten_bits_without_hdr_are_shown_as_they_are() -> None:
    assert level(yuv(940, "yuv420p10le")) == 255


def test_of_two_interlaced_moments_one_is_shown(tmp_path: Path) -> None:
    moved: NDArray[np.uint8] = np.full((64, 96, 3), 40, np.uint8)
    moved[::2, 8:40] = 240  # where it was
    moved[1::2, 56:88] = 240  # and a fiftieth of a second later

    def interlace(stream: VideoStream) -> None:
        stream.codec_context.options = {"flags": "+ildct+ilme", "qscale": "2"}

    path = write(tmp_path / "room.mkv", interlace, moved)
    assert played(path)[1].payload.interlaced_frame
    for max_side_px in (96, 48):
        pixels = shown(path, max_side_px)
        scale = max_side_px / 96
        assert pixels.shape[:2] == (round(64 * scale), max_side_px)
        first, second = pixels[:, round(24 * scale)], pixels[:, round(72 * scale)]
        assert first.min() > 180
        assert second.max() < 100
