"""Tracks how far the windows of one session have come.

Windows pass every step in the order of their index on the grid, so one index a step says it all. Each index is
exclusive: the windows before it have passed the step, or will never exist. `BEFORE_ALL` stands for none yet.

    index ───►        delivered_until   submitted_until   accepting_from     open_from
                             │                 │                │                │
     ────────────────────────┼─────────────────┼────────────────┼────────────────┼─────────────────►
        every sink has       │  submitted: in  │  closed: their │  in grace: a   │  open: units are
        them; a checkpoint   │  the engine or  │  units are not │  late unit     │  collected until the
        says so              │  the sinks      │  encoded yet   │  revises them  │  watermark is at the end

Without grace the last two are one.

Lookback: a window comes with the units of the windows before it, so units are kept for longer than windows accept them:

                                   units kept ├─── lookback ────┼─── accepting ───►

Restore: when the partitions of a log come to this instance, a checkpoint names the first window that was not published.
The windows of the lookback before it are rebuilt, so that the first window submitted comes with the same units as if
nothing had happened. They close in their time and are not submitted:

    index ───►        rebuilt_from                      resumed_from = restored_from
                             │                                  │
     ────────────────────────┼──────────────────────────────────┼──────────────────────────────────►
        nothing is taken:    │  rebuilt for the lookback: they  │  as in the first drawing
        no window needs it   │  close, and are not submitted    │

A session that ended and comes back to the same instance resumes at `open_from`: what was closed stays closed, and
nothing is rebuilt.

Invariants, at any time (no index ever falls):

    restored_from <= delivered_until <= submitted_until <= max(accepting_from, resumed_from)
    rebuilt_from  <= accepting_from  <= open_from
    rebuilt_from  <= resumed_from,  restored_from <= resumed_from
"""

from dataclasses import dataclass, field

BEFORE_ALL = -(2**63)
"""Index before that of every window."""


@dataclass(slots=True)
class WindowProgress:
    """Progress of one session's windows, by index on the grid.

    The timeline thread changes the first group of indices, without a lock. The ledger changes the second, with its lock
    held; it does so for sessions of logs only.
    """

    restored_from: int = BEFORE_ALL
    """From the checkpoint: windows before it were published before the partitions came here."""

    open_from: int = BEFORE_ALL
    accepting_from: int = BEFORE_ALL
    resumed_from: int = BEFORE_ALL
    rebuilt_from: int = BEFORE_ALL

    submitted_until: int = field(init=False)
    delivered_until: int = field(init=False)
    in_flight: list[int] = field(default_factory=list)
    """Windows submitted and not delivered yet; one that was revised, as often as it was submitted."""

    def __post_init__(self) -> None:
        self.submitted_until = self.delivered_until = self.restored_from

    # The timeline thread.

    def resume(self, lookback_windows: int) -> None:
        """Begins a timeline where windows were closed, or at a restored lookback."""
        if self.open_from == BEFORE_ALL and self.restored_from != BEFORE_ALL:
            self.open_from = self.restored_from - lookback_windows
        self.rebuilt_from = self.accepting_from = self.open_from
        self.resumed_from = max(self.open_from, self.restored_from)

    def close(self, until: int, grace_until: int) -> None:
        """Closes windows before `until`, and ends grace before `grace_until`."""
        if until > self.open_from:
            self.open_from = until
        accepting_from = min(self.open_from, grace_until)
        if accepting_from > self.accepting_from:
            self.accepting_from = accepting_from

    def submits(self, index: int) -> bool:
        """Whether a closing window is submitted: not if published before."""
        return index >= self.resumed_from

    # The ledger, with its lock held.

    def submit(self, index: int) -> None:
        """Adds a window to those in flight."""
        self.in_flight.append(index)

    def submit_until(self, index: int) -> bool:
        """Notes that windows before `index` are submitted; returns whether more are delivered."""
        if index > self.submitted_until:
            self.submitted_until = index
        return self._deliver_until()

    def deliver(self, index: int) -> bool:
        """Takes a window out of flight; returns whether more are delivered.

        ValueError if it is not in flight.
        """
        self.in_flight.remove(index)
        return self._deliver_until()

    def _deliver_until(self) -> bool:
        until = min(self.submitted_until, *self.in_flight) if self.in_flight else self.submitted_until
        if until <= self.delivered_until:
            return False
        self.delivered_until = until
        return True
