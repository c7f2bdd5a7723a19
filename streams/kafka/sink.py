"""Predictions and dead letters into Kafka, at least once.

A group is sent as a whole by an idempotent producer and waited for together: about one round trip. What is not
acknowledged is sent again, the same bytes, for ever (see `streams.kafka.producer` for what is given up instead); so a
reader may see a prediction twice, with the same id and the same content, but never miss one. The order within a session
holds unless part of a group had to be sent again.

Sending is done on a thread of its own for each attempt: it blocks for as long as the cluster is away, and the publish
thread must not.
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
    """Owned by the publish thread; an attempt's thread has the producer to itself while it runs."""

    def __init__(self, name: str, output: ProducerConfig, clock: Clock) -> None:
        self.name = name
        self._output = output
        self._clock = clock
        self._closing = threading.Event()
        self._producer: Any = None
        self._waiting: list[OutgoingMessage] = []
        self._attempt: tuple[list[OutgoingMessage], Future[list[DeliveryOutcome]]] | None = None
        self._given_up: deque[SinkError] = deque()
        self._singly = False
        """Whether records are sent one at a time, to find the one that is refused."""
        self._backoff = Backoff(FIRST_BACKOFF_S, LARGEST_BACKOFF_S)
        self._pause_s = 0.0

    def publish(self, prediction: Prediction, line: bytes) -> None:
        self._waiting.append(self._output.prediction(prediction, line))

    def dead_letter(self, letter: RejectedRecord) -> None:
        self._waiting.append(self._output.dead_letter(letter))

    def flush(self, timeout_s: float) -> bool:
        if self._attempt is None and self._waiting:
            group = self._waiting[:1] if self._singly else self._waiting
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
        """What is not acknowledged by now is given up; an attempt under way is left behind."""
        self._closing.set()
        if self._producer is not None:
            close_at_once(self._producer)
        self._producer = None

    def _settle(self, group: list[OutgoingMessage], future: "Future[list[DeliveryOutcome]]") -> None:
        """Keeps what has to be sent again; raises SinkBlockedError if nothing was given up but something failed."""
        error = future.exception()
        fates = [error] * len(group) if error is not None else future.result()
        again = [(each, fate) for each, fate in zip(group, fates, strict=True) if not _is_final(fate)]
        self._given_up.extend(fate for fate in fates if isinstance(fate, SinkError))
        self._waiting = [each for each, _ in again] + self._waiting
        refused = any(isinstance(fate, REJECTIONS) for _, fate in again)
        self._singly = bool(self._waiting) and (self._singly or refused)
        if refused or not again:
            self._backoff.reset()
            self._pause_s = 0.0
        else:
            self._pause_s = self._backoff.next_s()
            why = again[0][1]
            raise SinkBlockedError(
                f"{self.name}: {len(again)} of {len(group)} are not acknowledged and are sent again:"
                f" {type(why).__name__}: {why}"
            )

    # On the attempt's thread.

    def _send(self, group: list[OutgoingMessage]) -> list[DeliveryOutcome]:
        self._clock.wait(self._closing, self._pause_s)
        producer = self._producer = self._producer or self._output.open()
        absent = unavailable_topics(producer, {each.topic for each in group})
        handed = [absent.get(each.topic) or send_message(producer, each) for each in group]
        with suppress(KafkaError):  # the future of each message says what failed
            producer.flush()
        fates = [
            await_delivery(future, each, alone=len(group) == 1) for each, future in zip(group, handed, strict=True)
        ]
        if any(fates):  # what failed may have broken the producer too
            close_at_once(producer)
            self._producer = None
        return fates


def _is_final(fate: DeliveryOutcome) -> bool:
    return fate is None or isinstance(fate, SinkError)
