"""Augmentation of speech: voice, room, noise, line, level and codec.

Problem: two studio corpora with thirty speakers; the daemon hears other voices through other microphones, telephone
lines and codecs. Rule: each change is drawn independently, in the order in which sound travels: voice (speed and
pitch), room (reverberation, noise), line (band), level, codec (AAC). The same generator state gives the same sound.
Log-mel frames, for networks that learn from them, may have bands and stretches hidden as well (`masked`). Left out:
changes of what Whisper says of the frames, which training draws anew each epoch. Sources: speed, Ko et al. (2015); a
room as decaying noise, Lebart et al. (2001).
"""

from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt
import soxr

from models.speech.whisper import SAMPLE_RATE_HZ

Pcm = npt.NDArray[np.float32]
_AAC_FRAME = 1024


@dataclass(frozen=True, slots=True)
class SpeechAugmentation:
    """Probability (0..1) and range (lowest, highest) of each change."""

    speed: float = 0.7
    speed_factor: tuple[float, float] = (0.88, 1.14)
    reverberation: float = 0.2
    decay_s: tuple[float, float] = (0.1, 0.5)
    noise: float = 0.6
    snr_db: tuple[float, float] = (8.0, 40.0)
    telephone: float = 0.1
    gain_db: tuple[float, float] = (-12.0, 12.0)
    aac: float = 0.3
    aac_bits_per_s: tuple[int, int] = (32_000, 128_000)


def augment(pcm: Pcm, change: SpeechAugmentation, rng: np.random.Generator) -> Pcm:
    """Augments sound, (samples,) float32 in -1..1 at 16 kHz.

    Speed changes its length.
    """
    if rng.random() < change.speed:
        pcm = soxr.resample(pcm, SAMPLE_RATE_HZ * rng.uniform(*change.speed_factor), SAMPLE_RATE_HZ)
    if rng.random() < change.reverberation:
        pcm = reverberated(pcm, rng.uniform(*change.decay_s), rng)
    if rng.random() < change.noise:
        pcm = noisy(pcm, rng.uniform(*change.snr_db), rng)
    if rng.random() < change.telephone:
        pcm = band_limited(pcm, 300, 3400)
    pcm = np.clip(pcm * 10 ** (rng.uniform(*change.gain_db) / 20), -1, 1).astype(np.float32)
    if rng.random() < change.aac:
        pcm = aac_coded(pcm, int(rng.integers(*change.aac_bits_per_s)))
    return pcm


def noisy(pcm: Pcm, snr_db: float, rng: np.random.Generator) -> Pcm:
    """Adds noise of a random colour, from white to brown.

    Its power falls by a random slope between none and squared frequency.
    """
    spectrum = np.fft.rfft(rng.normal(size=pcm.size))
    frequency = np.maximum(np.fft.rfftfreq(pcm.size), 50 / SAMPLE_RATE_HZ)
    noise = np.fft.irfft(spectrum * frequency ** -rng.uniform(0, 1), pcm.size)
    loudest = np.quantile(np.square(pcm), 0.9)  # the power of the speech, not of the pauses
    noise *= np.sqrt(max(loudest, 1e-12) / np.mean(np.square(noise)) / 10 ** (snr_db / 10))
    return (pcm + noise).astype(np.float32)


def reverberated(pcm: Pcm, decay_s: float, rng: np.random.Generator) -> Pcm:
    """Convolves with a synthetic room.

    The direct sound, and noise that decays by 60 dB in `decay_s`, half as strong.
    """
    time_s = np.arange(int(decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = rng.normal(size=time_s.size) * 10 ** (-3 * time_s / decay_s)
    room = tail * np.sqrt(0.5 / np.sum(np.square(tail)))
    room[0] = 1.0
    size = pcm.size + room.size - 1
    return np.fft.irfft(np.fft.rfft(pcm, size) * np.fft.rfft(room, size), size)[: pcm.size].astype(np.float32)


def band_limited(pcm: Pcm, low_hz: float, high_hz: float) -> Pcm:
    """Limits sound to a band, such as that of a telephone.

    What lies outside falls by 48 dB an octave.
    """
    frequency_hz = np.maximum(np.fft.rfftfreq(pcm.size, 1 / SAMPLE_RATE_HZ), 1.0)
    response = 1 / np.sqrt((1 + (low_hz / frequency_hz) ** 16) * (1 + (frequency_hz / high_hz) ** 16))
    return np.fft.irfft(np.fft.rfft(pcm) * response, pcm.size).astype(np.float32)


def aac_coded(pcm: Pcm, bits_per_s: int) -> Pcm:
    """Encodes and decodes AAC; the coder's delay is cut."""
    coder = av.CodecContext.create("aac", "w")
    coder.sample_rate, coder.layout, coder.format, coder.bit_rate = SAMPLE_RATE_HZ, "mono", "fltp", bits_per_s
    decoder = av.CodecContext.create("aac", "r")
    packets = []
    for start in range(0, pcm.size, _AAC_FRAME):
        frame = av.AudioFrame.from_ndarray(pcm[None, start : start + _AAC_FRAME], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, start
        packets += coder.encode(frame)
    packets += coder.encode(None)
    decoder.extradata = coder.extradata
    decoder.sample_rate, decoder.layout = SAMPLE_RATE_HZ, "mono"
    decoded = [frame.to_ndarray()[0] for packet in [*packets, None] for frame in decoder.decode(packet)]
    sound = np.concatenate(decoded)[_AAC_FRAME:][: pcm.size]
    return np.pad(sound, (0, pcm.size - sound.size)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Masks:
    """How much of the log-mel frames is masked.

    So many bands and stretches, each of any width up to the widest.

    longest_stretch: share of the frames, 0..1.
    """

    bands: int = 2
    widest_band: int = 12
    stretches: int = 2
    longest_stretch: float = 0.15


def masked(mel: Pcm, masks: Masks, rng: np.random.Generator) -> Pcm:
    """Masks mel bins and stretches of time (SpecAugment: Park et al., 2019).

    Masked values are the mean; nothing is warped.

    mel: (bins, time) float32. Returns a changed copy.
    """
    hidden = np.zeros(mel.shape, bool)
    for _ in range(masks.bands):
        first, end = _span(mel.shape[0], masks.widest_band, rng)
        hidden[first:end] = True
    for _ in range(masks.stretches):
        first, end = _span(mel.shape[1], int(masks.longest_stretch * mel.shape[1]), rng)
        hidden[:, first:end] = True
    return np.where(hidden, mel.mean(), mel)


def _span(size: int, widest: int, rng: np.random.Generator) -> tuple[int, int]:
    """A random span, which may be empty, of `size` places."""
    width = int(rng.integers(min(widest, size) + 1))
    first = int(rng.integers(size - width + 1))
    return first, first + width
