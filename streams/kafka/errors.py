"""Classifies errors of kafka-python: those that need a person.

Everything else passes: the client connects again by itself, and rejoins its group.
"""

import contextlib
from collections.abc import Iterator

import kafka.errors as errors

from streams.kafka.connection import Connection

_ADVICE: dict[type[errors.KafkaError], str] = {
    errors.TopicAuthorizationFailedError: "allow this user to read and describe the input topics",
    errors.GroupAuthorizationFailedError: "allow this user to read the consumer group",
    errors.ClusterAuthorizationFailedError: "allow this user to use the cluster",
    errors.SaslAuthenticationFailedError: "check the username and the password or token file",
    errors.FencedInstanceIdError: "another instance runs under this instance_id; give each its own",
    errors.InvalidGroupIdError: "choose another group_id",
    errors.InconsistentGroupProtocolError: "another program is in this consumer group; choose another group_id",
    errors.InvalidSessionTimeoutError: "the broker allows session_timeout_s only between its "
    "group.min.session.timeout.ms and group.max.session.timeout.ms",
    errors.GroupMaxSizeReachedError: "the group has as many members as the broker allows (group.max.size)",
    errors.UnsupportedCodecError: "install the Python package that decompresses it",
    errors.UnsupportedVersionError: "Kafka 2.5 or newer is needed",
}


class BrokerUnavailable(Exception):
    """A cluster cannot be reached, refuses, or does not answer any more.

    The message names it and says what happened. For commands, which cannot do without it.
    """


@contextlib.contextmanager
def broker_errors(connection: Connection, what: str) -> Iterator[None]:
    """Turns errors of kafka-python into BrokerUnavailable.

    what: that which fails then ("messages cannot be sent").
    """
    try:
        yield
    except (errors.KafkaError, OSError) as error:
        servers = ", ".join(connection.bootstrap_servers)
        raise BrokerUnavailable(f"Kafka at {servers}: {what}: {error}") from error


def advice(error: Exception) -> str | None:
    """What a person must do; None where the error passes by itself."""
    return next((advice for kind, advice in _ADVICE.items() if isinstance(error, kind)), None)
