"""How large a message a topic takes, as its cluster says."""

import contextlib
from collections.abc import Iterable

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import KafkaError

from streams.kafka.connection import Connection

KAFKA_DEFAULT_BYTES = 1_048_588
"""What a topic takes where nobody configured it."""

_KEY = "max.message.bytes"
_ANSWERS_WITHIN_MS = 10_000


def max_message_bytes(connection: Connection, topics: Iterable[str]) -> dict[str, int]:
    """The largest message of each topic, in bytes; Kafka's default for one whose settings may not be read."""
    limits = dict.fromkeys(topics, KAFKA_DEFAULT_BYTES)
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name, {_KEY: None}) for name in limits]
    with contextlib.suppress(KafkaError):  # reading settings is a permission of its own
        with KafkaAdminClient(
            **connection.options(), bootstrap_timeout_ms=_ANSWERS_WITHIN_MS, request_timeout_ms=_ANSWERS_WITHIN_MS
        ) as admin:
            described = admin.describe_configs(wanted, config_filter="all")
        found = described["topic"].items()
        limits |= {name: int(settings[_KEY]["value"]) for name, settings in found if _KEY in settings}
    return limits
