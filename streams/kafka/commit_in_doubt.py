"""A commit of a transaction that was not answered: was it carried out?

The client gives up waiting for an answer after a while, and the cluster may have done as it was told. Done again, what
was in the transaction would be seen twice. But the positions in it became valid with it: if one of those that nothing
else can have committed is found, the transaction was carried out; if none is, it was not. To be asked only when the
transaction is settled, which the next producer with the same transactional id waits for.
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
    """What was in the transaction; `positions` are those that only it can have committed."""

    entries: list[Entry]
    positions: dict[Partition, Position]
    group_id: str

    def was_carried_out(self, connection: Connection) -> bool:
        """Looks at what the group has committed; KafkaError if that cannot be read. Without positions: no."""
        if not self.positions:
            return False
        with KafkaConsumer(
            **connection.options(),
            group_id=self.group_id,
            enable_auto_commit=False,
            isolation_level="read_committed",
        ) as reader:
            found = ((reader.committed(TopicPartition(*at), metadata=True), p) for at, p in self.positions.items())
            return any(at and (at.offset, at.metadata) == (p.offset, p.metadata) for at, p in found)
