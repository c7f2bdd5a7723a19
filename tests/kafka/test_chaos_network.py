"""The network between broker and instance is cut for a minute.

The cut is noticed at once (no route) or by nothing but silence; it is done to all groups at the same time.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing

import pytest

from tests.kafka.broker import Broker
from tests.kafka.chaos import Group, Outcomes, Run, check, together
from tests.kafka.conftest import Topics
from tests.kafka.feed import Feed
from tests.kafka.network import Network, missing, network
from tests.kafka.outcome import GUARANTEES, Guarantee

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]  # the first test waits for all that is done

_CUT_S = 60.0

Disturb = Callable[[Sequence[Group]], None]


def cut(link: Network, *, silently: bool, others: int) -> Disturb:
    """For a minute one instance cannot reach the broker; `others` can."""

    def disturb(groups: Sequence[Group]) -> None:
        for group in groups:
            group.join(network=link)
            group.begin(instances=others)
        link.cut(silently=silently)
        if others:
            for group in groups:
                group.disturbed(group.instances[0].state.numbers)
        time.sleep(_CUT_S)
        link.restore()
        for group in groups:
            group.disturbed()

    return disturb


CASES: dict[str, Callable[[Network], Disturb]] = {
    "only-instance-cut-off": lambda link: cut(link, silently=False, others=0),
    "only-instance-cut-off-silently": lambda link: cut(link, silently=True, others=0),
    "one-of-two-cut-off": lambda link: cut(link, silently=False, others=1),
    "one-of-two-cut-off-silently": lambda link: cut(link, silently=True, others=1),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    lack = missing() or (
        None if os.environ.get("KAFKA_HOME") else "set KAFKA_HOME (folder of an unpacked Apache Kafka 4)"
    )
    if lack:
        pytest.skip(lack)
    folder = tmp_path_factory.mktemp("instances")
    with ExitStack() as stack:
        broker = Broker(tmp_path_factory.mktemp("broker"), host=stack.enter_context(network()).outside)
        stack.callback(broker.kill)
        feed, runs = stack.enter_context(closing(Feed(Topics(broker.start(), "chaos")))), []
        for case, disturbing in CASES.items():
            groups = [stack.enter_context(closing(Group(case, guarantee, feed, folder))) for guarantee in GUARANTEES]
            runs.append(Run(groups, disturbing(stack.enter_context(network()))))
        yield stack.enter_context(together(runs))


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("case", CASES)
def test_everything_is_published_as_if_nothing_had_happened(
    case: str, guarantee: Guarantee, outcomes: Outcomes, capsys: pytest.CaptureFixture[str]
) -> None:
    check(outcomes, case, guarantee, capsys)
