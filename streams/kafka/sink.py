"""Delivers predictions and dead letters to Kafka, at least once.

An idempotent producer sends a group as a whole and waits for it together: about one round trip. What is not
acknowledged is sent again, the same bytes, for ever (`streams.kafka.producer` says what is given up instead). So a
consumer may see a prediction twice, with the same id and the same content, but never misses one. The order within a
session holds unless part of a group had to be sent again.

Each attempt sends on a thread of its own: it blocks for as long as the cluster is away, and the publish thread must
not.
"""

import threading
from collections import deque
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from typing import Any

from kafka.errors import KafkaError

from streams.clock import Clock
from streams.kafka.producer import (
    FIRST_BACKOFF_S,
    LARGEST_BACKOFF_S,
    REJECTIONS,
    DeliveryOutcome,
    OutgoingMessage,
    ProducerConfig,
    await_delivery,
    close_at_once,
    run_in_thread,
    send_message,
    unavailable_topics,
)
from streams.predictions import Prediction
from streams.records import RejectedRecord
from streams.sinks.base import SinkBlockedError, SinkError
from streams.sources.backoff import Backoff


class KafkaSink:
    """Implements `streams.sinks.base.DeadLetterSink` for Kafka.

    Owned by the publish thread; an attempt's thread owns the producer while it runs.
    """

    def __init__(self, name: str, config: ProducerConfig, clock: Clock) -> None:
        self.name = name
        self._config = config
        self._clock = clock
        self._closing = threading.Event()
        self._producer: Any = None
        self._waiting: list[OutgoingMessage] = []
        self._attempt: tuple[list[OutgoingMessage], Future[list[DeliveryOutcome]]] | None = None
        self._given_up: deque[SinkError] = deque()
        self._one_by_one = False
        """Whether messages are sent one at a time, to find the one that is rejected."""
        self._backoff = Backoff(FIRST_BACKOFF_S, LARGEST_BACKOFF_S)
        self._backoff_s = 0.0

    def publish(self, prediction: Prediction, line: bytes) -> None:
        """Takes a prediction, to be sent by `flush`."""
        self._waiting.append(self._config.prediction(prediction, line))

    def dead_letter(self, letter: RejectedRecord) -> None:
        """Takes a dead letter, to be sent by `flush`."""
        self._waiting.append(self._config.dead_letter(letter))

    def flush(self, timeout_s: float) -> bool:
        """Whether all that was taken is settled; sends what is not."""
        if self._attempt is None and self._waiting:
            group = self._waiting[:1] if self._one_by_one else self._waiting
            self._waiting = self._waiting[len(group) :]
            self._attempt = group, run_in_thread(f"{self.name}-send", partial(self._send, group))
        if self._attempt is not None:
            group, future = self._attempt
            if not wait([future], timeout_s).done:
                return False
            self._attempt = None
            self._settle(group, future)
        if self._given_up:
            raise self._given_up.popleft()
        return not self._waiting

    def close(self) -> None:
        """Gives up what is not acknowledged; an attempt that runs is abandoned."""
        self._closing.set()
        if self._producer is not None:
            close_at_once(self._producer)
        self._producer = None

    def _settle(self, group: list[OutgoingMessage], future: "Future[list[DeliveryOutcome]]") -> None:
        """Keeps what must be sent again.

        SinkBlockedError if nothing was given up but something failed.
        """
        error = future.exception()
        outcomes = [error] * len(group) if error is not None else future.result()
        again = [(each, outcome) for each, outcome in zip(group, outcomes, strict=True) if not _is_final(outcome)]
        self._given_up.extend(outcome for outcome in outcomes if isinstance(outcome, SinkError))
        self._waiting = [each for each, _ in again] + self._waiting
        rejected = any(isinstance(outcome, REJECTIONS) for _, outcome in again)
        self._one_by_one = bool(self._waiting) and (self._one_by_one or rejected)
        if rejected or not again:
            self._backoff.reset()
            self._backoff_s = 0.0
        else:
            self._backoff_s = self._backoff.next_s()
            why = again[0][1]
            raise SinkBlockedError(
                f"{self.name}: {len(again)} of {len(group)} are not acknowledged and are sent again:"
                f" {type(why).__name__}: {why}"
            )

    # On the attempt's thread.

    def _send(self, group: list[OutgoingMessage]) -> list[DeliveryOutcome]:
        self._clock.wait(self._closing, self._backoff_s)
        producer = self._producer = self._producer or self._config.open()
        unavailable = unavailable_topics(producer, {each.topic for each in group})
        sent = [unavailable.get(each.topic) or send_message(producer, each) for each in group]
        with suppress(KafkaError):  # the future of each message says what failed
            producer.flush()
        outcomes = [
            await_delivery(result, each, alone=len(group) == 1) for each, result in zip(group, sent, strict=True)
        ]
        if any(outcomes):  # what failed may have broken the producer too
            close_at_once(producer)
            self._producer = None
        return outcomes


def _is_final(outcome: DeliveryOutcome) -> bool:
    return outcome is None or isinstance(outcome, SinkError)
