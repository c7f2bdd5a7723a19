"""Assembles events into encoding units: sampled pictures, sound segments, lines, signals.

An assembler holds events back only until the watermark makes its choice final, so that the units are the same whatever
the order events arrived in. It leaves encoding, windows and lateness to the timeline.
"""

import hashlib
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streams.alignment.continuity import Dejittered, coverage, dejitter
from streams.alignment.frame_order import recorded_order
from streams.alignment.windows import SegmentGrid
from streams.clock import NS_PER_S
from streams.coordinates import Coordinates
from streams.events import EncodingUnit, Event, Line, Picture, Signal, Sound, SoundPieces
from streams.participants import name_of
from streams.reasons import DropReason
from streams.records import Modality
from streams.telemetry import NullTelemetry, SoundFault, Telemetry

FOREVER_NS = 2**63 - 1
"""The watermark of a session that is over."""


class Assembler(Protocol):
    """One modality of one session. Owned by the timeline thread; no lock."""

    def add(self, event: Event) -> None:
        """Takes one event, in any order."""
        ...

    def reaches_ns(self, event: Event) -> int:
        """The latest start of a unit that the event can change."""
        ...

    def release(self, watermark_ns: int) -> list[EncodingUnit]:
        """The units that are final at the watermark.

        Each is released once, and again when a late event changed it.
        """
        ...

    def forget(self, before_ns: int) -> None:
        """Frees what no window after `before_ns` needs."""
        ...

    @property
    def empty(self) -> bool:
        """Whether nothing is held, so that another would go on alike."""
        ...


class Instants:
    """Makes every line or signal a unit, at once.

    Nothing that comes later changes it. A signal is done: there is nothing to encode.
    """

    def __init__(self) -> None:
        self._new: list[EncodingUnit] = []

    def add(self, event: Event) -> None:
        name = name_of(event.participant)
        match event.payload:
            case Line(text=text, author=author, lang=lang):
                unit = _instant(event, "\0".join((text, author or "", lang or "", name)))
            case Signal(name=what, value=value, confidence=confidence):
                unit = _instant(event, "\0".join((what, repr(value), repr(confidence), name)))
                unit.finish()
            case other:
                raise TypeError(f"a line or a signal is needed, not a {type(other).__name__}")
        self._new.append(unit)

    def reaches_ns(self, event: Event) -> int:
        return event.time_ns

    def release(self, watermark_ns: int) -> list[EncodingUnit]:
        if not self._new:
            return []
        new, self._new = self._new, []
        return new

    def forget(self, before_ns: int) -> None:
        return

    @property
    def empty(self) -> bool:
        return not self._new


