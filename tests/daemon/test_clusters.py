"""What the configuration wants of each Kafka cluster that it names."""

import pytest

from daemon.config.source import load
from daemon.kafka.clusters import required_clusters
from streams.kafka.checks import ClusterRequirements
from streams.kafka.connection import Connection

pytestmark = pytest.mark.unit

SOURCE = 'sources=[{kind = "kafka", kafka = {bootstrap_servers = ["a:1"], video_topic = "", group_id = "g"}}]'
CREATING = 'sources=[{kind = "kafka", kafka = {bootstrap_servers = ["a:1"], create_topics = true, partitions = 7}}]'
SINK = 'sinks=[{kind = "kafka"}]'
OTHER_SINK = 'sinks=[{kind = "kafka", kafka = {bootstrap_servers = ["b:1"], predictions_topic = "p"}}]'
RESULTS = ("affectd.predictions",)


def wanted(*settings: str) -> dict[tuple[str, ...], ClusterRequirements]:
    return {connection.bootstrap_servers: wanted for connection, wanted in required_clusters(load(None, {}, settings))}


def test_without_kafka_nothing_is_wanted_of_any_cluster() -> None:
    assert wanted() == {}


def test_a_source_wants_its_topics_and_its_group() -> None:
    assert wanted(SOURCE) == {
        ("a:1",): ClusterRequirements(inputs=("affectd.audio", "affectd.text"), group_id="g", session_timeout_s=10.0)
    }


def test_source_and_sink_of_one_cluster_are_wanted_together() -> None:
    assert wanted(SOURCE, SINK) == {
        ("a:1",): ClusterRequirements(
            inputs=("affectd.audio", "affectd.text"),
            results=RESULTS,
            dead_letters="affectd.dead-letters",
            group_id="g",
            session_timeout_s=10.0,
        )
    }


def test_a_sink_of_another_cluster_has_its_topics_created_there_as_those_of_the_source() -> None:
    both = wanted(CREATING, OTHER_SINK)
    assert both[("a:1",)].topics == ("affectd.video", "affectd.audio", "affectd.text")
    assert both[("b:1",)] == ClusterRequirements(
        results=("p",), dead_letters="affectd.dead-letters", create=True, partitions=7
    )


def test_a_sink_alone_is_checked_too() -> None:
    (found,) = (found for _, found in required_clusters(load(None, {}, [OTHER_SINK])))
    assert found == ClusterRequirements(results=("p",), dead_letters="affectd.dead-letters")


def test_the_cluster_of_the_source_comes_first() -> None:
    first, second = (connection for connection, _ in required_clusters(load(None, {}, [SOURCE, OTHER_SINK])))
    assert (first, second) == (Connection(("a:1",)), Connection(("b:1",)))
