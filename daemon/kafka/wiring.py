"""From configuration to what the Kafka source, sink and transactions are made of."""

import os
import socket

import structlog

from daemon.config import Config
from daemon.kafka.clusters import required_clusters
from daemon.kafka.endpoints import input_topics
from streams.clock import Clock
from streams.delivery.ledger import Ledger
from streams.kafka.consumer_config import KafkaSourceConfig
from streams.kafka.producer import ProducerConfig
from streams.kafka.secret_exposure import exposed_secrets
from streams.kafka.source import KafkaSource
from streams.kafka.transactions import Transactions
from streams.telemetry import Telemetry

log = structlog.get_logger(__name__)


def source_config(config: Config) -> KafkaSourceConfig:
    """The one Kafka source that `config` has."""
    source = config.kafka_source
    if source is None:
        raise ValueError("the configuration has no Kafka source")
    kafka = source.kafka
    return KafkaSourceConfig(
        source.name,
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
        wanted=next(wanted for _, wanted in required_clusters(config)),
    )


def producer_config(config: Config) -> ProducerConfig:
    """Where the one Kafka sink that `config` has writes to."""
    sink, connection = config.kafka_sink, config.kafka_sink_connection
    if sink is None or connection is None:
        raise ValueError("the configuration has no Kafka sink")
    kafka = sink.kafka
    for finding in (
        exposed_secrets(connection.security) if kafka.bootstrap_servers else ()
    ):  # the source tells of its own
        log.warning("the Kafka cluster of the sink", subject=finding.subject, finding=finding.sentence)
    return ProducerConfig(connection, kafka.predictions_topic, kafka.dead_letters_topic, kafka.compression)


def transactions(
    config: Config, source: KafkaSource, ledger: Ledger, clock: Clock, telemetry: Telemetry
) -> Transactions:
    """The sink that delivers what `source` reads exactly once; unlike those of other instances by host and process."""
    if config.kafka_source is None:
        raise ValueError("the configuration has no Kafka source")
    process = f"{socket.gethostname()}-{os.getpid()}"
    transactional_id = config.delivery.transactional_id_of(config.kafka_source.kafka, process)
    membership = source.group_metadata
    return Transactions("kafka", producer_config(config), transactional_id, ledger, membership, clock, telemetry)
