"""The life of a source, as states with their legal moves.

A source is opened, runs, and then ends, fails or is stopped; a live one that breaks waits and is opened again. An
illegal move is a bug and raises at once, rather than showing operators a state that was never reached.
"""

from enum import StrEnum


class SourceState(StrEnum):
    """Where a source stands; the value is what metrics and /status show."""

    CREATED = "created"
    OPENING = "opening"
    RUNNING = "running"
    WAITING = "waiting"
    """Broken, and opened again after the back-off; or, of a log, cut off from its brokers."""
    ENDED = "ended"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_final(self) -> bool:
        """Nothing follows."""
        return not LEGAL_MOVES[self]


LEGAL_MOVES: dict[SourceState, frozenset[SourceState]] = {
    SourceState.CREATED: frozenset({SourceState.OPENING, SourceState.STOPPED}),
    SourceState.OPENING: frozenset({SourceState.RUNNING, SourceState.WAITING, SourceState.FAILED, SourceState.STOPPED}),
    SourceState.RUNNING: frozenset({SourceState.WAITING, SourceState.ENDED, SourceState.FAILED, SourceState.STOPPED}),
    SourceState.WAITING: frozenset({SourceState.OPENING, SourceState.STOPPED}),
    SourceState.ENDED: frozenset(),
    SourceState.FAILED: frozenset(),
    SourceState.STOPPED: frozenset(),
}


class IllegalMove(RuntimeError):
    """A source was moved to a state that cannot follow its present one."""


def moved(current: SourceState, to: SourceState) -> SourceState:
    """`to`, where it may follow `current`; IllegalMove otherwise."""
    if to not in LEGAL_MOVES[current]:
        raise IllegalMove(f"a source cannot go from {current} to {to}")
    return to
