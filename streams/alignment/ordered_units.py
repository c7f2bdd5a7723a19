"""Keeps the encoding units of one modality in order of event time.

A list is sorted by `EncodingUnit.order`, and so by start. There is no state here.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence

from streams.events import EncodingUnit
from streams.records import Modality

UnitsByModality = dict[Modality, tuple[EncodingUnit, ...]]
"""Units of each modality, in order."""


def insert(units: list[EncodingUnit], unit: EncodingUnit) -> None:
    """Inserts a unit in order.

    A segment of sound that changed replaces its former self.
    """
    at = bisect_left(units, unit.order, key=_order)
    changed_segment = unit.modality is Modality.AUDIO and at < len(units) and units[at].order == unit.order
    if changed_segment:
        units[at] = unit
    else:
        insort(units, unit, key=_order)


def first_from(units: Sequence[EncodingUnit], start_ns: int) -> int:
    """Index of the first unit that starts at `start_ns` or later."""
    return bisect_left(units, start_ns, key=_start_ns)


def starting_in(units: Sequence[EncodingUnit], start_ns: int, end_ns: int) -> tuple[EncodingUnit, ...]:
    """Units that start in [start, end), wherever they end."""
    return tuple(units[first_from(units, start_ns) : first_from(units, end_ns)])


def within(units: Sequence[EncodingUnit], start_ns: int, end_ns: int) -> tuple[EncodingUnit, ...]:
    """Units that lie whole in [start, end)."""
    return tuple(unit for unit in starting_in(units, start_ns, end_ns) if unit.end_ns <= end_ns)


def _order(unit: EncodingUnit) -> tuple[int, int, str]:
    return unit.order


def _start_ns(unit: EncodingUnit) -> int:
    return unit.start_ns
