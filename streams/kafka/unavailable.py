"""What a broker's failure is called by commands that cannot do without it."""

import contextlib
from collections.abc import Iterator

from kafka.errors import KafkaError

from streams.kafka.connection import Connection


class BrokerUnavailable(Exception):
    """A cluster cannot be reached, refuses, or has stopped answering; the message names it and says what happened."""


@contextlib.contextmanager
def broker_errors(connection: Connection, what: str) -> Iterator[None]:
    """Turns errors of kafka-python into BrokerUnavailable; `what` was being done ("messages cannot be sent")."""
    try:
        yield
    except (KafkaError, OSError) as error:
        servers = ", ".join(connection.bootstrap_servers)
        raise BrokerUnavailable(f"Kafka at {servers}: {what}: {error}") from error
