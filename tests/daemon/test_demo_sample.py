import json
from itertools import pairwise
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from daemon.sample import SAMPLE
from models.face.detector import FaceDetector
from tests.sample.script import CHAT, FACE_COVERED, LENGTH_S, NO_CHAT, NO_FACE, NO_VOICE, Span

pytestmark = pytest.mark.unit

CHAT_FILE = SAMPLE.with_name("sample.chat.jsonl")
SPEECH_RMS = 0.01  # -40 dB: the room alone is near -62 dB
FADE_S = 0.6


def pictures(every: int) -> list[tuple[float, npt.NDArray[np.uint8]]]:
    with av.open(str(SAMPLE)) as container:
        decoded: list[Any] = list(container.decode(video=0))
    return [(frame.time, frame.to_ndarray(format="bgr24")) for frame in decoded[::every]]


def loudness() -> npt.NDArray[np.float64]:
    """Root mean square of each half second."""
    with av.open(str(SAMPLE)) as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    track = np.concatenate(frames)[: round(LENGTH_S * 16_000)]
    halves = track[: len(track) // 8000 * 8000].reshape(-1, 8000).astype(np.float64)
    return np.asarray(np.sqrt((halves**2).mean(axis=1)))


def inside(at_s: float, span: Span) -> bool:
    return span[0] <= at_s < span[1]


def test_it_lasts_between_40_and_60_seconds_and_is_small() -> None:
    with av.open(str(SAMPLE)) as container:
        for stream in container.streams:
            assert 40 <= float((stream.duration or 0) * (stream.time_base or 0)) <= 60
    assert SAMPLE.stat().st_size < 1_500_000


def test_its_chat_is_the_script_s_and_goes_through_in_order_in_two_languages() -> None:
    lines = [json.loads(line) for line in CHAT_FILE.read_text(encoding="utf-8").splitlines()]
    assert [(line["at_s"], line["text"], line["lang"]) for line in lines] == [(c.at_s, c.text, c.lang) for c in CHAT]
    assert all(before["at_s"] < after["at_s"] for before, after in pairwise(lines))
    assert {line["lang"] for line in lines} == {"en", "zh"}


def test_every_missing_stretch_is_long_enough_for_windows_wholly_inside() -> None:
    assert all(end - start >= 6 for start, end in (NO_CHAT, NO_FACE, NO_VOICE))


def test_a_face_is_there_except_where_the_script_says() -> None:
    detector = FaceDetector()
    for at_s, picture in pictures(every=10):
        if inside(at_s, NO_FACE) or inside(at_s, FACE_COVERED):
            assert detector.detect(picture) == [], f"at {at_s} s"
        elif not inside(at_s, (NO_FACE[0] - FADE_S, NO_FACE[1] + FADE_S)):
            faces = detector.detect(picture)
            assert len(faces) == 1, f"at {at_s} s"
            left, top, right, bottom = faces[0].box
            assert 90 <= max(right - left, bottom - top) <= 230


def test_nobody_speaks_where_no_voice_is_due_and_somebody_in_every_other_stretch() -> None:
    rms = loudness()
    at_s = np.arange(len(rms)) / 2
    assert rms[(at_s >= NO_VOICE[0]) & (at_s < NO_VOICE[1])].max() < SPEECH_RMS / 4
    for start, end in (NO_CHAT, NO_FACE, FACE_COVERED, (40.0, LENGTH_S)):
        assert (rms[(at_s >= start) & (at_s < end)] > SPEECH_RMS).mean() > 0.5, f"from {start} s"


def test_nobody_writes_where_no_chat_is_due_and_somebody_in_every_other_stretch() -> None:
    assert not [line for line in CHAT if inside(line.at_s, NO_CHAT)]
    for span in (NO_FACE, NO_VOICE):
        assert len([line for line in CHAT if inside(line.at_s, span)]) >= 4
