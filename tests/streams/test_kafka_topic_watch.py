"""Deleted, recreated and unequal input topics are detected and reported."""

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from streams.clock import ManualClock
from streams.kafka.topic_watch import TopicWatch
from tests.streams.test_kafka_source import Metadata

pytestmark = pytest.mark.unit

Change = Callable[[Metadata], None]


class Bench:
    """A watch over two topics, checked ten times a second."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metadata = Metadata(video=2, text=2)
        self.watch = TopicWatch(("video", "text"), self.metadata, self.clock)
        self.recreated: list[str] = []

    def check(self, seconds: float) -> list[dict[str, Any]]:
        """What is logged meanwhile."""
        with capture_logs() as logs:
            for _ in range(round(seconds * 10)):
                self.recreated += self.watch.check()
                self.clock.advance(0.1)
        return [dict(line) for line in logs]


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    assert bench.check(1) == []
    assert bench.watch.fault is None
    return bench


def test_a_topic_that_is_deleted_is_reported_once_and_once_more_when_it_is_back(bench: Bench) -> None:
    del bench.metadata.counts["text"]
    begun = bench.check(60)
    assert begun == [{"event": "an input topic does not exist any more", "topic": "text", "log_level": "error"}]
    assert bench.watch.fault == "text: does not exist any more; create it again (deploy/kafka/topics.sh)"
    bench.metadata.counts["text"] = 2
    bench.metadata.ids["text"] = "another"
    (back,) = bench.check(60)
    assert (back["event"], back["topic"], back["away_s"]) == ("an input topic is back", "text", 60.0)
    assert back["offsets_begin_again"]
    assert bench.watch.fault is None
    assert bench.recreated == ["text"]


def test_all_that_are_deleted_are_named(bench: Bench) -> None:
    bench.metadata.counts.clear()
    assert {line["topic"] for line in bench.check(3)} == {"text", "video"}
    assert str(bench.watch.fault).startswith("text, video: do")


def test_what_a_cluster_does_not_know_for_a_moment_is_not_reported(bench: Bench) -> None:
    del bench.metadata.counts["text"]
    assert bench.check(1.5) == []
    assert bench.watch.fault is None
    bench.metadata.counts["text"] = 2
    assert bench.check(10) == []
    assert bench.recreated == []


def test_a_topic_that_may_not_be_seen_any_more_was_not_deleted(bench: Bench) -> None:
    del bench.metadata.counts["text"]
    bench.metadata.unauthorized_topics = {"text"}
    assert bench.check(10) == []
    assert bench.watch.fault is None


def test_a_topic_that_is_deleted_and_recreated_between_two_checks_is_detected(bench: Bench) -> None:
    bench.metadata.ids["video"] = "another"
    assert [line["topic"] for line in bench.check(10)] == ["video"]
    assert bench.recreated == ["video"]


def test_topics_with_unequal_partitions_are_reported_until_they_are_equal(bench: Bench) -> None:
    bench.metadata.counts["video"] = 4
    (begun,) = bench.check(60)
    assert begun["partitions"] == {"video": 4, "text": 2}
    assert bench.watch.fault == (
        "input topics have unequal partitions (video 4, text 2): sessions are torn apart; make them equal"
    )
    bench.metadata.counts["text"] = 4
    (ended,) = bench.check(60)
    assert ended["event"] == "input topics have equal partitions again"
    assert bench.watch.fault is None


def test_before_the_metadata_is_there_nothing_is_missing() -> None:
    bench = Bench()
    bench.metadata.counts.clear()
    assert bench.check(60) == []
    assert bench.watch.fault is None
