"""The life of the daemon."""

import pytest

from daemon.lifecycle import TRANSITIONS, IllegalTransition, LifecycleState, transition

pytestmark = pytest.mark.unit

S = LifecycleState


@pytest.mark.parametrize(
    "life",
    [
        (S.STARTING, S.WARMING, S.OPENING, S.RUNNING, S.DRAINING, S.STOPPED),
        (S.STARTING, S.WARMING, S.OPENING, S.RUNNING, S.OPENING, S.RUNNING, S.DRAINING, S.STOPPED),
        (S.STARTING, S.WARMING, S.OPENING, S.DRAINING, S.STOPPED),
        (S.STARTING, S.WARMING, S.STOPPED),
        (S.STARTING, S.STOPPED),
    ],
    ids=["whole", "a source breaks and comes back", "ends before it ran", "no model", "cannot start"],
)
def test_a_life_that_may_be(life: tuple[LifecycleState, ...]) -> None:
    state = life[0]
    for to in life[1:]:
        state = transition(state, to)
    assert state is S.STOPPED


@pytest.mark.parametrize(
    ("current", "to"),
    [(S.STARTING, S.RUNNING), (S.WARMING, S.RUNNING), (S.DRAINING, S.RUNNING), (S.RUNNING, S.STOPPED)],
)
def test_a_move_that_may_not_be_raises_and_names_both_states(current: LifecycleState, to: LifecycleState) -> None:
    with pytest.raises(IllegalTransition, match=f"from {current} to {to}"):
        transition(current, to)


def test_nothing_follows_the_end_and_everything_can_reach_it() -> None:
    assert [state for state in S if not TRANSITIONS[state]] == [S.STOPPED]
    reached = {S.STOPPED}
    for _ in S:
        reached |= {state for state in S if TRANSITIONS[state] & reached}
    assert reached == set(S)
