"""Defines sinks, which deliver predictions and report when they have.

Predictions leave in groups. The publish thread hands a sink all that is ready and then flushes it, a little at a time,
until everything is settled; so a sink may send the whole group at once, and one that waits for a reader who is away
holds back nothing but the next group. Only what is settled counts as delivered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from streams.delivery.ledger import SessionLease
from streams.predictions import Prediction
from streams.records import RejectedRecord


class SinkError(Exception):
    """A sink can never deliver one thing, and has given it up.

    The message names the sink, and the thing if the sink knows it.
    """


class SinkBlockedError(SinkError):
    """A sink can deliver nothing for now; the message says why.

    It keeps what it has, and tries again.
    """


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A prediction on its way, with its JSON and its window."""

    prediction: Prediction
    line: bytes
    lease: SessionLease | None
    """The ledger's; None where the session is not of a log."""
    index: int
    """The window's."""


class Sink(Protocol):
    """Delivers predictions. Owned by the publish thread."""

    name: str

    def publish(self, prediction: Prediction, line: bytes) -> None:
        """Takes one prediction; SinkError if it cannot.

        line: its JSON, the same bytes however often it is sent.
        """
        ...

    def flush(self, timeout_s: float) -> bool:
        """Whether all that was taken is settled; waits about `timeout_s` for it.

        To be called again where it is not, and after an error. SinkError: one thing will not be delivered.
        SinkBlockedError: trying has failed.
        """
        ...

    def close(self) -> None:
        """Releases resources, and gives up what is not delivered.

        SinkError if something was lost by that.
        """
        ...


@runtime_checkable
class DeadLetterSink(Sink, Protocol):
    """Delivers dead letters too. Owned by the publish thread."""

    def dead_letter(self, letter: RejectedRecord) -> None:
        """Takes one record, to be flushed like a prediction."""
        ...


class TransactionalSink(Protocol):
    """Delivers a group and the checkpoint of the log all or nothing.

    Owned by the publish thread.
    """

    name: str

    def commit(self, group: Sequence[Outgoing | RejectedRecord], timeout_s: float) -> Sequence[bool] | None:
        """Which of the group are delivered, once that is settled; None before.

        Waits about `timeout_s`. After None it is to be called again with the same group. False: it will never be
        delivered, since its window is another instance's now, or it was rejected, which SinkError says as in
        `Sink.flush`. With an empty group the checkpoint alone is committed, where it has moved.
        """
        ...

    def close(self) -> None:
        """Releases resources, and gives up an open transaction."""
        ...
