"""What the configuration wants of each Kafka cluster that it names.

Source and sink mostly share one; then it is checked once, for both.
"""

from collections.abc import Iterator
from dataclasses import replace

from daemon.config import Config
from daemon.config.kafka import KafkaSinkSettings, KafkaSourceSettings
from streams.kafka.checks import ClusterRequirements
from streams.kafka.connection import Connection


def required_clusters(config: Config) -> Iterator[tuple[Connection, ClusterRequirements]]:
    """Every cluster with what is to be read from it and written to it; that of the Kafka source first."""
    source, sink, sink_connection = config.kafka_source, config.kafka_sink, config.kafka_sink_connection
    if source is not None:
        connection, wanted = source.kafka.connection, _of_source(source.kafka)
        if sink is not None and connection == sink_connection:
            yield connection, _with_sink(wanted, sink.kafka)
            return
        yield connection, wanted
    if sink is not None and sink_connection is not None:
        made = (
            replace(_of_source(source.kafka), inputs=(), group_id="", session_timeout_s=0.0)
            if source
            else ClusterRequirements()
        )
        yield sink_connection, _with_sink(made, sink.kafka)


def _of_source(source: KafkaSourceSettings) -> ClusterRequirements:
    return ClusterRequirements(
        inputs=tuple(source.topics.values()),
        group_id=source.group_id,
        session_timeout_s=source.session_timeout_s,
        create=source.create_topics,
        partitions=source.partitions,
        replication_factor=source.replication_factor,
    )


def _with_sink(wanted: ClusterRequirements, sink: KafkaSinkSettings) -> ClusterRequirements:
    """Of the sink's topics those that something writes to: of alerts nothing does."""
    return replace(wanted, results=(sink.predictions_topic,), dead_letters=sink.dead_letters_topic)
