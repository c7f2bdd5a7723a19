"""Holds windows back until the words said in them are known.

The watermark has passed them then. What closes a window is what brought the watermark to its end, though it closes
later. Of a session that happens now a window is held for so long at most; a stored session and a backlog wait as long
as it takes, so that they are scored the same at any speed.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from streams.alignment.windows import WindowGrid
from streams.reasons import ClosedBy


@dataclass(frozen=True, slots=True)
class Reached:
    """The watermark at a moment, and what moved it there; at_ns: monotonic."""

    until_ns: int
    closed_by: ClosedBy
    at_ns: int


@dataclass(slots=True)
class HeldWindows:
    """Held windows of one session. Owned by the timeline thread; no lock.

    max_delay_ns: how long one of a session that happens now is held; None for as long as it takes.
    """

    grid: WindowGrid
    max_delay_ns: int | None
    _reached: deque[Reached] = field(default_factory=deque)
    """Watermarks that passed the end of another window, the oldest first."""

    def note(self, reached: Reached, hold_ns: int, open_from: int) -> None:
        """Notes a watermark beyond `hold_ns` that ends another window.

        open_from: the first window that is not closed.
        """
        noted = self.grid.first_open(self._reached[-1].until_ns) if self._reached else open_from
        if hold_ns < reached.until_ns and self.grid.first_open(reached.until_ns) > noted:
            self._reached.append(reached)

    def released(self, reached: Reached, hold_ns: int, live: bool) -> Iterator[Reached]:
        """The watermarks up to which windows may close now, in order.

        reached: the watermark now. hold_ns: words before it are known. live: whether the session happens now.
        """
        while self._reached and (self._reached[0].until_ns <= hold_ns or self._is_overdue(reached.at_ns, live)):
            yield self._reached.popleft()
        oldest = self._reached[0] if self._reached else reached
        yield Reached(min(oldest.until_ns, hold_ns), oldest.closed_by, reached.at_ns)

    def give_up(self) -> Iterator[Reached]:
        """All watermarks that were noted: windows close without words."""
        while self._reached:
            yield self._reached.popleft()

    def _is_overdue(self, now_ns: int, live: bool) -> bool:
        return live and self.max_delay_ns is not None and now_ns - self._reached[0].at_ns > self.max_delay_ns
