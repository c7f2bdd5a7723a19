"""Reports what happened in the streams: `daemon.telemetry.metrics` counts it, tests ignore it.

Labels are bounded: modality, reason, source and state names from code and configuration, never a session id.
"""

from enum import StrEnum
from typing import Protocol

from streams.reasons import DeadLetterReason, DropReason
from streams.records import Modality
from streams.sources.state import SourceState


class CommitOutcome(StrEnum):
    """What became of a checkpoint that was to be written to the log."""

    COMMITTED = "committed"
    REBALANCING = "rebalancing"
    """The group was sharing its partitions out anew; it is written again, or by whoever reads on."""
    FAILED = "failed"
    """Refused, or not answered; it is written again."""


class OffsetReset(StrEnum):
    """Why a partition is read from another place than where it was left."""

    RETENTION = "retention"
    """Records were deleted before they were read."""
    TRUNCATED = "truncated"
    """Its log ends before what was read of it."""
    RECREATED = "recreated"
    """Its topic was deleted and made anew."""


class Telemetry(Protocol):
    """Callable from any thread."""

    def record(self, source: str, modality: Modality, size_bytes: int) -> None:
        """A source received one record."""
        ...

    def source_state(self, source: str, state: SourceState) -> None:
        """A source moved to `state`."""
        ...

    def reconnect(self, source: str) -> None:
        """A live source is opened again after a fault."""
        ...

    def event(self, modality: Modality) -> None:
        """A record became a valid event and entered the timeline."""
        ...

    def decoded(self, modality: Modality, seconds: float) -> None:
        """A record was decoded, or refused, in `seconds`."""
        ...

    def dropped(self, modality: Modality, reason: DropReason, count: int = 1) -> None:
        """Events or records left out by a named policy."""
        ...

    def dead_letter(self, reason: DeadLetterReason) -> None:
        """A record was set aside as unusable."""
        ...

    def late(self, modality: Modality) -> None:
        """An event missed at least one window that contains its time: closed, and past its grace."""
        ...

    def window_closed(self, closed_by: str) -> None:
        """A window closed."""
        ...

    def channel_wait(self, stage: str, seconds: float) -> None:
        """An item lay in a channel for `seconds`."""
        ...

    def lag(self, source: str, modality: Modality, records: float, seconds: float) -> None:
        """How far a log is ahead of what was read of it: records not read, and the age of the newest that was.

        While nobody knows where the log ends, records is NaN, and seconds are those since it was known.
        """
        ...

    def offset_reset(self, source: str, reason: OffsetReset) -> None:
        """A partition is read on from another place than where it was left."""
        ...

    def paused(self, partitions: int) -> None:
        """So many partitions are held back because what was read is not taken fast enough."""
        ...

    def commit(self, outcome: CommitOutcome) -> None:
        """A checkpoint was committed, or was not."""
        ...

    def uncommitted(self, records: int) -> None:
        """So many records were read and would be read again after a crash."""
        ...

    def sequence(self, modality: Modality, fault: str, count: int = 1) -> None:
        """A stream's sequence numbers show a `gap`, of `count` records, or a `repeat`."""
        ...

    def discontinuity(self, fault: str) -> None:
        """A frame of sound does not follow the one before: `gap`, `overlap`, or the `repeat` of one."""
        ...


class NullTelemetry:
    """Counts nothing."""

    def record(self, source: str, modality: Modality, size_bytes: int) -> None: ...
    def source_state(self, source: str, state: SourceState) -> None: ...
    def reconnect(self, source: str) -> None: ...
    def event(self, modality: Modality) -> None: ...
    def decoded(self, modality: Modality, seconds: float) -> None: ...
    def dropped(self, modality: Modality, reason: DropReason, count: int = 1) -> None: ...
    def dead_letter(self, reason: DeadLetterReason) -> None: ...
    def late(self, modality: Modality) -> None: ...
    def window_closed(self, closed_by: str) -> None: ...
    def channel_wait(self, stage: str, seconds: float) -> None: ...
    def lag(self, source: str, modality: Modality, records: float, seconds: float) -> None: ...
    def offset_reset(self, source: str, reason: OffsetReset) -> None: ...
    def paused(self, partitions: int) -> None: ...
    def commit(self, outcome: CommitOutcome) -> None: ...
    def uncommitted(self, records: int) -> None: ...
    def sequence(self, modality: Modality, fault: str, count: int = 1) -> None: ...
    def discontinuity(self, fault: str) -> None: ...
