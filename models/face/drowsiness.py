"""Drowsiness of one face, from its eyes and head over time.

Rule. Three signs, each brought to a severity in steps of the risk levels (1 low, 2 medium, 3 high, 4 critical):
- PERCLOS, the share of time in which the eyes are closed, slow closures and no blinks (Wierwille et al., 1994, who call
  0.08 to 0.15 questionable and more drowsy). It is read from ten seconds on: in less, one closure is most of it;
- the longest closure: half a second is slow, one second is a microsleep, in two seconds a car at 100 km/h goes 55 m;
- nods: the head sinks and comes up again within seconds, with closed eyes. One with open eyes is assent.
A picture in which the eyes cannot be told, or on which the head is so far down
that only lids are seen, counts neither as open nor as closed. A pure function of the pictures: nothing is kept, so a
window has the same answer on any instance. Left out: who sleeps with the head down, since a look at the lap seems the
same from the front, and how wide one person opens the eyes by habit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

CLOSED_BELOW = 0.4
"""Openness under which an eye is closed; chosen on eyelids drawn over FER+ valid, see models/README.md."""

_BLINK_S = 0.4  # closures up to it are blinks, which last 0.1 to 0.4 s
_LONGEST_GAP_S = 0.5  # between two pictures; in a longer one nothing is known
_LEAST_PERCLOS_S = 10.0
_DOWN_DEGREES = 9.0  # below the usual pitch: a nod, or a look at the lap, where lids hide the eyes
_NOD_S = (0.3, 2.5)
_BEFORE_NOD_S = 1.0  # eyes are seen best before the head is down
_NS_PER_S = 1_000_000_000

_PERCLOS = (0.04, 0.08, 0.15, 0.25, 0.4)
_CLOSURE_S = (_BLINK_S, 0.7, 1.0, 1.8, 3.0)
_NODS = (0.0, 0.5, 1.0, 2.0, 4.0)
_SEVERITY = (0.0, 1.0, 2.0, 3.0, 4.0)


@dataclass(frozen=True, slots=True)
class EyesAndHead:
    """What one picture shows of a face.

    time_ns: of the picture. eyes_open: 0..1, None where it cannot be told. pitch_degrees: of the head, downwards; None
    where it cannot be told.
    """

    time_ns: int
    eyes_open: float | None
    pitch_degrees: float | None


@dataclass(frozen=True, slots=True)
class Drowsiness:
    """The signs of drowsiness in a stretch of time.

    told_s: how long the eyes could be told. perclos: the share of it in which they were closed; None where it is less
    than ten seconds. longest_closure_s: 0 where there were blinks only. nods: with closed eyes. eyes_severity,
    nods_severity: 0..4, in steps of the risk levels.
    """

    told_s: float
    perclos: float | None
    longest_closure_s: float
    nods: int
    eyes_severity: float
    nods_severity: float


def drowsiness(pictures: Sequence[EyesAndHead]) -> Drowsiness | None:
    """Returns the signs of drowsiness; None where the eyes are never told.

    pictures: of one face, by time.
    """
    told = _with_told_eyes(pictures)
    spans = [(a.time_ns, b.time_ns, _is_closed(a)) for a, b in pairwise(told)]
    known = [span for span in spans if span[1] - span[0] <= _LONGEST_GAP_S * _NS_PER_S]
    if not known:
        return None
    told_s = sum(end - start for start, end, _ in known) / _NS_PER_S
    closures = [seconds for seconds in _closures_s(known) if seconds > _BLINK_S]
    perclos = sum(closures) / told_s if told_s >= _LEAST_PERCLOS_S else None
    longest, nods = max(closures, default=0.0), sum(1 for _ in _nods(pictures, told))
    eyes = max(_severity(longest, _CLOSURE_S), _severity(perclos or 0.0, _PERCLOS))
    return Drowsiness(told_s, perclos, longest, nods, eyes, _severity(nods, _NODS))


def _severity(value: float, limits: Sequence[float]) -> float:
    return float(np.interp(value, limits, _SEVERITY))


def _is_closed(picture: EyesAndHead) -> bool:
    return picture.eyes_open is not None and picture.eyes_open < CLOSED_BELOW


def _usual_pitch(pictures: Sequence[EyesAndHead]) -> float | None:
    """The lower quartile: much of a stretch may be down."""
    pitches = [picture.pitch_degrees for picture in pictures if picture.pitch_degrees is not None]
    return sorted(pitches)[len(pitches) // 4] if pitches else None


def _is_down(picture: EyesAndHead, usual: float | None) -> bool:
    return usual is not None and picture.pitch_degrees is not None and picture.pitch_degrees > usual + _DOWN_DEGREES


def _with_told_eyes(pictures: Sequence[EyesAndHead]) -> list[EyesAndHead]:
    """Pictures whose eyes are told, not hidden by looking down."""
    usual = _usual_pitch(pictures)
    return [picture for picture in pictures if picture.eyes_open is not None and not _is_down(picture, usual)]


def _closures_s(known: Sequence[tuple[int, int, bool]]) -> Iterator[float]:
    """Lengths of the closures, blinks too.

    known: spans (start, end, closed), in ns. A span that is not known ends a closure.
    """
    start = end = -1
    for begins, ends, closed in known:
        if start >= 0 and (not closed or begins != end):
            yield (end - start) / _NS_PER_S
            start = -1
        if closed:
            start, end = (begins if start < 0 else start), ends
    if start >= 0:
        yield (end - start) / _NS_PER_S


def _nods(pictures: Sequence[EyesAndHead], told: Sequence[EyesAndHead]) -> Iterator[tuple[int, int]]:
    """Start and end of each nod with closed eyes, in ns."""
    usual = _usual_pitch(pictures)
    seen = [picture for picture in pictures if picture.pitch_degrees is not None]
    runs = [
        (down, [picture.time_ns for picture in run])
        for down, run in groupby(seen, lambda picture: _is_down(picture, usual))
    ]
    for (before, _), (down, times), (after, up) in zip(runs, runs[1:], runs[2:], strict=False):
        seconds = (up[0] - times[0]) / _NS_PER_S
        if before or not down or after or not _NOD_S[0] <= seconds <= _NOD_S[1]:
            continue
        since_ns = times[0] - round(_BEFORE_NOD_S * _NS_PER_S)
        eyes = [_is_closed(picture) for picture in told if since_ns <= picture.time_ns <= up[0]]
        if eyes and 2 * sum(eyes) > len(eyes):
            yield times[0], up[0]
