"""Decodes sound, and renders its pieces into an evenly sampled segment.

Decoding and resampling are the libraries' (libsndfile, soxr). Ours is only where the pieces lie in the segment.
Channels stay apart until a segment is whole, since the downmix (`streams.decoding.downmix`) depends on all of it.
"""

import io
from collections.abc import Mapping

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from streams.clock import NS_PER_S
from streams.decoding import riff
from streams.decoding.content_type import BadContentType, ContentType, parse_content_type
from streams.decoding.downmix import downmixed
from streams.events import Sound, SoundPieces
from streams.reasons import BadRecord, DeadLetterReason

RATE_HZ = 16_000
"""The rate that every speech model here takes."""

CONTAINERS: Mapping[str, frozenset[str]] = {
    "audio/wav": frozenset({"WAV", "WAVEX", "RF64"}),
    "audio/x-wav": frozenset({"WAV", "WAVEX", "RF64"}),
    "audio/flac": frozenset({"FLAC"}),
    "audio/ogg": frozenset({"OGG"}),
}
"""Content types of whole files, with libsndfile's names of what they may hold."""

_CODECS = {"1": "PCM", "opus": "OPUS", "vorbis": "VORBIS", "flac": "FLAC"}
_BYTE_ORDERS = {"little-endian": "<i2", "big-endian": ">i2"}

_OGG_BEGINS = b"OggS\0\2"  # the first page of a sound, whose other pages have other flags
_FULL_SCALE = np.float32(32_768)  # of int16
_MOST_FORMS = 8  # of pieces of a second, each of which is resampled on its own: one stream has one, two at a change
_RATES_HZ = range(4_000, 384_001)


def decode_sound(content_type: str, payload: bytes, max_samples: int, max_s: float) -> Sound:
    """Decodes PCM or a WAV, FLAC or OGG file to samples.

    Samples keep their own rate and channels. PCM is `audio/L16`.

    PCM is s16le unless its parameter `endianness` says otherwise, at 16 kHz and of one channel where it does not say.
    It is left as it is until it is rendered: there is the most of it, and numpy lets go of the interpreter while it
    computes, for which the timeline would wait each time. BadRecord if it is none, is cut short, states what it is not,
    has over `max_samples` (counted over its channels) or lasts longer than `max_s`.
    """
    stated = parse_content_type(content_type)
    if stated.kind in CONTAINERS:
        stated.allow("codecs", "rate", "channels")
        return _decode_container(stated, payload, max_samples, max_s)
    stated.allow("rate", "channels", "endianness")
    sound = _decode_pcm(stated, payload, max_samples)
    _check_length(len(sound.samples), sound.rate_hz, max_s)
    return sound


def render_segment(pieces: SoundPieces, start_ns: int, end_ns: int) -> NDArray[np.float32]:
    """Renders a segment as (n,) float32 mono at RATE_HZ.

    It is silent where nothing was received.

    Pieces lie where they start without jitter (`streams.alignment.continuity`), later ones over earlier ones; those of
    one rate and as many channels are resampled as one.
    """
    segment = np.zeros(round((end_ns - start_ns) * RATE_HZ / NS_PER_S), np.float32)
    runs: dict[tuple[int, ...], NDArray[np.float32]] = {}
    cursors: dict[tuple[int, ...], int] = {}
    most_forms = _MOST_FORMS * max(1, round((end_ns - start_ns) / NS_PER_S))
    for time_ns, sound in pieces.pieces:
        length = round((end_ns - start_ns) * sound.rate_hz / NS_PER_S)
        form = sound.rate_hz, *sound.samples.shape[1:]
        if form not in runs and len(runs) == most_forms:
            raise BadRecord(
                DeadLetterReason.CORRUPT, f"a segment of sound in more than {most_forms} rates and numbers of channels"
            )
        run = runs.setdefault(form, np.zeros((length, *sound.samples.shape[1:]), np.float32))
        at = round((time_ns - start_ns) * sound.rate_hz / NS_PER_S)
        expected = cursors.get(form)
        if expected is not None and abs(at - expected) == 1:  # of rounding
            at = expected
        first, last = max(0, at), min(length, at + len(sound.samples))
        if first < last:
            run[first:last] = _scaled(sound.samples[first - at : last - at])
        cursors[form] = at + len(sound.samples)
    for (rate_hz, *_), channels in runs.items():
        run = channels if channels.ndim == 1 else downmixed(channels)
        resampled = run if rate_hz == RATE_HZ else soxr.resample(run, rate_hz, RATE_HZ)
        length = min(len(segment), len(resampled))
        segment[:length] += resampled[:length]
    return segment


def _scaled(samples: NDArray[np.float32] | NDArray[np.int16]) -> NDArray[np.float32]:
    floats = samples.astype(np.float32)
    return floats / _FULL_SCALE if samples.dtype == np.int16 else floats


