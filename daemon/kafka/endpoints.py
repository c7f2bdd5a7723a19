"""Finds the cluster and topics for a command.

They are those of the configuration, or the default topics of a broker that is named.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click
from pydantic import ValidationError

from daemon.config import Config
from daemon.config.endpoints import KafkaSinkTable, KafkaSourceTable
from daemon.config.errors import ConfigurationError
from daemon.config.kafka import KafkaSinkSettings, KafkaSourceSettings
from streams.kafka.connection import Connection
from streams.kafka.contract import CONTENT_TYPES, InputTopic
from streams.records import Modality

_LOCAL = "127.0.0.1:9092"


@dataclass(frozen=True, slots=True)
class InputTopics:
    """The topic of each modality that is read."""

    connection: Connection
    topics: Mapping[Modality, InputTopic]


@dataclass(frozen=True, slots=True)
class DeadLetterTopic:
    """The dead-letter topic, and the cluster of the original records."""

    connection: Connection
    name: str
    origin: Connection


def input_topics(settings: KafkaSourceSettings) -> dict[Modality, InputTopic]:
    """The input topics of a Kafka source, by modality."""
    content_types = {
        Modality.VIDEO: settings.video_content_type,
        Modality.AUDIO: settings.audio_content_type,
        Modality.TEXT: settings.text_content_type,
        Modality.SIGNALS: CONTENT_TYPES[Modality.SIGNALS],
    }
    return {
        Modality(name): InputTopic(
            topic,
            Modality(name),
            content_types[Modality(name)],
            settings.channels if name == Modality.AUDIO else (),
        )
        for name, topic in settings.topics.items()
    }


def inputs(config: Config, file: Path | None, server: str | None) -> InputTopics:
    """The input topics of the configured Kafka source.

    With `server`, or where nothing is configured, those of that broker or a local one. ConfigurationError if the
    configuration `file` has no Kafka source; UsageError if `server` is no "host:port".
    """
    source = _source(config, file, server)
    return InputTopics(source.connection, input_topics(source))


def dead_letter_topic(config: Config, file: Path | None, server: str | None) -> DeadLetterTopic:
    """The dead-letter topic of the configured Kafka sink.

    It is on the cluster of the source where the sink names none; else as `inputs`.
    """
    sink = next((sink.kafka for sink in config.sinks if isinstance(sink, KafkaSinkTable)), KafkaSinkSettings())
    if server is not None:
        sink = KafkaSinkSettings()
    if not sink.bootstrap_servers:
        origin = _source(config, file, server).connection
        return DeadLetterTopic(origin, sink.dead_letters_topic, origin)
    source = _configured_source(config)
    return DeadLetterTopic(sink.connection, sink.dead_letters_topic, (source or sink).connection)


def _source(config: Config, file: Path | None, server: str | None) -> KafkaSourceSettings:
    source = _configured_source(config)
    if server is None and source is not None:
        return source
    if server is None and file is not None:
        raise ConfigurationError([f"{file}: sources: none is of kind kafka; it says which cluster is meant"])
    try:
        return KafkaSourceSettings(bootstrap_servers=(server or _LOCAL,))
    except ValidationError as error:
        raise click.UsageError(
            f"--bootstrap-servers: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
        ) from None


def _configured_source(config: Config) -> KafkaSourceSettings | None:
    return next((source.kafka for source in config.sources if isinstance(source, KafkaSourceTable)), None)
