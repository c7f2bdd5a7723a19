"""Which face's mouth moves with a voice, where that is certain.

Rule. Between two pictures of a face, its mouth moves as much as the lower part of its look changes beyond the upper
part, where the head moves alike. That is correlated, over all pictures of the face, with the share of time that is
voiced between the same two pictures. A mouth has the voice if

- it was seen for seconds of speech and for seconds of silence;
- the correlation is high, and far above that of every other face;
- it is far above what the same mouth has with the voice moved in time by a second or more, since mouths and voices that
  come and go correlate by chance;
- there is hardly a second of speech in which the mouth rests, as there is where several take turns.

Else the voice is nobody's: that of somebody who is not seen, of several, or of whoever is seen too little. The
thresholds were chosen on composed sessions (models/README.md). A pure function of what it is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.face.sight import LOOK_PX

VOICED_HZ = 10
"""Voice is given for every tenth of a second."""

_MOUTH = slice(14, 23), slice(6, 18)  # rows and columns of a look
_UPPER = slice(1, 11), slice(4, 20)
_LEAST_CHANGE = 0.03  # standard deviations of the look: noise of a camera
_LONGEST_GAP_S = 0.5  # between two pictures
_LEAST_S = 5.0  # of speech, and of silence
_SPEECH, _SILENCE = 0.5, 0.1  # voiced shares
_LEAST_CORRELATION, _LEAST_MARGIN = 0.4, 0.15
_SHIFTS_S = 1.0  # and more: the voice moved in time
_OF_SPEECH, _RESTING, _MOST_RESTING = 0.7, 0.3, 0.1  # voiced share; between silence and speech; share of the seconds
_NS_PER_S = 1_000_000_000

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SeenFace:
    """One face over time.

    times_ns: (pictures,), rising. looks: (pictures, 24, 24) uint8.
    """

    times_ns: NDArray[np.int64]
    looks: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class HeardVoice:
    """Voice over time.

    start_ns: of the first tenth of a second. voiced: (tenths,) 0..1, nan where there is no sound.
    """

    start_ns: int
    voiced: FloatArray

    def between(self, starts_ns: NDArray[np.int64], ends_ns: NDArray[np.int64]) -> FloatArray:
        """The voiced share of spans: nan where there is no sound.

        A span begins and ends at the nearest tenth, and lasts one at least.
        """
        tenth_ns = _NS_PER_S // VOICED_HZ
        first = np.rint((starts_ns - self.start_ns) / tenth_ns).astype(int)
        last = np.maximum(np.rint((ends_ns - self.start_ns) / tenth_ns).astype(int), first + 1)
        known = (first >= 0) & (last <= len(self.voiced))
        first, last = np.where(known, first, 0), np.where(known, last, 1)
        missing = np.concatenate([[0], np.cumsum(np.isnan(self.voiced))])
        filled = np.concatenate([[0.0], np.cumsum(np.nan_to_num(self.voiced))])
        share = (filled[last] - filled[first]) / (last - first)
        return np.where(known & (missing[last] == missing[first]), share, np.nan)


def face_of_voice(faces: Sequence[SeenFace], voice: HeardVoice) -> int | None:
    """The face whose mouth moves with the voice.

    None where none surely does.
    """
    matches = [_match(face, voice) for face in faces]
    ranked = sorted(range(len(faces)), key=lambda at: -matches[at].correlation)
    if not ranked or not matches[ranked[0]].certain:
        return None
    second = matches[ranked[1]].correlation if len(ranked) > 1 else 0.0
    return ranked[0] if matches[ranked[0]].correlation - max(0.0, second) >= _LEAST_MARGIN else None


@dataclass(frozen=True, slots=True)
class _Match:
    """How one face fits a voice.

    by_chance: the highest correlation with the voice moved in time. seconds: of speech or of silence, the less.
    resting: the share of the seconds of speech in which the mouth rests.
    """

    correlation: float = 0.0
    by_chance: float = 0.0
    seconds: float = 0.0
    resting: float = 1.0

    @property
    def certain(self) -> bool:
        return (
            self.seconds >= _LEAST_S
            and self.correlation >= _LEAST_CORRELATION
            and self.correlation - self.by_chance >= _LEAST_MARGIN
            and self.resting <= _MOST_RESTING
        )


def _match(face: SeenFace, voice: HeardVoice) -> _Match:
    gap_s = np.diff(face.times_ns) / _NS_PER_S
    share = voice.between(face.times_ns[:-1], face.times_ns[1:])
    used = (gap_s <= _LONGEST_GAP_S) & ~np.isnan(share)
    speech, silence = used & (share >= _SPEECH), used & (share <= _SILENCE)
    seconds = min(gap_s[speech].sum(), gap_s[silence].sum())
    if seconds < _LEAST_S:
        return _Match(seconds=float(seconds))
    motion = mouth_motion(face.looks)
    still, moving = motion[silence].mean(), motion[speech].mean()
    motion, share, step_s = motion[used], share[used], float(np.median(gap_s[used]))
    at_shifts, after_s = _at_every_shift(motion, share), np.arange(len(share)) * step_s
    apart = at_shifts[(after_s >= _SHIFTS_S) & (after_s <= len(share) * step_s - _SHIFTS_S)]
    return _Match(
        float(at_shifts[0]),
        float(apart.max(initial=0.0)),
        float(seconds),
        _resting(motion, share, still + _RESTING * (moving - still), max(1, round(1 / step_s))),
    )


def _resting(motion: FloatArray, share: FloatArray, rest: float, second: int) -> float:
    """The share of seconds of speech in which a mouth rests.

    rest: what it moves less than.
    """
    spoken, moved = (np.convolve(each, np.ones(second) / second, "valid") for each in (share, motion))
    of_speech = spoken >= _OF_SPEECH
    return float((moved[of_speech] < rest).mean()) if of_speech.any() else 1.0


def mouth_motion(looks: NDArray[np.uint8]) -> FloatArray:
    """How much a mouth moves between looks: (looks - 1,)."""
    flat = looks.reshape(len(looks), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(flat.std(axis=1, keepdims=True), 1.0)
    change = np.abs(np.diff(flat.reshape(-1, LOOK_PX, LOOK_PX), axis=0))
    mouth, upper = (change[:, rows, columns].mean(axis=(1, 2)) for rows, columns in (_MOUTH, _UPPER))
    return np.asarray(np.log((mouth + _LEAST_CHANGE) / (upper + _LEAST_CHANGE)), np.float64)


def _at_every_shift(motion: FloatArray, share: FloatArray) -> FloatArray:
    """Pearson correlation with the share rotated by 0, 1, 2, ... places."""
    one, other = motion - motion.mean(), share - share.mean()
    scale = np.sqrt((one @ one) * (other @ other))
    if scale < 1e-9:
        return np.zeros(len(share))
    spectrum = np.fft.rfft(one) * np.conj(np.fft.rfft(other))
    return np.asarray(np.fft.irfft(spectrum, len(share)) / scale, np.float64)
