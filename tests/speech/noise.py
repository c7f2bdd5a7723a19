"""Speech as it arrives: with noise, over a telephone, or recorded too loud.

All take and return (samples,) float32 in -1..1 at 16 kHz.
"""

import numpy as np
import soxr

from tests.speech.synthesis import RATE_HZ, Samples

TELEPHONE_HZ = 8000
_TELEPHONE_BAND_HZ = (300.0, 3400.0)
_ACTIVE_QUANTILE = 0.5  # of frames' power, above which a frame counts as speech
_FRAME = RATE_HZ // 50


def white(samples: int, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).normal(0, 1, samples).astype(np.float32)


def pink(samples: int, seed: int = 0) -> Samples:
    """Power falls by 3 dB an octave."""
    return coloured(samples, -0.5, seed)


def brown(samples: int, seed: int = 0) -> Samples:
    """Power falls by 6 dB an octave."""
    return coloured(samples, -1.0, seed)


def hum(samples: int, mains_hz: float = 50.0) -> Samples:
    """Mains hum with its harmonics."""
    at_s = np.arange(samples) / RATE_HZ
    parts = [np.sin(2 * np.pi * mains_hz * number * at_s + number) / number for number in (1, 2, 3, 4, 6, 8)]
    return np.asarray(np.sum(parts, axis=0), np.float32)


def mains(samples: int, seed: int = 0) -> Samples:
    """Hum of 50 or 60 Hz."""
    return hum(samples, (50.0, 60.0)[seed % 2])


NOISES = {"white": white, "pink": pink, "hum": mains}
"""By name, each of (samples, seed)."""


def mixed(pcm: Samples, noise: Samples, snr_db: float) -> Samples:
    """Adds noise (at least as long) so that speech is `snr_db` above it, and scales the sum down where it would clip.

    The level of speech is that of its louder half: pauses do not count.
    """
    noise = noise[: len(pcm)]
    wanted = _speech_power(pcm) / 10 ** (snr_db / 10)
    sum_of_both = pcm + noise * np.sqrt(wanted / np.square(noise, dtype=np.float64).mean())
    return np.asarray(sum_of_both / max(1.0, float(np.abs(sum_of_both).max())), np.float32)


def telephone(pcm: Samples) -> Samples:
    """Sound of a telephone line: sampled at 8 kHz, 300 to 3400 Hz, 8 bit mu-law."""
    narrow = band(soxr.resample(pcm, RATE_HZ, TELEPHONE_HZ), *_TELEPHONE_BAND_HZ, rate_hz=TELEPHONE_HZ)
    squeezed = np.sign(narrow) * np.log1p(255 * np.abs(np.clip(narrow, -1, 1))) / np.log(256)
    squeezed = np.round(squeezed * 127) / 127
    line = np.sign(squeezed) * (256 ** np.abs(squeezed) - 1) / 255
    wide: Samples = soxr.resample(line.astype(np.float32), TELEPHONE_HZ, RATE_HZ)
    return np.asarray(np.clip(wide[: len(pcm)], -1, 1))


def clipped(pcm: Samples, gain: float = 8.0) -> Samples:
    """Recorded `gain` times too loud."""
    return np.asarray(np.clip(pcm * np.float32(gain), -1, 1))


def band(pcm: Samples, low_hz: float, high_hz: float, rate_hz: int = RATE_HZ) -> Samples:
    """What of a sound lies between two frequencies."""
    spectrum = np.fft.rfft(pcm)
    frequency_hz = np.fft.rfftfreq(len(pcm), 1 / rate_hz)
    spectrum[(frequency_hz < low_hz) | (frequency_hz > high_hz)] = 0
    return np.fft.irfft(spectrum, len(pcm)).astype(np.float32)


def coloured(samples: int, slope: float, seed: int) -> Samples:
    """Noise of unit power whose amplitude goes with frequency to the power of `slope`, from 20 Hz on."""
    spectrum = np.fft.rfft(white(samples, seed))
    frequency_hz = np.maximum(np.fft.rfftfreq(samples, 1 / RATE_HZ), 20.0)
    sound = np.fft.irfft(spectrum * frequency_hz**slope, samples)
    return np.asarray(sound / np.sqrt(np.square(sound).mean()), np.float32)


def _speech_power(pcm: Samples) -> float:
    frames = pcm[: len(pcm) // _FRAME * _FRAME].reshape(-1, _FRAME)
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    return float(power[power >= np.quantile(power, _ACTIVE_QUANTILE)].mean())
