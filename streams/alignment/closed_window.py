"""A closed window with its encoding units, ready once these are encoded."""

from dataclasses import dataclass, field
from typing import Any

from streams.alignment.ordered_units import UnitsByModality, within
from streams.delivery.ledger import SessionLease
from streams.reasons import ClosedBy
from streams.records import Modality


@dataclass(frozen=True, slots=True)
class ClosedWindow:
    """A closed window of one session, scored when its units are done."""

    session: str
    start_ns: int
    end_ns: int
    closed_by: ClosedBy
    revision: int
    units: UnitsByModality
    received_fraction: dict[Modality, float]
    """How much of the window was received, 0..1, whatever it held; for text, whether there was a line."""
    watermark_lag_ns: int
    """How far the session's event time was ahead of the watermark when the window closed."""
    index: int
    """Its place on the grid of windows."""
    lease: SessionLease | None
    """The session's lease in the ledger; None where it does not come from a log."""
    lookback: UnitsByModality = field(default_factory=dict)
    """What starts in the lookback before `start_ns`: with `units`, all that lies in the preceding windows."""
    transcribed_fraction: float | None = None
    """How much of its speech has become words, 0..1; None where there is none, or none is transcribed."""
    memo: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    """What whoever scores the session's windows keeps for the next; owned by them, freed with the session."""
    live: bool = True
    """Whether it was of the present when it closed, and not of a stored session or a backlog."""

    @property
    def ready(self) -> bool:
        """Whether every unit is done, also of the lookback."""
        return all(unit.done for part in (self.units, self.lookback) for units in part.values() for unit in units)

    def preceding(self, count: int, step_ns: int) -> list[UnitsByModality]:
        """Units of the `count` windows before this one, as known now.

        The oldest comes first; at most as many as the lookback holds.
        """
        known = {modality: (*self.lookback.get(modality, ()), *units) for modality, units in self.units.items()}
        spans = [(self.start_ns - ago * step_ns, self.end_ns - ago * step_ns) for ago in range(count, 0, -1)]
        return [{modality: within(units, *span) for modality, units in known.items()} for span in spans]