def _decode_pcm(stated: ContentType, payload: bytes, max_samples: int) -> Sound:
    rate_hz, channels = stated.whole("rate", 16_000), stated.whole("channels", 1)
    endianness = stated.parameters.get("endianness", "little-endian").lower()
    if endianness not in _BYTE_ORDERS:
        raise BadContentType(f"parameter endianness={endianness[:16]!r} is neither little-endian nor big-endian")
    if rate_hz not in _RATES_HZ or not 1 <= channels <= 64:
        raise BadContentType(f"PCM at {rate_hz} Hz, {channels} channels; 4000 to 384000 Hz, 1 to 64 are read")
    if not payload:
        raise BadRecord(DeadLetterReason.EMPTY, "sound of 0 bytes")
    if len(payload) > 2 * max_samples:
        raise BadRecord(DeadLetterReason.OVERSIZED, f"{len(payload) // 2} samples; the limit is {max_samples}")
    if len(payload) % (2 * channels):
        raise BadRecord(
            DeadLetterReason.CORRUPT,
            f"{len(payload)} bytes are not a whole number of {channels}-channel 16-bit samples",
        )
    samples = np.frombuffer(payload, _BYTE_ORDERS[endianness]).astype("<i2", copy=False)
    return Sound(samples if channels == 1 else samples.reshape(-1, channels), rate_hz)


def _check_length(frames: int, rate_hz: int, max_s: float) -> None:
    if frames > max_s * rate_hz:
        raise BadRecord(DeadLetterReason.OVERSIZED, f"sound of {frames / rate_hz:.1f} s; the limit is {max_s:g} s")


def _decode_container(stated: ContentType, payload: bytes, max_samples: int, max_s: float) -> Sound:
    if not payload:
        raise BadRecord(DeadLetterReason.EMPTY, "sound of 0 bytes")
    if riff.missing_bytes(payload[: riff.HEADER_BYTES], len(payload)) > 1:  # a byte of padding may lack
        raise BadRecord(
            DeadLetterReason.CORRUPT,
            f"{stated.kind} is cut short: it has {len(payload)} bytes, fewer than its header says",
        )
    if _is_chained(payload):
        raise BadRecord(
            DeadLetterReason.CONTENT_TYPE, f"{stated.kind} of several sounds one after the other; send each as a record"
        )
    try:
        with soundfile.SoundFile(io.BytesIO(riff.with_samples(payload))) as file:
            _check_stated(stated, file)
            rate_hz = file.samplerate
            if file.frames * file.channels > max_samples:  # as its header has it, which may lie
                raise BadRecord(
                    DeadLetterReason.OVERSIZED, f"{file.frames} samples a channel; the limit is {max_samples} in all"
                )
            _check_length(file.frames, rate_hz, max_s)
            samples = file.read(file.frames, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise BadRecord(DeadLetterReason.CORRUPT, f"{stated.kind} cannot be decoded: {error.error_string}") from error
    if rate_hz not in _RATES_HZ:
        raise BadRecord(DeadLetterReason.CORRUPT, f"{stated.kind} at {rate_hz} Hz; 4000 to 384000 Hz are read")
    if not len(samples):
        raise BadRecord(DeadLetterReason.EMPTY, f"{stated.kind} without samples")
    if not np.isfinite(samples).all():
        raise BadRecord(DeadLetterReason.CORRUPT, f"{stated.kind} with samples that are no numbers")
    samples = np.clip(samples, -1, 1)
    return Sound(samples[:, 0] if samples.shape[1] == 1 else samples, rate_hz)


def _check_stated(stated: ContentType, file: soundfile.SoundFile) -> None:
    """BadRecord unless the file is what its content type says."""
    if file.format not in CONTAINERS[stated.kind]:
        raise BadRecord(DeadLetterReason.CONTENT_TYPE, f"{stated.kind} that is a file of {file.format}")
    codec = stated.parameters.get("codecs")
    if codec is not None and _CODECS.get(codec.lower(), "none") not in file.subtype:
        raise BadRecord(DeadLetterReason.CONTENT_TYPE, f"parameter codecs={codec[:16]!r} of a file of {file.subtype}")
    for name, holds in (("rate", file.samplerate), ("channels", file.channels)):
        if stated.whole(name, holds) != holds:
            raise BadRecord(
                DeadLetterReason.CONTENT_TYPE, f"parameter {name}={stated.parameters[name]} of a file that has {holds}"
            )


def _is_chained(payload: bytes) -> bool:
    """Whether an Ogg file starts again after its first sound.

    libsndfile would read the first alone.
    """
    if not payload.startswith(_OGG_BEGINS):
        return False
    followed_at = min(
        (at for flag in b"\0\1\4\5" if (at := payload.find(b"OggS\0%c" % flag)) >= 0), default=len(payload)
    )
    return payload.find(_OGG_BEGINS, followed_at) >= 0
