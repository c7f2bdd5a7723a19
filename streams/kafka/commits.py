"""Commits the ledger's checkpoint: once an interval when it has changed, and for partitions that go elsewhere at once.

A commit is never waited for but in a rebalance, and there up to a deadline. One that fails is made up for by the next,
which says all that it said. A checkpoint that has not changed is committed again every ten seconds: a static member
whose name another has taken learns of it by nothing else.
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
from streams.telemetry import CommitOutcome, Telemetry

log = structlog.get_logger(__name__)

_AGAIN_NS = 10 * NS_PER_S
_REBALANCES = (RebalanceInProgressError, IllegalGenerationError, UnknownMemberIdError, CommitFailedError)


class OffsetCommits:
    """Owned by the source's thread; the listener's calls fall into its polls."""

    def __init__(self, consumer: Any, ledger: Ledger, clock: Clock, telemetry: Telemetry, interval_s: float) -> None:
        self._consumer = consumer
        self._ledger = ledger
        self._clock = clock
        self._telemetry = telemetry
        self._interval_ns = round(interval_s * NS_PER_S)
        self._looked_ns = self._sent_ns = clock.monotonic_ns()
        self._sent: Mapping[Partition, Position] = {}
        self._with_metadata = True
        self._failing = False

    def commit_if_due(self) -> None:
        """Sends a commit if the interval has passed and there is something to say."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._looked_ns < self._interval_ns:
            return
        self._looked_ns = now_ns
        checkpoint = self._ledger.checkpoint()
        if checkpoint and (checkpoint != self._sent or now_ns - self._sent_ns >= _AGAIN_NS):
            self._sent, self._sent_ns = checkpoint, now_ns
            self._send(checkpoint)

    async def commit_last(self, checkpoint: Mapping[Partition, Position], timeout_s: float) -> None:
        """On the IO thread: commits what was held of partitions that go elsewhere; a failure is logged only."""
        if not checkpoint:
            return
        try:
            # kafka-python has no public way to await something up to a deadline.
            await self._consumer._manager.wait_for(self._send(checkpoint), round(timeout_s * 1000))
        except KafkaError as error:
            log.log(_level(error), "the last commit of revoked partitions failed: it is repeated", error=str(error))

    def _send(self, checkpoint: Mapping[Partition, Position]) -> Any:
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(
                position.offset, position.metadata if self._with_metadata else "", -1
            )
            for partition, position in checkpoint.items()
        }
        return self._consumer.commit_async(offsets, callback=self._settled)

    def _settled(self, _offsets: Any, answer: Any) -> None:
        outcome = CommitOutcome.COMMITTED
        if isinstance(answer, Exception):
            outcome = commit_outcome(answer)
            self._sent = {}
        self._telemetry.commit(outcome)
        failing = outcome is CommitOutcome.FAILED
        if failing and not self._failing:
            log.log(_level(answer), "commits fail; they are repeated", error=str(answer))
        elif self._failing and not failing:
            log.info("commits are taken again")
        self._failing = failing
        if isinstance(answer, OffsetMetadataTooLargeError):
            self._with_metadata = False
            log.warning(
                "the broker's offset.metadata.max.bytes is below 4096: which windows were published cannot be kept"
            )


def _level(error: Exception) -> int:
    """That a topic is gone is told by `streams.kafka.topic_watch`."""
    return logging.DEBUG if isinstance(error, UnknownTopicOrPartitionError) else logging.WARNING


def commit_outcome(error: Exception) -> CommitOutcome:
    """What it means that a checkpoint was not committed."""
    return CommitOutcome.REBALANCING if isinstance(error, _REBALANCES) else CommitOutcome.FAILED
