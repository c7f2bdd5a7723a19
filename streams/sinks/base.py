"""Where results leave: a sink takes what there is, and says later that it is delivered, or that it never can be.

Predictions leave in groups. The publish thread hands a sink all that is ready and then flushes it, a little at a time,
until everything is settled; so a sink may send the whole group at once, and one that waits for somebody who is away
holds up nothing but the next group. Only what is settled counts as delivered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from streams.delivery.ledger import SessionLease
from streams.predictions import Prediction
from streams.records import RejectedRecord


class SinkError(Exception):
    """A sink can never deliver one thing and has given it up; the message names the sink, and what if it knows."""


class SinkBlockedError(SinkError):
    """A sink can deliver nothing for now, keeps what it has and tries again; the message says why."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A prediction, its JSON, and the window it is of: the ledger's lease (None: not from a log) and index."""

    prediction: Prediction
    line: bytes
    lease: SessionLease | None
    index: int


class Sink(Protocol):
    """Owned by the publish thread."""

    name: str

    def publish(self, prediction: Prediction, line: bytes) -> None:
        """Takes one prediction; `line` is its JSON, the same bytes however often it is sent. SinkError if it cannot."""
        ...

    def flush(self, timeout_s: float) -> bool:
        """Whether all that was taken is settled; waits for it at most about `timeout_s`, and is called again if not.

        SinkError: one thing will not be delivered, SinkBlockedError: trying has failed; to be called again after both.
        """
        ...

    def close(self) -> None:
        """Releases what the sink holds; what is not delivered is given up. SinkError if something then was lost."""
        ...


@runtime_checkable
class DeadLetterSink(Sink, Protocol):
    """A sink that keeps records that could not be used. Owned by the publish thread."""

    def dead_letter(self, letter: RejectedRecord) -> None:
        """Takes one record, to be flushed like a prediction."""
        ...


class TransactionalSink(Protocol):
    """A sink that delivers a group, dead letters and the checkpoint of the log all together or not at all.

    Owned by the publish thread.
    """

    name: str

    def commit(self, group: Sequence[Outgoing | RejectedRecord], timeout_s: float) -> Sequence[bool] | None:
        """Which of the group are delivered, each True or False, once that is settled.

        None: not yet, to be called again with the same group; waits at most about `timeout_s`. False is what will not
        be: its window is another instance's now, or it was refused, of which SinkError tells as `Sink.flush` does.
        Without a group the checkpoint alone is committed, where it has moved.
        """
        ...

    def close(self) -> None:
        """Releases what the sink holds; a transaction that is under way is given up."""
        ...
