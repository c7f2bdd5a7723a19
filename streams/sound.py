"""Sound from bytes to samples, and from pieces of sound to one evenly sampled segment.

Decoding and resampling are the libraries' (libsndfile, soxr). Ours is only where the pieces lie in the segment.
"""

import io
from email.message import Message

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from streams.clock import NS_PER_MS, NS_PER_S
from streams.events import Sound, SoundPieces

RATE_HZ = 16_000
"""What every model of speech here hears."""

CONTAINERS = frozenset({"audio/wav", "audio/x-wav", "audio/flac", "audio/ogg"})

_SNAP_NS = 20 * NS_PER_MS  # time stamps jitter by less than this; a real gap is longer
_FULL_SCALE = np.float32(32_768)  # of int16
_RATES_HZ = range(4_000, 384_001)
_UNKNOWN_BYTES = 0x7FFF_F000  # SoX promises this where it writes into a pipe, ffmpeg twice as much


class BadSound(Exception):
    """Sound that cannot be used; `reason` is a bounded word for counting."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def decode(content_type: str, payload: bytes, max_samples: int) -> Sound:
    """Mono sound at its own rate from PCM (`audio/L16`, s16le) or a whole WAV, FLAC or OGG file.

    PCM of one channel is left as it is until it is rendered: there is the most of it, and numpy lets go of the
    interpreter while it computes, for which the timeline would wait each time. BadSound if it is none, is cut short, or
    has over `max_samples` (counted over its channels).
    """
    header = Message()
    header["content-type"] = content_type
    if header.get_content_type() in CONTAINERS:
        return _decode_container(header.get_content_type(), payload, max_samples)
    rate_hz, channels = _parameter(header, "rate", 16_000), _parameter(header, "channels", 1)
    if rate_hz not in _RATES_HZ or not 1 <= channels <= 64:
        raise BadSound("content_type", f"PCM at {rate_hz} Hz, {channels} channels; 4000 to 384000 Hz, 1 to 64 are read")
    if not payload:
        raise BadSound("empty", "sound of 0 bytes")
    if len(payload) > 2 * max_samples:
        raise BadSound("oversized", f"{len(payload) // 2} samples; the limit is {max_samples}")
    if len(payload) % (2 * channels):
        raise BadSound("corrupt", f"{len(payload)} bytes are no whole number of {channels}-channel 16-bit samples")
    samples = np.frombuffer(payload, "<i2")
    if channels == 1:
        return Sound(samples, rate_hz)
    return Sound(samples.reshape(-1, channels).mean(axis=1, dtype=np.float32) / _FULL_SCALE, rate_hz)


def render(pieces: SoundPieces, start_ns: int, end_ns: int) -> NDArray[np.float32]:
    """One segment as samples (n,) float32 mono at RATE_HZ, silent where nothing was received.

    Pieces of one rate are laid end to end where their times agree to within jitter, and resampled as one.
    """
    segment = np.zeros(round((end_ns - start_ns) * RATE_HZ / NS_PER_S), np.float32)
    runs: dict[int, NDArray[np.float32]] = {}
    cursors: dict[int, int] = {}
    for time_ns, sound in pieces.pieces:
        length = round((end_ns - start_ns) * sound.rate_hz / NS_PER_S)
        run = runs.setdefault(sound.rate_hz, np.zeros(length, np.float32))
        at = round((time_ns - start_ns) * sound.rate_hz / NS_PER_S)
        expected = cursors.get(sound.rate_hz)
        if expected is not None and abs(at - expected) * NS_PER_S <= _SNAP_NS * sound.rate_hz:
            at = expected
        first, last = max(0, at), min(length, at + len(sound.samples))
        if first < last:
            run[first:last] = _scaled(sound.samples[first - at : last - at])
        cursors[sound.rate_hz] = at + len(sound.samples)
    for rate_hz, run in runs.items():
        resampled = run if rate_hz == RATE_HZ else soxr.resample(run, rate_hz, RATE_HZ)
        length = min(len(segment), len(resampled))
        segment[:length] += resampled[:length]
    return segment


def _scaled(samples: NDArray[np.float32] | NDArray[np.int16]) -> NDArray[np.float32]:
    floats = samples.astype(np.float32)
    return floats / _FULL_SCALE if samples.dtype == np.int16 else floats


def _decode_container(content_type: str, payload: bytes, max_samples: int) -> Sound:
    if not payload:
        raise BadSound("empty", "sound of 0 bytes")
    if payload.startswith(b"RIFF") and _is_cut_short(payload):
        raise BadSound("corrupt", f"{content_type} is cut short: it has {len(payload)} bytes and promises more")
    try:
        with soundfile.SoundFile(io.BytesIO(payload)) as file:
            rate_hz = file.samplerate
            if file.frames * file.channels > max_samples:  # as its header has it, which may lie
                raise BadSound("oversized", f"{file.frames} samples a channel; the limit is {max_samples} in all")
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise BadSound("corrupt", f"{content_type} cannot be decoded: {error}") from error
    if rate_hz not in _RATES_HZ:
        raise BadSound("corrupt", f"{content_type} at {rate_hz} Hz; 4000 to 384000 Hz are read")
    if not len(samples):
        raise BadSound("empty", f"{content_type} without samples")
    if not np.isfinite(samples).all():
        raise BadSound("corrupt", f"{content_type} with samples that are no numbers")
    return Sound(np.clip(samples.mean(axis=1), -1, 1), rate_hz)


def _is_cut_short(riff: bytes) -> bool:
    """Whether a RIFF file holds less than it promises, which libsndfile would not say; a byte of padding may lack."""
    promised = int.from_bytes(riff[4:8], "little")
    return promised < _UNKNOWN_BYTES and len(riff) < promised + 7


def _parameter(header: Message, name: str, default: int) -> int:
    text = str(header.get_param(name, str(default)))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadSound("content_type", f"content type parameter {name}={text[:16]!r} is no whole number")
    return int(text)
