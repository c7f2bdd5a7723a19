"""State machine of a source.

A source is opened, runs, and then ends, fails or is stopped; a live one that breaks waits and is opened again. An
illegal transition is a bug and raises at once: operators never see a state that was not reached.
"""

from enum import StrEnum


class SourceState(StrEnum):
    """State of a source, as metrics and /status show it."""

    CREATED = "created"
    OPENING = "opening"
    RUNNING = "running"
    WAITING = "waiting"
    """Broken, and opened again after the back-off; a log: its brokers cannot be reached."""
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
    """A transition between states that is not legal."""


def moved(current: SourceState, to: SourceState) -> SourceState:
    """`to`, where it may follow `current`; IllegalMove otherwise."""
    if to not in LEGAL_MOVES[current]:
        raise IllegalMove(f"a source cannot go from {current} to {to}")
    return to
