"""Voice activity of one segment of sound.

By Silero VAD (Silero Team, 2021).

Problem: a window's speech evidence must come from voice alone, never from silence, hum or noise, and a segment knows
nothing of its neighbours. Rule: a 32 ms frame is voiced when Silero's probability reaches the threshold and the frame
is louder than digital silence and its dither; the voiced fraction is the share of such frames.
Left out: smoothing over segments (hangover, shortest speech), which would need the neighbours.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from faster_whisper.vad import SileroVADModel

from models.trusted_files import SILERO

FRAME_SAMPLES = 512
"""Samples per activity frame: 32 ms at 16 kHz, the only frame Silero takes."""

_VOICED_PROBABILITY = 0.5  # Silero's own default
SILENCE_DB = -72.0  # below the quietest speech of RAVDESS (-60 dBFS); noise of 1e-4 is at -80
_LOWEST_DB = -100.0
_SNR_RANGE_DB = (0.0, 60.0)
_NOISE_FLOOR_QUANTILE = 0.1


@dataclass(frozen=True, slots=True)
class Activity:
    """What of a segment is voice.

    voiced: (frames,) bool, one per 32 ms; the last frame may reach beyond the sound.
    voiced_fraction: 0..1. level_db: loudness of the voiced part (of everything when nothing is voiced), dB full scale.
    snr_db: voiced power over the segment's quiet tenth, 0..60; 0 when nothing is voiced.
    """

    voiced: npt.NDArray[np.bool_]
    voiced_fraction: float
    level_db: float
    snr_db: float


class VoiceActivity:
    """Detects voiced frames. Stateless; all worker threads may share one."""

    def __init__(self, threshold: float = _VOICED_PROBABILITY) -> None:
        """threshold: probability of voice, 0..1, from which on a frame is voiced.

        Raises UntrustedFileError when the package's network is another than expected.
        """
        if not 0 < threshold < 1:
            raise ValueError(f"voice activity: threshold must be between 0 and 1 (is {threshold})")
        self._threshold = threshold
        self._model = load_network()

    def __call__(self, pcm: npt.NDArray[np.float32]) -> Activity:
        """Detects the voiced frames of a segment.

        pcm: (samples,) float32 in -1..1 at 16 kHz, at least one sample. Raises ValueError for anything else.
        """
        if pcm.ndim != 1 or pcm.size == 0 or pcm.dtype != np.float32:
            raise ValueError(f"voice activity: wanted (samples,) float32, got {pcm.shape} {pcm.dtype}")
        padded = np.zeros(-(-pcm.size // FRAME_SAMPLES) * FRAME_SAMPLES, dtype=np.float32)
        padded[: pcm.size] = pcm  # a copy also because Silero's wrapper writes into what it is given
        frames = padded.reshape(-1, FRAME_SAMPLES)
        power = np.square(frames, dtype=np.float64).mean(axis=1)
        loud = _decibels(power) > SILENCE_DB
        if not loud.any():
            return Activity(loud, 0.0, _decibels_of(power), 0.0)
        voiced = loud & (self._model(padded).ravel() >= self._threshold)
        if not voiced.any():
            return Activity(voiced, 0.0, _decibels_of(power), 0.0)
        level_db = _decibels_of(power[voiced])
        snr_db = float(np.clip(level_db - _decibels(np.quantile(power, _NOISE_FLOOR_QUANTILE)), *_SNR_RANGE_DB))
        return Activity(voiced, float(voiced.mean()), level_db, snr_db)


@lru_cache(maxsize=1)
def load_network() -> SileroVADModel:
    """Loads Silero's network, once; UntrustedFileError when it is another than expected."""
    return SileroVADModel(SILERO.read())  # a path or the bytes: onnxruntime takes either


def levels_db(pcm: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The level of each frame, dB full scale: (frames,) of whole frames."""
    return _decibels(np.square(pcm.reshape(-1, FRAME_SAMPLES), dtype=np.float64).mean(axis=1))


def _decibels(power: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 10 * np.log10(np.maximum(power, 10 ** (_LOWEST_DB / 10)))


def _decibels_of(power: npt.NDArray[np.float64]) -> float:
    return float(_decibels(power.mean()))
