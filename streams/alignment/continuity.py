"""Removes jitter from the time stamps of a continuous sound.

Problem: time stamps jitter, are rounded, or are given to several frames at a time. With each frame where its own stamp
says, one covers the next.

Rule: frames that follow one another are joined end to end, in runs. A run starts where its first stamp says, unless
that is far off from the other stamps of the run. A new run begins at a gap, where all stamps from there on are ahead of
the frames by more than jitter, and at an overlap, where all stay behind by much more. A repeat (the same stamp and
content) starts where the first of them does. A sound may change its rate or number of channels as it goes on, frame by
frame if it must: all its frames are one run. Where there is more sound than the stamps have time for, each rate and
number of channels is a sound of its own.

Left out: telling apart two sounds of one form that are sent as one. More sound than its stamps have time for starts
where its stamps say.
"""

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from streams.clock import NS_PER_MS, NS_PER_S
from streams.events import Sound
from streams.telemetry import SoundFault

TimedSound = tuple[int, Sound]
"""Start in ns UTC, and the sound."""

_JITTER_NS = 20 * NS_PER_MS  # stamps jitter by less; a real gap is longer
_BURST_NS = 100 * NS_PER_MS  # by so much the first frame of a burst may be ahead of the mean of its stamps
_OVERLAP_NS = 100 * NS_PER_MS  # less is a producer's clock that was set back: nothing of the sound is lost for it
_MOST_SURPLUS_NS = NS_PER_S  # stamps of whole seconds, which are the coarsest, leave so much sound without time


@dataclass(slots=True)
class Dejittered:
    """Starts of pieces without jitter, and their faults.

    Both are by the place of a piece in the order of recording.
    """

    starts_ns: list[int]
    faults: dict[int, SoundFault]
    """Pieces that do not simply follow the one before."""


def dejitter(pieces: Sequence[TimedSound]) -> Dejittered:
    """Removes jitter from pieces that are in order of recording."""
    dejittered = Dejittered([time_ns for time_ns, _ in pieces], {})
    alike: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for at, (_, sound) in enumerate(pieces):
        alike[sound.rate_hz, *sound.samples.shape[1:]].append(at)
    together = len(alike) > 1 and _surplus_ns(pieces) <= _OVERLAP_NS
    for places in [list(range(len(pieces)))] if together else alike.values():
        if len(places) > 1:
            _dejitter_run(pieces, places, dejittered)
    return dejittered


def duration_ns(sound: Sound) -> int:
    """Duration of a sound."""
    return len(sound.samples) * NS_PER_S // sound.rate_hz


def _duration_ps(sound: Sound) -> int:
    """Duration in picoseconds, so that thousands add up exactly."""
    return len(sound.samples) * NS_PER_S * 1000 // sound.rate_hz


def _surplus_ns(pieces: Sequence[TimedSound]) -> int:
    """Duration of the sound less the time its stamps have for it."""
    stamps_ns = [time_ns for time_ns, _ in pieces]
    before_last_ns = sum(duration_ns(sound) for _, sound in pieces[:-1])
    return before_last_ns - (max(stamps_ns) - min(stamps_ns))


