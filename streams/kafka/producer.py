"""Makes producers and messages for the Kafka sinks.

Errors are of two kinds. A message that is rejected (`REJECTIONS`: too large, not valid) will be rejected for ever: it
is given up and counted, and costs only itself. Everything else (a broker or a topic that is not there, a permission
that is missing, a wrong password) can be put right by somebody: it is tried for ever, and until then nothing is
committed.

A producer that has met an error of its own answers every other message in it with that error, so a rejection is only
believed of a message that was sent alone.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from kafka.errors import (
    InvalidRecordError,
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from streams.kafka.client_workarounds import ClosingProducer
from streams.kafka.connection import Connection
from streams.kafka.contract import Headers, KafkaMessage
from streams.kafka.dead_letters import dead_letter_message
from streams.predictions import Prediction
from streams.records import RejectedRecord
from streams.sinks.base import SinkError

REJECTIONS = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidRecordError, InvalidTimestampError)

_LINGER_MS = 20  # no group waits for it: a flush sends at once, and until then its records gather in one request
_BATCH_BYTES = 2**20  # of one partition: a whole group of predictions, 2 to 3 kB each; one round trip instead of many
_REQUEST_BYTES = 64 * 2**20  # a dead letter is as large as what the cluster took; the cluster's limits are to decide
_DELIVERY_TIMEOUT_MS = 120_000  # then the same bytes are sent by a new producer
_BLOCK_MS = 10_000  # an attempt that cannot even resolve the topics or the coordinator begins again
_RETRY_BACKOFF_MS = 50
_RECONNECT_MS = 2_000  # at most, between attempts to reach a broker that is away

FIRST_BACKOFF_S, LARGEST_BACKOFF_S = 0.1, 5.0  # after an attempt that failed, most of which have taken long already

_TYPE = b"io.affectd.prediction.v1"
_SOURCE = b"urn:affectd:predictions"
_DATASCHEMA = b"urn:affectd:prediction:1"

Result = TypeVar("Result")
DeliveryOutcome = BaseException | None
"""Of a message: acknowledged (None), given up (SinkError), or not acknowledged (any other error)."""


class OutgoingMessage(NamedTuple):
    """A message for a topic, and its name in errors."""

    topic: str
    message: KafkaMessage
    what: str


@dataclass(frozen=True, slots=True)
class ProducerConfig:
    """The cluster and the topics that results are written to.

    Immutable.
    """

    connection: Connection
    predictions_topic: str
    dead_letters_topic: str
    compression: str = "lz4"
    """none, gzip, snappy, lz4 or zstd."""
    client: Callable[..., Any] = ClosingProducer

    def open(self, **options: Any) -> Any:
        """Makes an idempotent producer that waits for all replicas.

        Blocks until a broker answers, for half a minute at most; KafkaError or ConnectionProblem if none does.
        """
        return self.client(
            **self.connection.options(),
            acks="all",
            enable_idempotence=True,
            compression_type=None if self.compression == "none" else self.compression,
            linger_ms=_LINGER_MS,
            batch_size=_BATCH_BYTES,
            max_request_size=_REQUEST_BYTES,
            delivery_timeout_ms=_DELIVERY_TIMEOUT_MS,
            max_block_ms=_BLOCK_MS,
            retry_backoff_ms=_RETRY_BACKOFF_MS,
            reconnect_backoff_max_ms=_RECONNECT_MS,
            allow_auto_create_topics=False,
            **options,
        )

    def prediction(self, prediction: Prediction, line: bytes) -> OutgoingMessage:
        """The message for a prediction; `line` is its JSON."""
        return OutgoingMessage(
            self.predictions_topic, prediction_message(prediction, line), f"prediction {prediction.id}"
        )

    def dead_letter(self, letter: RejectedRecord) -> OutgoingMessage:
        """The message for a record that could not be used."""
        at = letter.coordinates
        what = f"dead letter of {at.partition.topic}[{at.partition.number}] at {at.offset}"
        return OutgoingMessage(self.dead_letters_topic, dead_letter_message(letter), what)


def prediction_message(prediction: Prediction, line: bytes) -> KafkaMessage:
    """Encodes a prediction as a CloudEvent in binary mode.

    Its key is the session, its time the end of the window.
    """
    session = prediction.session.encode()
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", _TYPE),
        ("ce_source", _SOURCE),
        ("ce_id", prediction.id.encode()),
        ("ce_time", prediction.window.end.encode()),
        ("ce_subject", session),
        ("ce_dataschema", _DATASCHEMA),
        ("content-type", b"application/json"),
    ]
    return KafkaMessage(session, line, headers)


def unavailable_topics(producer: Any, topics: Iterable[str]) -> dict[str, Exception]:
    """The topics that cannot be written to now, with the reason.

    Waits a while for each that is not known.
    """
    unavailable: dict[str, Exception] = {}
    for topic in topics:
        try:
            producer.partitions_for(topic)
        except (KafkaError, ValueError) as error:
            unavailable[topic] = KafkaTimeoutError(f"topic {topic} is not there, or may not be written to: {error}")
    return unavailable


def send_message(producer: Any, outgoing: OutgoingMessage) -> Any:
    """Gives a message to a producer and returns its future.

    Or the SinkError of a message that can never be sent, or the KafkaError.
    """
    key, value, headers = outgoing.message
    try:
        return producer.send(outgoing.topic, value=value, key=key, headers=headers)
    except (MessageSizeTooLargeError, TypeError, UnicodeError) as error:
        return rejection(outgoing, error)
    except KafkaError as error:
        return error


def await_delivery(sent: Any, outgoing: OutgoingMessage, alone: bool) -> DeliveryOutcome:
    """Waits for the outcome of `send_message`.

    sent: what that returned. alone: whether nothing else was sent with it.
    """
    if isinstance(sent, BaseException):
        return sent
    try:
        sent.get()
    except KafkaError as error:
        outcome: Exception = rejection(outgoing, error) if alone and isinstance(error, REJECTIONS) else error
        return outcome
    return None


def rejection(outgoing: OutgoingMessage, error: Exception) -> SinkError:
    """The error that says that a message is given up."""
    return SinkError(f"{outgoing.topic}: {outgoing.what} is given up: {type(error).__name__}: {error}")


def close_at_once(producer: Any) -> None:
    """Closes a producer without waiting for what it has not sent."""
    with suppress(KafkaError):  # it says so when something was not sent; that is known
        producer.close(timeout=0)


def run_in_thread(name: str, call: Callable[[], Result]) -> "Future[Result]":
    """Calls a function on a daemon thread of its own.

    Many calls of kafka-python have no timeout; who must not block waits for the future.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # raised where the future is awaited
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
