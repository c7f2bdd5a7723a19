"""Fuses each window once, however many look back on it.

The scores of a window by itself follow from its units alone. They are kept with the session, beside the units, and are
fused again where the units are others: in grace, or after a restart. So what is kept changes no answer.
"""

from collections.abc import Callable, Hashable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.scoring.participants import units_of
from models.scores import Scores
from streams.alignment.ordered_units import UnitsByModality

Memo = MutableMapping[Hashable, Any]
"""Of one session: `FusedWindow` by participant and start."""


@dataclass(slots=True)
class FusedWindow:
    """A window by itself: of its session, or of one participant.

    whole: the session's units. units: of these, those that count here. scores: None until they are fused.
    """

    whole: UnitsByModality
    units: UnitsByModality
    scores: Scores | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A window and those before it, the oldest first.

    participant: whose, by id; None for the session. windows: their starts, and the session's units in them.
    """

    memo: Memo
    participant: str | None
    windows: Sequence[tuple[int, UnitsByModality]]


class FusingOnce:
    """The windows to be fused in one call.

    Owned by one thread; no lock.
    """

    def __init__(self) -> None:
        self._new: list[tuple[Memo, Hashable, FusedWindow]] = []

    def add(self, row: Row) -> list[FusedWindow]:
        """The windows of a row, whose scores are there after `fuse`.

        A participant's row comes after its session's. Windows older than the row are dropped from the memo.
        """
        oldest_ns = row.windows[0][0]
        for key in [key for key in row.memo if key[1] < oldest_ns]:  # type: ignore[index]
            del row.memo[key]
        return [self._window(row, start_ns, whole) for start_ns, whole in row.windows]

    def fuse(self, alone: Callable[[Sequence[UnitsByModality]], Sequence[Scores]]) -> None:
        """Scores what is not known yet.

        alone: scores windows by themselves, in one call.
        """
        try:
            scores = alone([window.units for _, _, window in self._new])
        except Exception:
            for memo, key, _ in self._new:
                memo.pop(key, None)
            raise
        for (_, _, window), of_window in zip(self._new, scores, strict=True):
            window.scores = of_window

    def _window(self, row: Row, start_ns: int, whole: UnitsByModality) -> FusedWindow:
        key = (row.participant, start_ns)
        known = row.memo.get(key)
        if isinstance(known, FusedWindow) and known.whole == whole:
            return known
        units = whole if row.participant is None else units_of(whole, row.participant)
        if row.participant is not None and units == whole:
            shared: FusedWindow = row.memo[(None, start_ns)]
            row.memo[key] = shared
            return shared
        window = row.memo[key] = FusedWindow(whole, units)
        self._new.append((row.memo, key, window))
        return window
