"""Builds the Kafka source, sink and transactions from the configuration."""

import os
import socket
from collections.abc import Iterable

import structlog

from daemon.config import Config
from daemon.kafka.clusters import required_clusters
from daemon.kafka.endpoints import input_topics
from streams.clock import Clock
from streams.delivery.ledger import Ledger
from streams.kafka.consumer_config import KafkaSourceConfig
from streams.kafka.producer import ProducerConfig
from streams.kafka.secret_exposure import exposed_secrets
from streams.kafka.sink import KafkaSink
from streams.kafka.source import KafkaSource
from streams.kafka.transactions import Transactions
from streams.sinks.base import TransactionalSink
from streams.sources.base import Source
from streams.telemetry import Telemetry

log = structlog.get_logger(__name__)


def kafka_source(config: Config, ledger: Ledger, clock: Clock, telemetry: Telemetry) -> KafkaSource:
    """Builds the one Kafka source of the configuration; ValueError without one."""
    table = config.kafka_source
    if table is None:
        raise ValueError("the configuration has no Kafka source")
    kafka = table.kafka
    source_config = KafkaSourceConfig(
        table.name,
        kafka.connection,
        kafka.group_id,
        tuple(input_topics(kafka).values()),
        instance_id=kafka.instance_id,
        start=kafka.start,
        session_timeout_s=kafka.session_timeout_s,
        high_bytes=kafka.high_mark_bytes,
        low_bytes=kafka.high_mark_bytes // 2,
        commit_interval_s=kafka.commit_interval_s,
        commits=config.delivery.guarantee == "at_least_once",
        revoke_timeout_s=config.delivery.revoke_timeout_s,
        requirements=next(requirements for _, requirements in required_clusters(config)),
    )
    return KafkaSource(source_config, ledger, clock, telemetry)


def kafka_sink(config: Config, clock: Clock) -> KafkaSink:
    """Builds the one Kafka sink of the configuration; ValueError without one."""
    return KafkaSink("kafka", producer_config(config), clock)


def transactions(
    config: Config, sources: Iterable[Source], ledger: Ledger, clock: Clock, telemetry: Telemetry
) -> TransactionalSink | None:
    """Builds the transactional sink; None unless exactly once is configured.

    The configuration makes sure that there are then a Kafka source and a Kafka sink of one cluster. Without an id in
    the configuration, host and process tell this instance's transactions from those of others.
    """
    source = next((source for source in sources if isinstance(source, KafkaSource)), None)
    table = config.kafka_source
    if source is None or table is None or config.delivery.guarantee != "exactly_once":
        return None
    transactional_id = config.delivery.transactional_id_of(table.kafka, f"{socket.gethostname()}-{os.getpid()}")
    return Transactions(
        "kafka", producer_config(config), transactional_id, ledger, source.group_metadata, clock, telemetry
    )


def producer_config(config: Config) -> ProducerConfig:
    """Where the one Kafka sink of the configuration writes; ValueError without one."""
    sink, connection = config.kafka_sink, config.kafka_sink_connection
    if sink is None or connection is None:
        raise ValueError("the configuration has no Kafka sink")
    kafka = sink.kafka
    for finding in exposed_secrets(connection.security) if kafka.bootstrap_servers else ():  # else the source warns
        log.warning("the Kafka cluster of the sink", subject=finding.subject, finding=finding.sentence)
    return ProducerConfig(connection, kafka.predictions_topic, kafka.dead_letters_topic, kafka.compression)