class FrameSampler:
    """Samples the earliest picture of every 1 / sample_hz seconds.

    The others are dropped undecoded. A choice is final once the watermark has passed the picture, since an earlier one
    cannot come any more.
    """

    def __init__(self, sample_hz: float, telemetry: Telemetry) -> None:
        self._cell_ns = round(NS_PER_S / sample_hz)
        self._telemetry = telemetry
        self._waiting: dict[int, _Ordered] = {}
        self._earliest_ns = FOREVER_NS
        """No waiting picture is before this."""
        self._taken: set[int] = set()

    def add(self, event: Event) -> None:
        cell = event.time_ns // self._cell_ns
        ordered, rival = _Ordered(event), self._waiting.get(cell)
        if cell in self._taken:
            self._telemetry.dropped(Modality.VIDEO, DropReason.SAMPLED_OUT)
            return
        if rival is not None:
            self._telemetry.dropped(Modality.VIDEO, DropReason.SAMPLED_OUT)
            if not ordered < rival:
                return
        self._waiting[cell] = ordered
        self._earliest_ns = min(self._earliest_ns, event.time_ns)

    def reaches_ns(self, event: Event) -> int:
        return (event.time_ns // self._cell_ns + 1) * self._cell_ns - 1  # it may keep any other of its cell out

    def release(self, watermark_ns: int) -> list[EncodingUnit]:
        if watermark_ns <= self._earliest_ns:
            return []
        final = sorted(cell for cell, waiting in self._waiting.items() if waiting.event.time_ns < watermark_ns)
        self._taken.update(final)
        taken = [self._waiting.pop(cell).event for cell in final]
        units = [_instant(event, name_of(event.participant)) for event in taken]
        self._earliest_ns = min((waiting.event.time_ns for waiting in self._waiting.values()), default=FOREVER_NS)
        return units

    def forget(self, before_ns: int) -> None:
        first = before_ns // self._cell_ns
        self._taken = {cell for cell in self._taken if cell >= first}

    @property
    def empty(self) -> bool:
        return not self._waiting and not self._taken


class SoundSegmenter:
    """Cuts sound into segments on the event-time grid.

    Segments may overlap, and what is missing in one stays missing. Jitter is removed (`streams.alignment.continuity`)
    in each segment by itself: what comes before it has no say, so that whoever reads the log from anywhere before a
    segment makes the same of it. A sound that arrives after its segment was released changes it: the segment is
    released again, to be encoded anew.
    """

    def __init__(self, grid: SegmentGrid, telemetry: Telemetry | None = None) -> None:
        self._grid = grid
        self._telemetry = telemetry or NullTelemetry()
        self._sounds: dict[int, list[_Ordered]] = {}
        self._dirty: set[int] = set()

    def add(self, event: Event) -> None:
        ordered = _Ordered(event)  # one for all its segments, so that its content is read once at most
        for segment in self._segments(event):
            self._sounds.setdefault(segment, []).append(ordered)
            self._dirty.add(segment)

    def reaches_ns(self, event: Event) -> int:
        return self._grid.start_ns(self._segments(event)[-1])

    def release(self, watermark_ns: int) -> list[EncodingUnit]:
        if not self._dirty:
            return []
        final = sorted(segment for segment in self._dirty if self._grid.end_ns(segment) <= watermark_ns)
        self._dirty.difference_update(final)
        return [self._unit(segment) for segment in final]

    @property
    def unreleased_from_ns(self) -> int | None:
        """Where the first segment begins that is not released; None without any."""
        return self._grid.start_ns(min(self._dirty)) if self._dirty else None

    def forget(self, before_ns: int) -> None:
        for segment in [s for s in self._sounds if self._grid.start_ns(s + 1) <= before_ns]:
            del self._sounds[segment]
            self._dirty.discard(segment)

    @property
    def empty(self) -> bool:
        return not self._sounds

    def _segments(self, event: Event) -> range:
        return self._grid.overlapping(event.time_ns, event.time_ns + event.duration_ns)

    def _unit(self, segment: int) -> EncodingUnit:
        start_ns, end_ns = self._grid.start_ns(segment), self._grid.end_ns(segment)
        unit, dejittered, repeats = _sound_unit(sorted(self._sounds[segment]), start_ns, end_ns)
        self._count(dejittered, repeats, end_ns)
        return unit

    def _count(self, dejittered: Dejittered, repeats: list[Event], end_ns: int) -> None:
        """Counts sound faults in the segment's last hop.

        So each instant is counted in one segment.
        """
        last_ns = end_ns - self._grid.hop_ns
        for at, fault in dejittered.faults.items():
            if last_ns <= dejittered.starts_ns[at] < end_ns:
                self._telemetry.discontinuity(fault)
        for event in repeats:
            if last_ns <= event.time_ns < end_ns:
                self._telemetry.discontinuity(SoundFault.REPEAT)


class SoundKeeper:
    """Keeps the sounds of one session, to cut stretches out.

    Owned by the timeline thread; no lock.
    """

    def __init__(self) -> None:
        self._sounds: list[_Ordered] = []

    def add(self, event: Event) -> None:
        """Takes one event, in any order."""
        insort(self._sounds, _Ordered(event))

    def cut(self, start_ns: int, end_ns: int) -> EncodingUnit:
        """One unit of the sound in [start, end).

        ValueError if there is none.
        """
        held = [
            ordered
            for ordered in self._sounds
            if ordered.event.time_ns < end_ns and ordered.event.time_ns + ordered.event.duration_ns > start_ns
        ]
        if not held:
            raise ValueError("no sound is kept of this time")
        return _sound_unit(held, start_ns, end_ns)[0]

    @property
    def empty(self) -> bool:
        """Whether nothing is kept."""
        return not self._sounds

    def forget(self, before_ns: int) -> None:
        """Frees what ends before."""
        if self._sounds and self._sounds[0].event.time_ns < before_ns:
            self._sounds = [o for o in self._sounds if o.event.time_ns + o.event.duration_ns > before_ns]


@dataclass(slots=True, eq=False)
class _Ordered:
    """Orders events by time, sequence and content, never by arrival.

    Only a tie reads the content, and once.
    """

    event: Event
    _digest: bytes | None = None

    def __lt__(self, other: "_Ordered") -> bool:
        mine, theirs = (self.event.time_ns, self.event.sequence or 0), (other.event.time_ns, other.event.sequence or 0)
        return mine < theirs if mine != theirs else self.digest() < other.digest()

    def digest(self) -> bytes:
        """A digest of the content, for breaking ties.

        Frames of a media stream have none: they are not read for it, and are all alike.
        """
        match self.event.payload:
            case Sound() as sound:
                return sound.digest()
            case Picture(payload=bytes() as content) if self._digest is None:
                self._digest = hashlib.blake2b(content, digest_size=16).digest()
        return self._digest or b""


def _sound_unit(
    ordered: Sequence["_Ordered"], start_ns: int, end_ns: int
) -> tuple[EncodingUnit, Dejittered, list[Event]]:
    """The unit of sounds in [start, end), their jitter, and repeats."""
    stamped = [each.event for each in ordered]
    frames, repeats = recorded_order(stamped)
    sounds = [(frame.time_ns, frame.payload) for frame in frames if isinstance(frame.payload, Sound)]
    dejittered = dejitter(sounds)
    pieces = tuple((at_ns, sound) for at_ns, (_, sound) in zip(dejittered.starts_ns, sounds, strict=True))
    covered = coverage(pieces, start_ns, end_ns)
    unit = EncodingUnit(
        session=stamped[0].session,
        modality=Modality.AUDIO,
        start_ns=start_ns,
        end_ns=end_ns,
        received_ns=max(event.received_ns for event in stamped),
        payload=SoundPieces(pieces),
        order=(start_ns, 0, name_of(stamped[0].participant)),
        received_fraction=covered.fraction,
        unbroken_s=covered.unbroken_s,
        sources=tuple(source for event in stamped for source in _sources(event)),
        participant=stamped[0].participant,
    )
    return unit, dejittered, repeats


def _instant(event: Event, content: str) -> EncodingUnit:
    if isinstance(event.payload, Sound):
        raise TypeError("sound lasts: it is cut into segments, not taken as an instant")
    payload: Picture | Line | Signal = event.payload
    return EncodingUnit(
        session=event.session,
        modality=event.modality,
        start_ns=event.time_ns,
        end_ns=event.time_ns,
        received_ns=event.received_ns,
        payload=payload,
        order=(event.time_ns, event.sequence or 0, content),
        record=event.record,
        sources=_sources(event),
        participant=event.participant,
    )


def _sources(event: Event) -> tuple[Coordinates, ...]:
    coordinates = event.record.coordinates if event.record is not None else None
    return () if coordinates is None else (coordinates,)
