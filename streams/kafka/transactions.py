"""Delivers predictions, dead letters and the checkpoint in one transaction: exactly once.

A consumer that reads committed messages only sees each prediction once: the prediction, and the positions that make it
unnecessary to compute it again, become valid in the same moment. Per group: begin, send, advance the ledger, send its
checkpoint, commit. If anything fails, the producer is replaced by one with the same transactional id, which aborts what
the old one left open; then the group is repeated. A commit without a response is in doubt
(`streams.kafka.commit_in_doubt`) until its positions are compared with what is committed.

The cluster decides who may commit (KIP-447): the positions carry the consumer's group metadata, and an instance whose
partitions went elsewhere is refused. A prediction must not be committed without its position, so ownership is checked
twice: windows of another instance are left out before, and if one is lost by the time of the checkpoint, all is
repeated. The consumer must read committed messages only, for only such a one waits for positions in doubt.

Left out: other sinks. They have their part before the transaction, and once more if another instance repeats it.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from kafka.errors import KafkaError
from kafka.structs import ConsumerGroupMetadata, MemberState, OffsetAndMetadata, TopicPartition

from streams.clock import Clock
from streams.coordinates import Partition
from streams.delivery.ledger import Ledger, Position
from streams.kafka.commit_in_doubt import CommitInDoubt
from streams.kafka.commits import commit_outcome
from streams.kafka.producer import (
    FIRST_BACKOFF_S,
    LARGEST_BACKOFF_S,
    REJECTIONS,
    OutgoingMessage,
    ProducerConfig,
    await_delivery,
    close_at_once,
    run_in_thread,
    send_message,
    unavailable_topics,
)
from streams.records import RejectedRecord
from streams.sinks.base import Outgoing, SinkBlockedError, SinkError
from streams.sources.backoff import Backoff
from streams.telemetry import CommitOutcome, Telemetry

_TIMEOUT_MS = 10_000  # how long a killed instance's open transaction may hide what others wrote after it
_MEMBER_WAIT_S = 0.05  # before asking again whether the consumer is a settled member of its group

Positions = dict[Partition, Position]


@dataclass(eq=False)
class _Entry:
    """One of a group, and what became of it.

    Owned by the attempt while there is one, else by the publish thread.
    """

    message: OutgoingMessage
    what: Outgoing | RejectedRecord
    is_in_ledger: bool = False
    """Whether the ledger was advanced: once, however often a transaction is repeated."""
    is_delivered: bool | None = None
    """None while that is open; False where it never will be."""

    def is_owned(self, owned: Collection[Partition]) -> bool:
        """Whether this instance may publish it; owned: its partitions."""
        if isinstance(self.what, RejectedRecord):
            return self.what.coordinates.partition in owned
        return self.what.lease is None or self.what.lease.valid


class _OwnershipLostError(Exception):
    """A window went to another instance while its transaction was open."""


class Transactions:
    """Implements `streams.sinks.base.TransactionalSink` for Kafka.

    Owned by the publish thread; an attempt's thread owns the producer while it runs.
    """

    def __init__(
        self,
        name: str,
        config: ProducerConfig,
        transactional_id: str,
        ledger: Ledger,
        group_metadata: Callable[[], ConsumerGroupMetadata | None],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """transactional_id: unique per instance. group_metadata: the source's, now; called on any thread."""
        self.name = name
        self._config = config
        self._transactional_id = transactional_id
        self._ledger = ledger
        self._group_metadata = group_metadata
        self._clock = clock
        self._telemetry = telemetry
        self._closing = threading.Event()
        self._producer: Any = None
        self._entries: list[_Entry] | None = None
        self._attempt: Future[None] | None = None
        self._given_up: list[SinkError] = []
        self._one_by_one = False
        """Whether each is tried in a transaction of its own, to find the one that is rejected."""
        self._backoff = Backoff(FIRST_BACKOFF_S, LARGEST_BACKOFF_S)
        self._backoff_s = 0.0
        self._checkpoint_before: Positions = {}
        """The checkpoint when the group was begun; whatever was committed before it is not ahead of it."""
        self._in_doubt: CommitInDoubt[_Entry] | None = None
        self._committed: Positions = {}

    def commit(self, group: Sequence[Outgoing | RejectedRecord], timeout_s: float) -> Sequence[bool] | None:
        """Which of the group are delivered, once that is settled; None before."""
        if self._attempt is None:
            if self._entries is None:
                self._entries = [_Entry(self._message(each), each) for each in group]
                self._checkpoint_before = self._ledger.checkpoint()
            self._attempt = run_in_thread(f"{self.name}-transaction", partial(self._transact, self._entries))
        if not wait([self._attempt], timeout_s).done:
            return None
        error, self._attempt = self._attempt.exception(), None
        self._raise_if_blocked(error)
        if self._given_up:
            raise self._given_up.pop(0)
        entries = self._entries or []
        if _open(entries):
            return None
        self._entries, self._one_by_one = None, False
        return [entry.is_delivered is True for entry in entries]

    def close(self) -> None:
        """Gives up an open transaction; an attempt that runs is abandoned."""
        self._closing.set()
        if self._producer is not None:
            close_at_once(self._producer)
        self._producer = None

    def _message(self, what: Outgoing | RejectedRecord) -> OutgoingMessage:
        if isinstance(what, RejectedRecord):
            return self._config.dead_letter(what)
        return self._config.prediction(what.prediction, what.line)

    def _raise_if_blocked(self, error: BaseException | None) -> None:
        """SinkBlockedError where a failure is more than a step on the way."""
        if error is None or isinstance(error, (_OwnershipLostError, SinkError, *REJECTIONS)):
            self._backoff.reset()
            self._backoff_s = 0.0
            return
        self._backoff_s = self._backoff.next_s()
        raise SinkBlockedError(
            f"{self.name}: a transaction was not committed and is repeated: {type(error).__name__}: {error}"
        ) from error

    # On the attempt's thread.

    def _transact(self, entries: list[_Entry]) -> None:
        if self._clock.wait(self._closing, self._backoff_s):
            return
        try:
            producer = self._ready_producer()  # first: while a transaction is left open, readers see nothing new
            self._resolve_doubt()
            member = self._wait_for_membership(entries)
            todo = _open(entries)[: 1 if self._one_by_one else None]
            if member is not None and (todo or self._uncommitted(self._ledger.checkpoint())):
                self._commit(producer, todo, member)
        except Exception:
            if self._producer is not None:
                close_at_once(self._producer)
            self._producer = None
            raise

    def _wait_for_membership(self, entries: list[_Entry]) -> ConsumerGroupMetadata | None:
        """The consumer's settled membership; leaves out what is not owned any more.

        None if it has none and nothing waits for it.
        """
        while True:
            owned = self._ledger.checkpoint()
            for entry in _open(entries):
                if not entry.is_owned(owned):
                    entry.is_delivered = False
            member = self._group_metadata()
            if member is not None and member.generation_id >= 0 and member.state == MemberState.STABLE:
                return member
            if not _open(entries) or self._clock.wait(self._closing, _MEMBER_WAIT_S):
                return None

    def _ready_producer(self) -> Any:
        if self._producer is None:
            self._producer = self._config.open(
                transactional_id=self._transactional_id, transaction_timeout_ms=_TIMEOUT_MS
            )
            self._producer.init_transactions()  # aborts what one of the same id has left open, or waits for its commit
        return self._producer

    def _commit(self, producer: Any, todo: list[_Entry], member: ConsumerGroupMetadata) -> None:
        producer.begin_transaction()
        self._send(producer, todo)
        for entry in todo:
            self._advance_ledger(entry)
        checkpoint = self._ledger.checkpoint()
        if not all(entry.is_owned(checkpoint) for entry in todo):
            self._telemetry.commit(CommitOutcome.REBALANCING)
            raise _OwnershipLostError
        positions = self._uncommitted(checkpoint)
        try:
            self._end(producer, todo, positions, member)
        except KafkaError as error:
            self._telemetry.commit(commit_outcome(error))
            raise
        self._on_committed(todo, positions)

    def _end(self, producer: Any, todo: list[_Entry], positions: Positions, member: ConsumerGroupMetadata) -> None:
        """Sends the checkpoint, and commits the transaction."""
        if positions:
            offsets = {TopicPartition(*at): OffsetAndMetadata(p.offset, p.metadata) for at, p in positions.items()}
            producer.send_offsets_to_transaction(offsets, member)
        self._in_doubt = CommitInDoubt(todo, self._moved_by(todo, positions), member.group_id)
        producer.commit_transaction()

    def _send(self, producer: Any, todo: list[_Entry]) -> None:
        """Sends and waits; raises the first error.

        What is rejected for ever is given up before that.
        """
        unavailable = unavailable_topics(producer, {entry.message.topic for entry in todo})
        if unavailable:
            raise next(iter(unavailable.values()))
        sent = [send_message(producer, entry.message) for entry in todo]
        with suppress(KafkaError):  # the future of each message says what failed
            producer.flush()
        outcomes = [
            await_delivery(result, entry.message, alone=len(todo) == 1)
            for entry, result in zip(todo, sent, strict=True)
        ]
        for entry, outcome in zip(todo, outcomes, strict=True):
            if isinstance(outcome, SinkError):
                entry.is_delivered = False
                self._advance_ledger(entry)
                self._given_up.append(outcome)
        errors = [outcome for outcome in outcomes if outcome is not None]
        self._one_by_one = self._one_by_one or any(isinstance(error, REJECTIONS) for error in errors)
        if errors:
            raise errors[0]

    def _advance_ledger(self, entry: _Entry) -> None:
        if entry.is_in_ledger:
            return
        entry.is_in_ledger = True
        if isinstance(entry.what, RejectedRecord):
            self._ledger.release(entry.what.coordinates)
        elif entry.what.lease is not None:
            self._ledger.delivered(entry.what.lease, entry.what.index)

    def _uncommitted(self, checkpoint: Positions) -> Positions:
        """The positions of a checkpoint that are not committed yet."""
        return {at: position for at, position in checkpoint.items() if self._committed.get(at) != position}

    def _moved_by(self, todo: list[_Entry], positions: Positions) -> Positions:
        """The positions that nothing but this transaction can have committed.

        They are ahead, in partition groups that stayed ours.
        """
        leases = (entry.what.lease for entry in todo if isinstance(entry.what, Outgoing))
        numbers = {lease.assignment.number for lease in leases if lease is not None}
        before = self._checkpoint_before
        return {at: p for at, p in positions.items() if at.number in numbers and p != before.get(at)}

    def _resolve_doubt(self) -> None:
        """Decides about a commit in doubt; the new producer has settled it."""
        doubt = self._in_doubt
        if doubt is not None and doubt.was_committed(self._config.connection):
            self._on_committed(doubt.entries, doubt.positions)
        self._in_doubt = None

    def _on_committed(self, entries: list[_Entry], positions: Positions) -> None:
        for entry in entries:
            entry.is_delivered = True
        self._committed.update(positions)
        self._in_doubt = None
        self._telemetry.commit(CommitOutcome.COMMITTED)


def _open(entries: list[_Entry]) -> list[_Entry]:
    return [entry for entry in entries if entry.is_delivered is None]
