"""A slow sink: reading is paused, memory bounded, nothing lost."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import pytest

from tests.kafka.broker import Cluster
from tests.kafka.chaos import Group, Outcomes, Run, check, together
from tests.kafka.conftest import Topics
from tests.kafka.feed import PARTITIONS, Feed
from tests.kafka.instance import Slowness
from tests.kafka.outcome import GUARANTEES, Guarantee

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(1200)]  # the first test waits for all that is done

_INPUT_S = 60.0
_PICTURE_BYTES = 40_000  # of 3000 pictures: 120 MB
_QUEUED_MIB = 8
_FETCH_MIB = 1  # the most of one partition at once
_ELSE_MIB = 80  # clients, threads, and what is decoded and waits for its window
_SLOW = Slowness(sink_s=2.0)


def slow_sink(groups: Sequence[Group]) -> None:
    """A minute of input waits, and every group of predictions is slow."""
    for group in groups:
        group.feed.finish()
        group.join(slowness=_SLOW)
        group.settle()


@pytest.fixture(scope="module")
def outcomes(broker: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    topics, folder = Topics(broker, f"test-{uuid.uuid4().hex[:12]}"), tmp_path_factory.mktemp("instances")
    queued: dict[str, Any] = {"max_queued_mib": float(_QUEUED_MIB)}
    with ExitStack() as stack:
        feed = stack.enter_context(closing(Feed(topics, _INPUT_S, beforehand=True, picture_bytes=_PICTURE_BYTES)))
        groups = [stack.enter_context(closing(Group("slow-sink", each, feed, folder, **queued))) for each in GUARANTEES]
        yield stack.enter_context(together([Run([group], slow_sink) for group in groups]))
    topics.cluster.delete_topics(topics.inputs)


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_a_slow_sink_holds_reading_back_and_loses_nothing(
    guarantee: Guarantee, outcomes: Outcomes, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = check(outcomes, "slow-sink", guarantee, capsys)
    (history,) = outcome.histories
    paused = [bool(state.paused) for state in history]
    assert True in paused, "reading was to be held back"
    assert False in paused[paused.index(True) :], "reading was to go on"
    most_mib = _QUEUED_MIB + _FETCH_MIB * 3 * PARTITIONS
    assert max(state.waiting_bytes for state in history) < most_mib * 2**20
    assert outcome.growth_bytes < (most_mib + _ELSE_MIB) * 2**20
