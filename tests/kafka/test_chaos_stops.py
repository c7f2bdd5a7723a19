"""Instances are stopped while they score: the next continues, and nothing is published twice.

Windows look back some seconds, so that those who take over must rebuild more than what is missing.
"""

import random
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.kafka.broker import Cluster
from tests.kafka.chaos import Group, Outcomes, check, each_by_itself
from tests.kafka.instance import Slowness
from tests.kafka.outcome import GUARANTEES, Guarantee

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]  # the first test waits for all that is done

_STOPS = 6
_SMOOTHING_S = 3.0
_BUSY = Slowness(engine_s=0.5)  # so that there are always windows under way


def stopped(groups: Sequence[Group]) -> None:
    """Stops an instance while it scores, six times; the next continues."""
    for group in groups:
        group.begin(slowness=_BUSY)
        chance = random.Random(f"stopped {group.guarantee}")
        for _ in range(_STOPS):
            time.sleep(chance.uniform(1.0, 4.0))
            group.leave(group.instances[0])
            group.join(slowness=_BUSY)
            group.recover()


@pytest.fixture(scope="module")
def outcomes(broker: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    with each_by_itself({"stopped": stopped}, broker, tmp_path_factory.mktemp("stops"), _SMOOTHING_S) as outcomes:
        yield outcomes


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_everything_is_published_as_if_nothing_had_happened(
    guarantee: Guarantee, outcomes: Outcomes, capsys: pytest.CaptureFixture[str]
) -> None:
    check(outcomes, "stopped", guarantee, capsys)


def test_an_instance_that_is_stopped_leaves_nothing_to_be_published_again(outcomes: Outcomes) -> None:
    assert outcomes["stopped", "at_least_once"].result().duplicates == 0
