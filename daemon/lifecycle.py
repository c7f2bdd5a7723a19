"""The life cycle of the daemon: states and their transitions.

An illegal transition is a bug and raises.
"""

from enum import StrEnum


class LifecycleState(StrEnum):
    """The states; metrics, /status and systemd show their values."""

    STARTING = "starting"
    WARMING = "warming"
    """The model is loaded and run on real shapes."""
    OPENING = "opening"
    """Warm; not every source has opened yet."""
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"


TRANSITIONS: dict[LifecycleState, frozenset[LifecycleState]] = {
    LifecycleState.STARTING: frozenset({LifecycleState.WARMING, LifecycleState.STOPPED}),
    LifecycleState.WARMING: frozenset({LifecycleState.OPENING, LifecycleState.STOPPED}),
    LifecycleState.OPENING: frozenset({LifecycleState.RUNNING, LifecycleState.DRAINING}),
    LifecycleState.RUNNING: frozenset({LifecycleState.OPENING, LifecycleState.DRAINING}),
    LifecycleState.DRAINING: frozenset({LifecycleState.STOPPED}),
    LifecycleState.STOPPED: frozenset(),
}


class IllegalTransition(RuntimeError):
    """The state asked for cannot follow the present one."""


def transition(current: LifecycleState, to: LifecycleState) -> LifecycleState:
    """`to`, where it may follow `current`; IllegalTransition otherwise."""
    if to not in TRANSITIONS[current]:
        raise IllegalTransition(f"the daemon cannot go from {current} to {to}")
    return to
