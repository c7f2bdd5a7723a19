"""A broker stops, dies or hangs: instances wait, within their memory.

Each broker is disturbed at the same time as the others, and read by groups of its own.
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
from tests.kafka.outcome import GUARANTEES, Guarantee

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]  # the first test waits for all that is done

_AWAY_S = 30.0
_HANGS, _HANGS_S, _ANSWERS_S = 5, 4.0, 3.0

Disturb = Callable[[Sequence[Group]], None]


def away(broker: Broker, end: Callable[[], None]) -> Disturb:
    """The broker is not there for half a minute."""

    def disturb(groups: Sequence[Group]) -> None:
        _begin(groups)
        end()
        time.sleep(_AWAY_S)
        broker.start()
        for group in groups:
            group.disturbed()

    return disturb


def hanging(broker: Broker) -> Disturb:
    """Again and again the broker answers nothing for some seconds."""

    def disturb(groups: Sequence[Group]) -> None:
        _begin(groups)
        for _ in range(_HANGS):
            broker.pause()
            time.sleep(_HANGS_S)
            broker.resume()
            for group in groups:
                group.disturbed()
            time.sleep(_ANSWERS_S)

    return disturb


CASES: dict[str, Callable[[Broker], Disturb]] = {
    "broker-stopped": lambda broker: away(broker, broker.stop),
    "broker-killed": lambda broker: away(broker, broker.kill),
    "broker-hanging": hanging,
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    if not os.environ.get("KAFKA_HOME"):
        pytest.skip("set KAFKA_HOME (folder of an unpacked Apache Kafka 4)")
    folder, runs = tmp_path_factory.mktemp("instances"), []
    with ExitStack() as stack:
        for case, disturbing in CASES.items():
            broker = Broker(tmp_path_factory.mktemp("broker"))
            stack.callback(broker.kill)
            feed = stack.enter_context(closing(Feed(Topics(broker.start(), "chaos"))))
            groups = [stack.enter_context(closing(Group(case, guarantee, feed, folder))) for guarantee in GUARANTEES]
            runs.append(Run(groups, disturbing(broker)))
        yield stack.enter_context(together(runs))


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("case", CASES)
def test_everything_is_published_as_if_nothing_had_happened(
    case: str, guarantee: Guarantee, outcomes: Outcomes, capsys: pytest.CaptureFixture[str]
) -> None:
    check(outcomes, case, guarantee, capsys)


def _begin(groups: Sequence[Group]) -> None:
    for group in groups:
        group.begin(instances=2 if group.guarantee == "exactly_once" else 1)
