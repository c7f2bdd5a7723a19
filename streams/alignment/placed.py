"""Units of one modality in the order of event time: where a new one goes, and which lie in a span.

A placed list is sorted by `EncodingUnit.order`, and so by start. There is no state here.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence

from streams.events import EncodingUnit
from streams.records import Modality

UnitsByModality = dict[Modality, tuple[EncodingUnit, ...]]
"""Some units of each modality, in order."""


def place(placed: list[EncodingUnit], unit: EncodingUnit) -> None:
    """Puts a unit where it belongs; a segment of sound that has changed takes the place of what it was."""
    at = bisect_left(placed, unit.order, key=_order)
    changed_segment = unit.modality is Modality.AUDIO and at < len(placed) and placed[at].order == unit.order
    if changed_segment:
        placed[at] = unit
    else:
        insort(placed, unit, key=_order)


def first_from(placed: Sequence[EncodingUnit], start_ns: int) -> int:
    """The place of the first unit that starts at `start_ns` or later."""
    return bisect_left(placed, start_ns, key=_start_ns)


def starting_in(placed: Sequence[EncodingUnit], start_ns: int, end_ns: int) -> tuple[EncodingUnit, ...]:
    """The units that start in [start, end), wherever they end."""
    return tuple(placed[first_from(placed, start_ns) : first_from(placed, end_ns)])


def within(placed: Sequence[EncodingUnit], start_ns: int, end_ns: int) -> tuple[EncodingUnit, ...]:
    """The units that lie whole in [start, end)."""
    return tuple(unit for unit in starting_in(placed, start_ns, end_ns) if unit.end_ns <= end_ns)


def _order(unit: EncodingUnit) -> tuple[int, int, str]:
    return unit.order


def _start_ns(unit: EncodingUnit) -> int:
    return unit.start_ns
