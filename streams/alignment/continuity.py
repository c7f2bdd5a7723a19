"""Where the frames of a continuous sound lie in time.

Their time stamps are right only to within jitter.
Problem: stamps jitter, frames are stamped several at a time, or stamps are rounded. Laid each where its own stamp says,
one frame covers the next.
Rule: frames that follow one another are laid end to end. A run of them lies where its first stamp says, unless that is
out of line with the other stamps of the run. A new run begins at a gap, where all stamps from there on are ahead of the
frames by more than jitter, and at an overlap, where all stay behind by much more. A frame that came before, with the
same stamp and content, lies where it lay. A sound may change its rate or number of channels as it goes on, frame by
frame if it must: all its frames are one run. Where there is more sound than the stamps have time for, each rate and
number of channels is a sound of its own.
Left out: telling apart two sounds of one form that are sent as one. More sound than its stamps have time for is laid by
its stamps.
"""

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from streams.clock import NS_PER_MS, NS_PER_S
from streams.events import Sound
from streams.telemetry import SoundFault

Piece = tuple[int, Sound]
"""When it starts, UTC, and what is heard."""

_JITTER_NS = 20 * NS_PER_MS  # stamps jitter by less; a real gap is longer
_BURST_NS = 100 * NS_PER_MS  # by so much the first frame of a burst may be ahead of the mean of its stamps
_OVERLAP_NS = 100 * NS_PER_MS  # less is a producer's clock that was set back: nothing of the sound is lost for it
_MOST_SURPLUS_NS = NS_PER_S  # stamps of whole seconds, which are the coarsest, leave so much sound without time


@dataclass(slots=True)
class Laid:
    """Where pieces start, in the order in which they came, and which do not simply follow the one before."""

    starts_ns: list[int]
    faults: dict[int, SoundFault]
    """By place."""


def lay(pieces: Sequence[Piece]) -> Laid:
    """Lays pieces that are in the order in which they were recorded."""
    laid = Laid([time_ns for time_ns, _ in pieces], {})
    alike: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for at, (_, sound) in enumerate(pieces):
        alike[sound.rate_hz, *sound.samples.shape[1:]].append(at)
    together = len(alike) > 1 and _surplus_ns(pieces) <= _OVERLAP_NS
    for places in [list(range(len(pieces)))] if together else alike.values():
        if len(places) > 1:
            _lay_run(pieces, places, laid)
    return laid


def duration_ns(sound: Sound) -> int:
    """How long a sound lasts."""
    return len(sound.samples) * NS_PER_S // sound.rate_hz


def _duration_ps(sound: Sound) -> int:
    """The same in picoseconds, of which thousands can be added up."""
    return len(sound.samples) * NS_PER_S * 1000 // sound.rate_hz


def _surplus_ns(pieces: Sequence[Piece]) -> int:
    """How much more sound there is than the stamps have time for, below 0 where they have more."""
    stamps_ns = [time_ns for time_ns, _ in pieces]
    before_last_ns = sum(duration_ns(sound) for _, sound in pieces[:-1])
    return before_last_ns - (max(stamps_ns) - min(stamps_ns))


def _lay_run(pieces: Sequence[Piece], places: list[int], laid: Laid) -> None:
    twins = _twins(pieces, places)
    for twin in twins:
        laid.faults[twin] = SoundFault.REPEAT
    places = [at for at in places if at not in twins]
    exact_ps = accumulate((_duration_ps(pieces[at][1]) for at in places), initial=0)
    counted_ns = [before_ps // 1000 for before_ps in exact_ps]
    off_ns = [pieces[at][0] - before_ns for at, before_ns in zip(places, counted_ns, strict=False)]
    if _surplus_ns([pieces[at] for at in places]) > _MOST_SURPLUS_NS:
        ends_ns = accumulate((pieces[at][0] + duration_ns(pieces[at][1]) for at in places), max)
        later = zip(places[1:], ends_ns, strict=False)
        laid.faults.update({at: SoundFault.OVERLAP for at, end_ns in later if pieces[at][0] < end_ns})
        return
    runs = _runs(off_ns)
    offset_ns: int | None = None
    for (first, fault), until in zip(runs, [first for first, _ in runs[1:]] + [len(places)], strict=True):
        run_ns = _offset(off_ns[first:until])
        offset_ns = max(run_ns, offset_ns) if fault is SoundFault.GAP and offset_ns is not None else run_ns
        if fault is not None:
            laid.faults[places[first]] = fault
        for at in range(first, until):
            laid.starts_ns[places[at]] = counted_ns[at] + offset_ns
    for twin, original in twins.items():
        laid.starts_ns[twin] = laid.starts_ns[original]


def _twins(pieces: Sequence[Piece], places: list[int]) -> dict[int, int]:
    """The pieces that came before, each with the first of them. Silence repeats itself, and is no such piece."""
    stamps = Counter(pieces[at][0] for at in places)
    first: dict[tuple[int, bytes], int] = {}
    twins = {}
    for at in places:
        time_ns, sound = pieces[at]
        if stamps[time_ns] > 1 and not sound.is_constant():
            original = first.setdefault((time_ns, sound.digest()), at)
            if original != at:
                twins[at] = original
    return twins


def _runs(off_ns: list[int]) -> list[tuple[int, SoundFault | None]]:
    """Where runs begin, and why; off_ns: how far each stamp is from the count of what came before it."""
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
    """Where a run is to be laid."""
    usual_ns = sorted(off_ns)[len(off_ns) * 9 // 10]
    in_line = -_JITTER_NS <= off_ns[0] - usual_ns <= _BURST_NS
    return off_ns[0] if in_line else usual_ns


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a span there is, 0..1, and how long the unbroken stretch is in which the mean instant of it lies."""

    fraction: float
    unbroken_s: float


def coverage(laid: Sequence[Piece], start_ns: int, end_ns: int) -> Coverage:
    """What laid pieces cover of [start, end) together. A break is what is longer than stamps jitter."""
    stretches: list[tuple[int, int]] = []
    covered_ns = 0
    for time_ns, sound in sorted(laid, key=_starts):
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


def _starts(piece: Piece) -> int:
    return piece[0]
