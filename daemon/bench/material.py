"""The input of the benchmarks: the sample session as devices send it.

A second is 30 JPEG pictures of 640x480 (each of the sample's 10 is sent three times), 10 stretches of PCM sound, and a
line of chat every other second.
"""

import itertools
from collections.abc import Iterator
from functools import cache

import av
import cv2
import numpy as np

from daemon.sample import SAMPLE
from streams.clock import NS_PER_S
from streams.decoding.sound import RATE_HZ
from streams.records import Modality, Record

FRAMES_HZ, SOUNDS_HZ, LINES_HZ = 30, 10, 0.5
START_NS = 946_684_800 * NS_PER_S
"""2000-01-01, a multiple of every window step used here."""

_USED_S = 12  # from its start: somebody is seen and heard throughout; longer streams repeat it
_LINE = "It just arrived, this is wonderful, thank you so much!"


def records(for_s: int, session: str = "bench") -> list[Record]:
    """The records of `for_s` seconds of one session, in event-time order."""
    made = [*_pictures(for_s, session), *_sounds(for_s, session), *_lines(for_s, session)]
    return sorted(made, key=lambda record: record.event_time_ns)


def _pictures(for_s: int, session: str) -> Iterator[Record]:
    jpegs = _sample_pictures()
    per_picture = FRAMES_HZ * _USED_S // len(jpegs)
    for number in range(for_s * FRAMES_HZ):
        payload = jpegs[number // per_picture % len(jpegs)]
        yield _record(session, Modality.VIDEO, "image/jpeg", payload, number / FRAMES_HZ)


def _sounds(for_s: int, session: str) -> Iterator[Record]:
    samples = sample_pcm()[: RATE_HZ * _USED_S]
    length = RATE_HZ // SOUNDS_HZ
    for number in range(for_s * SOUNDS_HZ):
        first = number * length % len(samples)
        payload = samples[first : first + length].tobytes()
        yield _record(session, Modality.AUDIO, f"audio/L16; rate={RATE_HZ}", payload, number / SOUNDS_HZ)


def _lines(for_s: int, session: str) -> Iterator[Record]:
    for number in range(int(for_s * LINES_HZ)):
        yield _record(session, Modality.TEXT, "text/plain", _LINE.encode(), number / LINES_HZ)


def _record(session: str, modality: Modality, content_type: str, payload: bytes, at_s: float) -> Record:
    time_ns = START_NS + round(at_s * NS_PER_S)
    return Record(session, modality, content_type, payload, time_ns, time_ns)


@cache
def _sample_pictures() -> list[bytes]:
    with av.open(str(SAMPLE)) as container:
        frames = itertools.takewhile(lambda frame: frame.time < _USED_S, container.decode(video=0))
        return [cv2.imencode(".jpg", frame.to_ndarray(format="bgr24"))[1].tobytes() for frame in frames]


@cache
def sample_pcm() -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """The sample's whole sound, (samples,) at 16 kHz."""
    with av.open(str(SAMPLE)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
        pieces = [piece.to_ndarray()[0] for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    return np.concatenate(pieces).astype(np.int16)
