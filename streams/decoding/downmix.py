"""Downmix of a segment of sound to one channel.

Problem: the mean of the channels cancels a voice that is in two of them with opposite phase, and weakens one that is in
one of six by 16 dB.
Rule: the channels are weighted as ITU-R BS.775 mixes down surround sound, one with opposite phase is inverted, and the
sum is scaled to the power of the loudest channel. So a voice in both channels, in one, or in both with opposite phase
keeps its loudness. Weights, signs and gain hold for a whole segment: nothing changes within it.
Left out: delays between channels, which a mix may still colour.
"""

import numpy as np
from numpy.typing import NDArray

_SIDE, _REAR = 2**-0.5, 0.5  # beside a centre of 1
_WEIGHTS = {
    5: (_SIDE, _SIDE, 1.0, _REAR, _REAR),
    6: (_SIDE, _SIDE, 1.0, 0.0, _REAR, _REAR),  # 5.1: the fourth is the low-frequency effects
    7: (_SIDE, _SIDE, 1.0, 0.0, _REAR, _REAR, _REAR),
    8: (_SIDE, _SIDE, 1.0, 0.0, _REAR, _REAR, _REAR, _REAR),
}
"""By number of channels, in the order of WAV and FLAC; channels of other numbers count alike."""


def downmixed(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mixes (n, channels) float32 in -1..1 down to (n,)."""
    channels = samples.shape[1]
    weights = np.array(_WEIGHTS.get(channels, (1.0,) * channels))
    centred = samples.astype(np.float64) - samples.mean(axis=0, dtype=np.float64)
    covariance = centred.T @ centred
    signs = _in_phase(covariance * np.outer(weights, weights))
    mix = weights * signs
    loudest = np.diag(covariance)[weights > 0].max(initial=0.0)
    power = mix @ covariance @ mix
    gain = np.sqrt(loudest / power) if power > 0 else 1 / weights.sum()
    return np.asarray(np.clip(samples @ (gain * mix).astype(np.float32), -1, 1), np.float32)


def _in_phase(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sign of each channel that puts them in phase.

    From the loudest on, the sign with which a channel adds to the sum of those before it.
    """
    signs = np.zeros(len(covariance))
    for channel in np.argsort(-np.diag(covariance), kind="stable"):
        signs[channel] = -1.0 if covariance[channel] @ signs < 0 else 1.0
    return signs
