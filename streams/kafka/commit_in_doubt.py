"""Decides whether a transaction in doubt was committed.

The client gives up waiting for the response to a commit after a while, though the cluster may have carried it out. If
it is repeated then, consumers see its messages twice. But the positions in the transaction became valid with it. So if
one of those that nothing else can have committed is found committed, the transaction was; if none is, it was not. To
be decided only when the transaction is settled, for which the next producer with the same transactional id waits.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from kafka import KafkaConsumer
from kafka.structs import TopicPartition

from streams.coordinates import Partition
from streams.delivery.ledger import Position
from streams.kafka.connection import Connection

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class CommitInDoubt(Generic[Entry]):
    """A transaction whose commit was not answered."""

    entries: list[Entry]
    positions: dict[Partition, Position]
    """Those that only this transaction can have committed."""
    group_id: str

    def was_committed(self, connection: Connection) -> bool:
        """Compares what the group has committed; without positions: no.

        KafkaError if that cannot be read.
        """
        if not self.positions:
            return False
        with KafkaConsumer(
            **connection.options(),
            group_id=self.group_id,
            enable_auto_commit=False,
            isolation_level="read_committed",
        ) as reader:
            committed = ((reader.committed(TopicPartition(*at), metadata=True), p) for at, p in self.positions.items())
            return any(at and (at.offset, at.metadata) == (p.offset, p.metadata) for at, p in committed)
