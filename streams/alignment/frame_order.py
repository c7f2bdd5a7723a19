"""Restores the order in which the frames of a sound were recorded.

Frames that were sent twice are told apart.

Rule: as they are stamped, where frames so stamped fit end to end. Else by the numbers that their producer gave them,
which may wrap or begin anew; without numbers, as they were written to their log. What came neither numbered nor from a
log stays in the order of its stamps. Never by arrival.
"""

from collections.abc import Sequence

from streams.clock import NS_PER_MS
from streams.events import Event, Sound

_ROUNDING_NS = 2 * NS_PER_MS  # of stamps in whole milliseconds
_NEAR = 64  # numbers: more than disorder within a stream moves a frame, less than a stream has before it begins anew
_WRAP = 2**16  # of RTP and of what is built on it


def recorded_order(stamped: Sequence[Event]) -> tuple[list[Event], list[Event]]:
    """Returns the frames in order of recording, and the repeats.

    stamped: events in the order of their time stamps.
    """
    numbers = [event.sequence for event in stamped]
    if _fit(stamped) and (None in numbers or len(set(numbers)) == len(numbers)):
        return list(stamped), []
    written = [event.record.coordinates for event in stamped if event.record is not None]
    base = list(stamped)
    if len(written) == len(stamped) and len({at.partition for at in written if at is not None}) == 1:
        base.sort(key=_offset)
    if None in numbers:
        return base, []
    return _without_repeats(_by_number(base))


def _fit(events: Sequence[Event]) -> bool:
    """Whether no frame overlaps the one before by more than rounding."""
    ends_ns = (event.time_ns + event.duration_ns - _ROUNDING_NS for event in events)
    return all(event.time_ns >= end_ns for event, end_ns in zip(events[1:], ends_ns, strict=False))


def _offset(event: Event) -> int:
    if event.record is None or event.record.coordinates is None:
        raise ValueError("only records of a log have an offset")
    return event.record.coordinates.offset


def _by_number(events: list[Event]) -> list[tuple[int, Event]]:
    """The events by sequence number, counted on where numbers wrap or restart."""
    counted: list[tuple[int, Event]] = []
    count, last = 0, 0
    for event in events:
        number = event.sequence or 0
        step = number - last
        if abs(step) > _NEAR:
            step = (step + _WRAP // 2) % _WRAP - _WRAP // 2
        count += step if abs(step) <= _NEAR else _NEAR  # a new beginning comes after all before it
        last = number
        counted.append((count, event))
    return sorted(counted, key=lambda entry: entry[0])


def _without_repeats(counted: list[tuple[int, Event]]) -> tuple[list[Event], list[Event]]:
    frames: list[Event] = []
    repeats: list[Event] = []
    before: int | None = None
    for count, event in counted:
        if count == before and _same(frames[-1], event):
            repeats.append(event)
        else:
            frames.append(event)
        before = count
    return frames, repeats


def _same(one: Event, other: Event) -> bool:
    match one.payload, other.payload:
        case Sound() as mine, Sound() as theirs:
            return mine.digest() == theirs.digest()
        case _:
            return False
