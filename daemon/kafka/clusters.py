"""Lists the Kafka clusters of a configuration and their requirements.

Source and sink mostly share one cluster; then it is checked once, for both.
"""

from collections.abc import Iterator
from dataclasses import replace

from daemon.config import Config
from daemon.config.kafka import KafkaSinkSettings, KafkaSourceSettings
from streams.kafka.checks import ClusterRequirements
from streams.kafka.connection import Connection


def required_clusters(config: Config) -> Iterator[tuple[Connection, ClusterRequirements]]:
    """Every cluster with its requirements; that of the source first."""
    source, sink, sink_connection = config.kafka_source, config.kafka_sink, config.kafka_sink_connection
    if source is not None:
        connection, requirements = source.kafka.connection, _of_source(source.kafka)
        if sink is not None and connection == sink_connection:
            yield connection, _with_sink(requirements, sink.kafka)
            return
        yield connection, requirements
    if sink is not None and sink_connection is not None:
        topics = ClusterRequirements()
        if source is not None:  # topics are created for the sink as for the source
            topics = replace(_of_source(source.kafka), inputs=(), group_id="", session_timeout_s=0.0)
        yield sink_connection, _with_sink(topics, sink.kafka)


def _of_source(source: KafkaSourceSettings) -> ClusterRequirements:
    return ClusterRequirements(
        inputs=tuple(source.topics.values()),
        group_id=source.group_id,
        session_timeout_s=source.session_timeout_s,
        create=source.create_topics,
        partitions=source.partitions,
        replication_factor=source.replication_factor,
    )


def _with_sink(requirements: ClusterRequirements, sink: KafkaSinkSettings) -> ClusterRequirements:
    """Adds the sink's topics that are written to: not yet alerts."""
    return replace(requirements, results=(sink.predictions_topic,), dead_letters=sink.dead_letters_topic)
