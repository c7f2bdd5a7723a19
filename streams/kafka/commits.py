"""Commits the ledger's checkpoint to the consumer group.

It is committed once an interval if it has changed, and at once for partitions that are revoked. Only a rebalance waits
for a commit, and that up to a timeout. A commit that fails is replaced by the next, which contains it. A
checkpoint that has not changed is committed again every ten seconds: only so does a static member learn that another
runs under its name.
"""

import logging
from collections.abc import Mapping
from typing import Any

import structlog
from kafka import TopicPartition
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    OffsetMetadataTooLargeError,
    RebalanceInProgressError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
)
from kafka.structs import OffsetAndMetadata

from streams.clock import NS_PER_S, Clock
from streams.coordinates import Partition
from streams.delivery.ledger import Ledger, Position
from streams.kafka.client_workarounds import DeadlineWait
from streams.telemetry import CommitOutcome, Telemetry

log = structlog.get_logger(__name__)

_UNCHANGED_NS = 10 * NS_PER_S
_REBALANCES = (RebalanceInProgressError, IllegalGenerationError, UnknownMemberIdError, CommitFailedError)


class OffsetCommits:
    """Sends the commits of one consumer.

    Owned by the source's thread; the rebalance listener calls it during polls.
    """

    def __init__(self, consumer: Any, ledger: Ledger, clock: Clock, telemetry: Telemetry, interval_s: float) -> None:
        self._consumer = consumer
        self._deadline_wait = DeadlineWait(consumer)
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._interval_ns = round(interval_s * NS_PER_S)
        self._checked_ns = self._sent_ns = clock.monotonic_ns()
        self._sent: Mapping[Partition, Position] = {}
        self._with_metadata = True
        self._failing = False

    def commit_if_due(self) -> None:
        """Sends a changed checkpoint if the interval has passed."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._checked_ns < self._interval_ns:
            return
        self._checked_ns = now_ns
        checkpoint = self._ledger.checkpoint()
        if checkpoint and (checkpoint != self._sent or now_ns - self._sent_ns >= _UNCHANGED_NS):
            self._sent, self._sent_ns = checkpoint, now_ns
            self._send(checkpoint)

    async def commit_revoked(self, checkpoint: Mapping[Partition, Position], timeout_s: float) -> None:
        """Commits revoked partitions on the IO thread; logs a failure."""
        if not checkpoint:
            return
        try:
            await self._deadline_wait.wait(self._send(checkpoint), timeout_s)
        except KafkaError as error:
            log.log(_level(error), "the last commit of revoked partitions failed: it is repeated", error=str(error))

    def _send(self, checkpoint: Mapping[Partition, Position]) -> Any:
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(
                position.offset, position.metadata if self._with_metadata else "", -1
            )
            for partition, position in checkpoint.items()
        }
        return self._consumer.commit_async(offsets, callback=self._on_response)

    def _on_response(self, _offsets: Any, response: Any) -> None:
        outcome = CommitOutcome.COMMITTED
        if isinstance(response, Exception):
            outcome = commit_outcome(response)
            self._sent = {}
        self._telemetry.commit(outcome)
        failing = outcome is CommitOutcome.FAILED
        if failing and not self._failing:
            log.log(_level(response), "commits fail; they are repeated", error=str(response))
        elif self._failing and not failing:
            log.info("commits succeed again")
        self._failing = failing
        if isinstance(response, OffsetMetadataTooLargeError):
            self._with_metadata = False
            log.warning(
                "the broker's offset.metadata.max.bytes is below 4096: which windows were published cannot be committed"
            )


def commit_outcome(error: Exception) -> CommitOutcome:
    """The outcome of a commit that failed with an error."""
    return CommitOutcome.REBALANCING if isinstance(error, _REBALANCES) else CommitOutcome.FAILED


def _level(error: Exception) -> int:
    """The log level: `streams.kafka.topic_watch` logs already that a topic was deleted."""
    return logging.DEBUG if isinstance(error, UnknownTopicOrPartitionError) else logging.WARNING
