"""Sends messages and is told of every one whether it arrived, with no more of them under way than memory is meant for.

kafka-python queues without bound: whoever sends faster than the broker takes would hold a whole file in memory. So the
oldest unacknowledged message is waited for as soon as more than `_MOST_UNDER_WAY_BYTES` are under way. The first that
cannot be delivered raises, at a later `send` or at `flush`. Messages are acknowledged by all replicas and arrive once
and in order, unless it is said that they did not.
"""

from collections import deque

from kafka.producer.future import FutureRecordMetadata

from streams.kafka.client_workarounds import ClosingProducer
from streams.kafka.connection import Connection
from streams.kafka.contract import KafkaMessage
from streams.kafka.errors import broker_errors
from streams.kafka.reachability import probe_cluster

_MOST_UNDER_WAY_BYTES = 32 * 2**20
_MOST_UNDER_WAY = 4096  # small messages cost by their number
_MOST_MESSAGE_BYTES = 64 * 2**20  # the broker's own limit is the one that counts
_REACHED_WITHIN_MS = 8_000
_ANSWERS_WITHIN_MS = 10_000
_DELIVERED_WITHIN_MS = 30_000
_CLOSED_WITHIN_S = 5.0
_CANNOT_SEND = "messages cannot be sent"


class BoundedProducer:
    """Owned by one thread. Close it whether or not it failed."""

    def __init__(self, connection: Connection) -> None:
        """Unreachable or Refused (`streams.kafka.reachability`) where the cluster does not answer or refuses us."""
        probe_cluster(connection)
        self._connection = connection
        self._under_way: deque[tuple[FutureRecordMetadata, int]] = deque()
        self._under_way_bytes = 0
        with broker_errors(connection, "cannot be reached"):
            self._producer = ClosingProducer(
                **connection.options(),
                acks="all",
                enable_idempotence=True,
                linger_ms=5,
                max_request_size=_MOST_MESSAGE_BYTES,
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=_REACHED_WITHIN_MS,
                max_block_ms=_ANSWERS_WITHIN_MS,
                request_timeout_ms=_ANSWERS_WITHIN_MS,
                delivery_timeout_ms=_DELIVERED_WITHIN_MS,
            )

    def partitions(self, topic: str) -> set[int]:
        """The partitions of a topic; BrokerUnavailable if there is no such topic."""
        with broker_errors(self._connection, f"topic {topic} is not there, or its leader is away"):
            found: set[int] = self._producer.partitions_for(topic)
            return found

    def send(self, topic: str, message: KafkaMessage, partition: int | None = None) -> None:
        """Sends to `partition`, or to the one that the key belongs to; waits while too much is under way."""
        key, value, headers = message
        with broker_errors(self._connection, _CANNOT_SEND):
            future = self._producer.send(topic, value, key, headers, partition)
            self._under_way.append((future, len(value)))
            self._under_way_bytes += len(value)
            while self._under_way and (self._under_way[0][0].is_done or self._is_too_much()):
                self._wait_for_oldest()

    def flush(self) -> None:
        """Returns when all that was sent has arrived; BrokerUnavailable if one message has not."""
        with broker_errors(self._connection, _CANNOT_SEND):
            while self._under_way:
                self._wait_for_oldest()

    def close(self) -> None:
        """Gives up what has not arrived within some seconds."""
        self._producer.close(timeout=_CLOSED_WITHIN_S)

    def _is_too_much(self) -> bool:
        return self._under_way_bytes > _MOST_UNDER_WAY_BYTES or len(self._under_way) > _MOST_UNDER_WAY

    def _wait_for_oldest(self) -> None:
        future, size_bytes = self._under_way.popleft()
        self._under_way_bytes -= size_bytes
        future.get(timeout=None)
