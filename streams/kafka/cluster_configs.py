"""Reads the configuration of topics and brokers from a cluster."""

import contextlib
from collections.abc import Iterable

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError

from streams.kafka.connection import Connection

MAX_MESSAGE_BYTES = "max.message.bytes"
"""The configuration of a topic that bounds its messages."""
KAFKA_DEFAULT_BYTES = 1_048_588
"""The largest message of a topic that nobody configured."""

_REQUEST_TIMEOUT_MS = 10_000


def read_configs(
    admin: KafkaAdminClient, kind: ConfigResourceType, names: Iterable[str], keys: tuple[str, ...]
) -> dict[str, dict[str, str]]:
    """The configuration of topics or brokers, by name.

    To read it is a permission of its own, which the work does not need: without it, nothing is returned of a name.
    """
    resources = [ConfigResource(kind, name, list(keys)) for name in names]
    configs = admin.describe_configs(resources, config_filter="all")
    return {
        name: {key: entry["value"] for key, entry in entries.items() if entry["value"] is not None}
        for name, entries in configs.get(kind.name.lower(), {}).items()
    }


def max_message_bytes(connection: Connection, topics: Iterable[str]) -> dict[str, int]:
    """The largest message of each topic, in bytes.

    Kafka's default for one whose configuration may not be read.
    """
    limits = dict.fromkeys(topics, KAFKA_DEFAULT_BYTES)
    with contextlib.suppress(KafkaError):
        with KafkaAdminClient(
            **connection.options(), bootstrap_timeout_ms=_REQUEST_TIMEOUT_MS, request_timeout_ms=_REQUEST_TIMEOUT_MS
        ) as admin:
            configs = read_configs(admin, ConfigResourceType.TOPIC, limits, (MAX_MESSAGE_BYTES,))
        limits |= {name: int(entries[MAX_MESSAGE_BYTES]) for name, entries in configs.items() if entries}
    return limits
