"""Instances die, join and leave: others take their sessions over.

All of it is done at the same time, to groups of their own that read the same input. Windows look back some seconds, so
that those who take over must rebuild more than what is missing.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from tests.kafka.broker import Cluster
from tests.kafka.chaos import Group, Outcomes, check, each_by_itself
from tests.kafka.outcome import GUARANTEES, Guarantee

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]  # the first test waits for all that is done

_KILLS = 20
_REBALANCED_S = 120.0
_SMOOTHING_S = 3.0


def killed(groups: Sequence[Group]) -> None:
    """Kills one of three instances twenty times; another replaces it."""
    for group in groups:
        group.begin(instances=3)
        chance = random.Random(f"killed {group.guarantee}")
        for _ in range(_KILLS):
            time.sleep(chance.uniform(0.5, 6.0))
            victim = chance.choice(group.instances)
            group.kill(victim)
            group.join(name=victim.name)


def rebalanced(groups: Sequence[Group]) -> None:
    """For two minutes instances join and leave; there are one to three."""
    for group in groups:
        group.begin()
        chance = random.Random(f"rebalanced {group.guarantee}")
        began_s = time.monotonic()
        while time.monotonic() - began_s < _REBALANCED_S:
            count = len(group.instances)
            if count == 1 or (count == 2 and chance.random() < 0.5):
                group.join()
            else:
                group.leave(chance.choice(group.instances))
            time.sleep(chance.uniform(2.0, 4.0))


CASES: dict[str, Callable[[Sequence[Group]], None]] = {
    "killed": killed,
    "rebalanced": rebalanced,
}


@pytest.fixture(scope="module")
def outcomes(broker: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    with each_by_itself(CASES, broker, tmp_path_factory.mktemp("members"), _SMOOTHING_S) as outcomes:
        yield outcomes


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("case", CASES)
def test_everything_is_published_as_if_nothing_had_happened(
    case: str, guarantee: Guarantee, outcomes: Outcomes, capsys: pytest.CaptureFixture[str]
) -> None:
    check(outcomes, case, guarantee, capsys)