def _dejitter_run(pieces: Sequence[TimedSound], places: list[int], dejittered: Dejittered) -> None:
    repeats = _repeats(pieces, places)
    for repeat in repeats:
        dejittered.faults[repeat] = SoundFault.REPEAT
    places = [at for at in places if at not in repeats]
    exact_ps = accumulate((_duration_ps(pieces[at][1]) for at in places), initial=0)
    counted_ns = [before_ps // 1000 for before_ps in exact_ps]
    off_ns = [pieces[at][0] - before_ns for at, before_ns in zip(places, counted_ns, strict=False)]
    if _surplus_ns([pieces[at] for at in places]) > _MOST_SURPLUS_NS:
        ends_ns = accumulate((pieces[at][0] + duration_ns(pieces[at][1]) for at in places), max)
        later = zip(places[1:], ends_ns, strict=False)
        dejittered.faults.update({at: SoundFault.OVERLAP for at, end_ns in later if pieces[at][0] < end_ns})
        return
    runs = _runs(off_ns)
    offset_ns: int | None = None
    for (first, fault), until in zip(runs, [first for first, _ in runs[1:]] + [len(places)], strict=True):
        run_ns = _offset(off_ns[first:until])
        offset_ns = max(run_ns, offset_ns) if fault is SoundFault.GAP and offset_ns is not None else run_ns
        if fault is not None:
            dejittered.faults[places[first]] = fault
        for at in range(first, until):
            dejittered.starts_ns[places[at]] = counted_ns[at] + offset_ns
    for repeat, original in repeats.items():
        dejittered.starts_ns[repeat] = dejittered.starts_ns[original]


def _repeats(pieces: Sequence[TimedSound], places: list[int]) -> dict[int, int]:
    """Repeated pieces, each with the first of them.

    Silence repeats itself, and counts as none.
    """
    stamps = Counter(pieces[at][0] for at in places)
    first: dict[tuple[int, bytes], int] = {}
    repeats = {}
    for at in places:
        time_ns, sound = pieces[at]
        if stamps[time_ns] > 1 and not sound.is_constant():
            original = first.setdefault((time_ns, sound.digest()), at)
            if original != at:
                repeats[at] = original
    return repeats


def _runs(off_ns: list[int]) -> list[tuple[int, SoundFault | None]]:
    """First places of runs, and why they begin.

    off_ns: how far each stamp is ahead of the duration of all pieces before it.
    """
    if max(off_ns) - min(off_ns) <= _JITTER_NS:
        return [(0, None)]
    least_ns = list(accumulate(reversed(off_ns), min))[::-1]
    most_ns = list(accumulate(reversed(off_ns), max))[::-1]
    runs: list[tuple[int, SoundFault | None]] = [(0, None)]
    run_ns = [off_ns[0]]
    for at in range(1, len(off_ns)):
        if least_ns[at] > run_ns[len(run_ns) // 2] + _JITTER_NS:
            runs.append((at, SoundFault.GAP))
            run_ns = []
        elif most_ns[at] < run_ns[0] - _OVERLAP_NS:
            runs.append((at, SoundFault.OVERLAP))
            run_ns = []
        insort(run_ns, off_ns[at])
    return runs


def _offset(off_ns: list[int]) -> int:
    """Start of a run."""
    usual_ns = sorted(off_ns)[len(off_ns) * 9 // 10]
    in_line = -_JITTER_NS <= off_ns[0] - usual_ns <= _BURST_NS
    return off_ns[0] if in_line else usual_ns


@dataclass(frozen=True, slots=True)
class Coverage:
    """Covered fraction of a span, and length of its unbroken stretches.

    fraction: 0..1. unbroken_s: how long the stretch is in which the mean instant of the sound lies.
    """

    fraction: float
    unbroken_s: float


def coverage(pieces: Sequence[TimedSound], start_ns: int, end_ns: int) -> Coverage:
    """Coverage of [start, end) by pieces without jitter.

    A break is what is longer than stamps jitter.
    """
    stretches: list[tuple[int, int]] = []
    covered_ns = 0
    for time_ns, sound in sorted(pieces, key=_starts):
        first_ns, until_ns = max(start_ns, time_ns), min(end_ns, time_ns + duration_ns(sound))
        if first_ns >= until_ns:
            continue
        began_ns, reached_ns = stretches[-1] if stretches else (first_ns, first_ns)
        covered_ns += max(0, until_ns - max(first_ns, reached_ns))
        if stretches and first_ns - reached_ns <= _JITTER_NS:
            stretches[-1] = began_ns, max(until_ns, reached_ns)
        else:
            stretches.append((first_ns, until_ns))
    lengths_s = [(until_ns - first_ns) / NS_PER_S for first_ns, until_ns in stretches]
    unbroken_s = sum(length_s**2 for length_s in lengths_s) / sum(lengths_s) if lengths_s else 0.0
    return Coverage(covered_ns / (end_ns - start_ns), unbroken_s)


def _starts(piece: TimedSound) -> int:
    return piece[0]
