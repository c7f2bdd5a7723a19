"""Predictions, dead letters and the checkpoint of the log in one transaction: exactly once.

A reader that asks for committed messages only sees each prediction once, for a prediction and the positions that make
it unnecessary to compute it again become valid in the same moment. Per group: begin, send, tell the ledger, send its
checkpoint, commit. If anything fails the producer is replaced by one with the same transactional id, which aborts what
the old one left open; then the group is done again. A commit that was not answered may have been carried out: then the
positions are found committed, and the group is not done again.

Who may commit is decided by the cluster (KIP-447): the positions carry the consumer's membership, and an instance whose
partitions went elsewhere is refused. What it must not do is to commit a prediction without its position, so windows
are looked at twice: those that are another instance's are left out before, and if one is lost by the time the
checkpoint is taken, all is done again. It needs a consumer that reads committed messages only, for only such a one
waits for positions that are about to be committed.

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
_MEMBER_WAIT_S = 0.05  # between looks at whether the consumer is a settled member of its group again

Positions = dict[Partition, Position]


@dataclass(eq=False)
class _Entry:
    """One of a group. Belongs to the attempt while there is one, else to the publish thread."""

    outbound: OutgoingMessage
    source: Outgoing | RejectedRecord
    told: bool = False
    """Whether the ledger knows: it is told once, however often a transaction is repeated."""
    fate: bool | None = None

    def is_ours(self, held: Collection[Partition]) -> bool:
        """Whether this instance may publish it; held: the partitions that are its own."""
        if isinstance(self.source, RejectedRecord):
            return self.source.coordinates.partition in held
        return self.source.lease is None or self.source.lease.valid


class _LostError(Exception):
    """A window went to another instance while its transaction was open."""


class Transactions:
    """Implements `streams.sinks.base.TransactionalSink`. Owned by the publish thread, its producer by an attempt."""

    def __init__(
        self,
        name: str,
        output: ProducerConfig,
        transactional_id: str,
        ledger: Ledger,
        membership: Callable[[], ConsumerGroupMetadata | None],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        """transactional_id: unique per instance. membership: of the source's consumer, now; called on any thread."""
        self.name = name
        self._output = output
        self._transactional_id = transactional_id
        self._ledger = ledger
        self._membership = membership
        self._clock = clock
        self._telemetry = telemetry
        self._closing = threading.Event()
        self._producer: Any = None
        self._entries: list[_Entry] | None = None
        self._attempt: Future[None] | None = None
        self._given_up: list[SinkError] = []
        self._singly = False
        """Whether each is tried in a transaction of its own, to find the one that is refused."""
        self._backoff = Backoff(FIRST_BACKOFF_S, LARGEST_BACKOFF_S)
        self._pause_s = 0.0
        self._before: Positions = {}
        """The checkpoint when the group was begun; whatever was committed before it is not ahead of it."""
        self._doubt: CommitInDoubt[_Entry] | None = None
        self._committed: Positions = {}

    def commit(self, group: Sequence[Outgoing | RejectedRecord], timeout_s: float) -> Sequence[bool] | None:
        if self._attempt is None:
            if self._entries is None:
                self._entries = [_Entry(self._outbound(each), each) for each in group]
                self._before = self._ledger.checkpoint()
            self._attempt = run_in_thread(f"{self.name}-transaction", partial(self._transact, self._entries))
        if not wait([self._attempt], timeout_s).done:
            return None
        error, self._attempt = self._attempt.exception(), None
        self._judge(error)
        if self._given_up:
            raise self._given_up.pop(0)
        entries = self._entries or []
        if _todo(entries):
            return None
        self._entries, self._singly = None, False
        return [entry.fate is True for entry in entries]

    def close(self) -> None:
        self._closing.set()
        if self._producer is not None:
            close_at_once(self._producer)
        self._producer = None

    def _outbound(self, what: Outgoing | RejectedRecord) -> OutgoingMessage:
        if isinstance(what, RejectedRecord):
            return self._output.dead_letter(what)
        return self._output.prediction(what.prediction, what.line)

    def _judge(self, error: BaseException | None) -> None:
        """What a failed attempt means; SinkBlockedError where it is more than a step on the way."""
        if error is None or isinstance(error, (_LostError, SinkError, *REJECTIONS)):
            self._backoff.reset()
            self._pause_s = 0.0
            return
        self._pause_s = self._backoff.next_s()
        raise SinkBlockedError(
            f"{self.name}: a transaction was not committed and is repeated: {type(error).__name__}: {error}"
        ) from error

    # On the attempt's thread.

    def _transact(self, entries: list[_Entry]) -> None:
        if self._clock.wait(self._closing, self._pause_s):
            return
        try:
            producer = self._ready_producer()  # first: while a transaction is left open, readers see nothing new
            self._resolve_doubt()
            member = self._wait_for_membership(entries)
            todo = _todo(entries)[: 1 if self._singly else None]
            if member is not None and (todo or self._unsaved(self._ledger.checkpoint())):
                self._commit(producer, todo, member)
        except Exception:
            if self._producer is not None:
                close_at_once(self._producer)
            self._producer = None
            raise

    def _wait_for_membership(self, entries: list[_Entry]) -> ConsumerGroupMetadata | None:
        """The consumer's settled membership; None if it has none and nothing waits for it. Leaves out what is lost."""
        while True:
            held = self._ledger.checkpoint()
            for entry in _todo(entries):
                if not entry.is_ours(held):
                    entry.fate = False
            member = self._membership()
            if member is not None and member.generation_id >= 0 and member.state == MemberState.STABLE:
                return member
            if not _todo(entries) or self._clock.wait(self._closing, _MEMBER_WAIT_S):
                return None

    def _ready_producer(self) -> Any:
        if self._producer is None:
            self._producer = self._output.open(
                transactional_id=self._transactional_id, transaction_timeout_ms=_TIMEOUT_MS
            )
            self._producer.init_transactions()  # aborts what one of the same id has left open, or waits for its commit
        return self._producer

    def _commit(self, producer: Any, todo: list[_Entry], member: ConsumerGroupMetadata) -> None:
        producer.begin_transaction()
        self._send(producer, todo)
        for entry in todo:
            self._tell(entry)
        checkpoint = self._ledger.checkpoint()
        if not all(entry.is_ours(checkpoint) for entry in todo):
            self._telemetry.commit(CommitOutcome.REBALANCING)
            raise _LostError
        positions = self._unsaved(checkpoint)
        try:
            self._end(producer, todo, positions, member)
        except KafkaError as error:
            self._telemetry.commit(commit_outcome(error))
            raise
        self._done(todo, positions)

    def _end(self, producer: Any, todo: list[_Entry], positions: Positions, member: ConsumerGroupMetadata) -> None:
        """Sends the checkpoint, and commits the transaction."""
        if positions:
            offsets = {TopicPartition(*at): OffsetAndMetadata(p.offset, p.metadata) for at, p in positions.items()}
            producer.send_offsets_to_transaction(offsets, member)
        self._doubt = CommitInDoubt(todo, self._moved_by(todo, positions), member.group_id)
        producer.commit_transaction()

    def _send(self, producer: Any, todo: list[_Entry]) -> None:
        """Sends and waits; raises the first error. What is refused for good is given up before that."""
        absent = unavailable_topics(producer, {entry.outbound.topic for entry in todo})
        if absent:
            raise next(iter(absent.values()))
        handed = [send_message(producer, entry.outbound) for entry in todo]
        with suppress(KafkaError):  # the future of each message says what failed
            producer.flush()
        fates = [await_delivery(each, entry.outbound, len(todo) == 1) for entry, each in zip(todo, handed, strict=True)]
        for entry, fate in zip(todo, fates, strict=True):
            if isinstance(fate, SinkError):
                entry.fate = False
                self._tell(entry)
                self._given_up.append(fate)
        errors = [fate for fate in fates if fate is not None]
        self._singly = self._singly or any(isinstance(error, REJECTIONS) for error in errors)
        if errors:
            raise errors[0]

    def _tell(self, entry: _Entry) -> None:
        if entry.told:
            return
        entry.told = True
        if isinstance(entry.source, RejectedRecord):
            self._ledger.release(entry.source.coordinates)
        elif entry.source.lease is not None:
            self._ledger.delivered(entry.source.lease, entry.source.index)

    def _unsaved(self, checkpoint: Positions) -> Positions:
        """What of it is not committed yet."""
        return {at: position for at, position in checkpoint.items() if self._committed.get(at) != position}

    def _moved_by(self, todo: list[_Entry], positions: Positions) -> Positions:
        """The positions that nothing but this transaction can have committed: ahead, in numbers that stayed ours."""
        numbers = {e.source.lease.assignment.number for e in todo if isinstance(e.source, Outgoing) and e.source.lease}
        return {at: p for at, p in positions.items() if at.number in numbers and p != self._before.get(at)}

    def _resolve_doubt(self) -> None:
        """After an unanswered commit: whether it was carried out, which the new producer has waited for."""
        doubt = self._doubt
        if doubt is not None and doubt.was_carried_out(self._output.connection):
            self._done(doubt.entries, doubt.positions)
        self._doubt = None

    def _done(self, entries: list[_Entry], positions: Positions) -> None:
        for entry in entries:
            entry.fate = True
        self._committed.update(positions)
        self._doubt = None
        self._telemetry.commit(CommitOutcome.COMMITTED)


def _todo(entries: list[_Entry]) -> list[_Entry]:
    return [entry for entry in entries if entry.fate is None]
