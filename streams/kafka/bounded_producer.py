"""Sends messages with bounded memory, and waits for acknowledgements.

kafka-python queues without bound: whoever sends faster than the broker takes would hold a whole file in memory. So the
oldest unacknowledged message is awaited as soon as more than `_MAX_IN_FLIGHT_BYTES` are in flight. The first that
cannot be delivered raises, at a later `send` or at `flush`. Messages are acknowledged by all replicas and arrive once
and in order, unless an error says that they did not. For commands; sinks have `streams.kafka.producer`.
"""

from collections import deque

from kafka.producer.future import FutureRecordMetadata

from streams.kafka.client_workarounds import ClosingProducer
from streams.kafka.connection import Connection
from streams.kafka.contract import KafkaMessage
from streams.kafka.errors import broker_errors
from streams.kafka.reachability import probe_cluster

_MAX_IN_FLIGHT_BYTES = 32 * 2**20
_MAX_IN_FLIGHT = 4096  # small messages cost by their number
_MAX_MESSAGE_BYTES = 64 * 2**20  # the broker's own limit is the one that counts
_BOOTSTRAP_MS = 8_000
_REQUEST_TIMEOUT_MS = 10_000
_DELIVERY_TIMEOUT_MS = 30_000
_CLOSE_TIMEOUT_S = 5.0
_CANNOT_SEND = "messages cannot be sent"


class BoundedProducer:
    """A producer of one thread; to be closed after errors too."""

    def __init__(self, connection: Connection) -> None:
        """Connects; Unreachable or Refused (`streams.kafka.reachability`) if that fails."""
        probe_cluster(connection)
        self._connection = connection
        self._in_flight: deque[tuple[FutureRecordMetadata, int]] = deque()
        self._in_flight_bytes = 0
        with broker_errors(connection, "cannot be reached"):
            self._producer = ClosingProducer(
                **connection.options(),
                acks="all",
                enable_idempotence=True,
                linger_ms=5,
                max_request_size=_MAX_MESSAGE_BYTES,
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=_BOOTSTRAP_MS,
                max_block_ms=_REQUEST_TIMEOUT_MS,
                request_timeout_ms=_REQUEST_TIMEOUT_MS,
                delivery_timeout_ms=_DELIVERY_TIMEOUT_MS,
            )

    def partitions(self, topic: str) -> set[int]:
        """The partitions of a topic; BrokerUnavailable if there is no such topic."""
        with broker_errors(self._connection, f"topic {topic} is not there, or its leader is away"):
            partitions: set[int] = self._producer.partitions_for(topic)
            return partitions

    def send(self, topic: str, message: KafkaMessage, partition: int | None = None) -> None:
        """Sends a message; waits while too much is in flight.

        partition: None for the one that the key belongs to.
        """
        key, value, headers = message
        with broker_errors(self._connection, _CANNOT_SEND):
            future = self._producer.send(topic, value, key, headers, partition)
            self._in_flight.append((future, len(value)))
            self._in_flight_bytes += len(value)
            while self._in_flight and (self._in_flight[0][0].is_done or self._is_too_much()):
                self._wait_for_oldest()

    def flush(self) -> None:
        """Waits for all acknowledgements; BrokerUnavailable if one message fails."""
        with broker_errors(self._connection, _CANNOT_SEND):
            while self._in_flight:
                self._wait_for_oldest()

    def close(self) -> None:
        """Gives up what is not acknowledged within some seconds."""
        self._producer.close(timeout=_CLOSE_TIMEOUT_S)

    def _is_too_much(self) -> bool:
        return self._in_flight_bytes > _MAX_IN_FLIGHT_BYTES or len(self._in_flight) > _MAX_IN_FLIGHT

    def _wait_for_oldest(self) -> None:
        future, size_bytes = self._in_flight.popleft()
        self._in_flight_bytes -= size_bytes
        future.get(timeout=None)
