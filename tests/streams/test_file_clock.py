"""Transport streams whose clock jumps: all streams of it move together, and a hole in one stays a hole."""

import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streams.clock import NS_PER_S, ManualClock
from streams.records import Modality, Record
from streams.sources.stored.discovery import stored_sessions
from streams.sources.stored.file_clock import FileClock
from streams.sources.stored.media_session import START_NS
from streams.sources.stored.playback import Playback

pytestmark = pytest.mark.unit

VIDEO, SOUND = 0, 1
WRAP_S = 2**33 / 90_000


def times(packets: list[tuple[int, float]]) -> list[float]:
    """When packets of a second each are, in seconds, on one clock."""
    clock = FileClock(10 * NS_PER_S)
    return [
        round(at_s + clock.shift_ns(stream, round(at_s * NS_PER_S), NS_PER_S) / NS_PER_S, 3) for stream, at_s in packets
    ]


def both(stamps: list[float]) -> list[tuple[int, float]]:
    return [(stream, at_s) for at_s in stamps for stream in (VIDEO, SOUND)]


@pytest.mark.parametrize(
    ("packets", "on_one_clock"),
    [
        pytest.param(both([0, 1, 2]), [0, 0, 1, 1, 2, 2], id="as stamped"),
        pytest.param(
            [(VIDEO, t) for t in range(3)] + [(SOUND, 0)] + [(VIDEO, t) for t in range(3, 31)] + [(SOUND, 30)],
            [0, 1, 2, 0, *range(3, 31), 30],
            id="a hole in one stream stays a hole",
        ),
        pytest.param(both([0, 1, 50, 51]), [0, 0, 1, 1, 2, 2, 3, 3], id="streams that leap together follow on"),
        pytest.param(both([5, 6, 0, 1]), [5, 5, 6, 6, 7, 7, 8, 8], id="streams that start again follow on together"),
        pytest.param(
            [(VIDEO, 5), (SOUND, 5), (VIDEO, 0), (SOUND, 6), (VIDEO, 1), (SOUND, 0), (SOUND, 1)],
            [5, 5, 6, 6, 7, 6, 7],
            id="what is left of the old clock comes after the new one has begun",
        ),
        pytest.param(
            both([WRAP_S - 2, WRAP_S - 1, 0.5, 1.5])[:-1],
            [*np.repeat([WRAP_S - 2, WRAP_S - 1, WRAP_S], 2).round(3), round(WRAP_S + 1, 3)],
            id="a counter that wraps",
        ),
    ],
)
def test_streams_of_one_file_are_corrected_together(
    packets: list[tuple[int, float]], on_one_clock: list[float]
) -> None:
    assert times(packets) == pytest.approx(on_one_clock, abs=0.002)


def write(path: Path, pictures_s: list[float], sounds_s: list[tuple[float, float]]) -> Path:
    """Pictures at these times, and a tone in these spans."""
    with av.open(str(path), "w") as box:
        video = box.add_stream("mpeg2video", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.options = {"bf": "0"}
        sound = box.add_stream("mp2", rate=32_000, layout="mono")
        packets: list[Any] = []
        for at_s in pictures_s:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 99, np.uint8), format="bgr24")
            frame.pts, frame.time_base = round(at_s * 25), Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None)
        tone = np.full((1, 1152), 8_000, np.int16)
        for first_s, last_s in sounds_s:
            for at in range(round(first_s * 32_000), round(last_s * 32_000), 1152):
                block = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
                block.sample_rate, block.pts = 32_000, at
                packets += sound.encode(block)
        packets += sound.encode(None)
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
            box.mux(packet)
    return path


def sound_spans(path: Path) -> list[tuple[float, float]]:
    """Where sound is, in seconds, pieces that touch taken together."""
    items: list[object] = []
    Playback(stored_sessions([path]), ManualClock()).read(items.append, threading.Event())
    spans: list[tuple[float, float]] = []
    for item in items:
        if isinstance(item, Record) and item.modality is Modality.AUDIO:
            begin_s = (item.event_time_ns - START_NS) / NS_PER_S
            end_s = begin_s + len(item.payload) / 2 / 32_000
            if spans and begin_s - spans[-1][1] < 0.1:
                spans[-1] = (spans[-1][0], end_s)
            else:
                spans.append((begin_s, end_s))
    return spans


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_sound_after_a_hole_of_twenty_seconds_is_where_it_was(tmp_path: Path, suffix: str) -> None:
    pictures_s = [at / 5 for at in range(150)]
    path = write(tmp_path / f"room{suffix}", pictures_s, [(0, 3), (23, 30)])
    (first, second) = sound_spans(path)
    assert first == pytest.approx((0, 3), abs=0.2)
    assert second == pytest.approx((23, 30), abs=0.2)


def test_a_cut_in_all_of_a_transport_stream_is_closed_for_picture_and_sound_alike(tmp_path: Path) -> None:
    pictures_s = [*np.arange(0, 3, 0.2), *np.arange(100, 103, 0.2)]
    path = write(tmp_path / "room.ts", pictures_s, [(0, 3), (100, 103)])
    (whole,) = sound_spans(path)
    assert whole == pytest.approx((0, 6), abs=0.3)
