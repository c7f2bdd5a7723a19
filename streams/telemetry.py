"""Interface to the metrics of the streams.

`daemon.telemetry.metrics` counts what happened; tests ignore it.

Labels are bounded: modality, reason, source and state names from code and configuration, never a session id.
"""

from enum import StrEnum
from typing import Protocol

from streams.reasons import ClosedBy, DeadLetterReason, DropReason, UntoldReason
from streams.records import Modality
from streams.source_state import SourceState


class CommitOutcome(StrEnum):
    """Outcome of committing a checkpoint to the log."""

    COMMITTED = "committed"
    REBALANCING = "rebalancing"
    """The group was rebalancing; it is committed again, here or by the new owner."""
    FAILED = "failed"
    """Refused, or not answered; it is written again."""


class OffsetResetReason(StrEnum):
    """Why a partition is read from another offset than committed."""

    RETENTION = "retention"
    """Records were deleted before they were read."""
    TRUNCATED = "truncated"
    """Its log ends before what was read of it."""
    RECREATED = "recreated"
    """Its topic was deleted and created again."""


class SequenceFault(StrEnum):
    """What is wrong with a stream's sequence numbers."""

    GAP = "gap"
    """Numbers are missing."""
    REPEAT = "repeat"
    """A number came twice."""


class SoundFault(StrEnum):
    """Why a frame of sound does not continue the one before."""

    GAP = "gap"
    """Its time stamps are ahead: something is missing."""
    OVERLAP = "overlap"
    """Its time stamps are far behind: it covers earlier sound."""
    REPEAT = "repeat"
    """It came before, with the same time stamp and samples."""


class Telemetry(Protocol):
    """What the streams report. Callable from any thread."""

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
        """A record became a dead letter."""
        ...

    def late(self, modality: Modality) -> None:
        """An event missed at least one of its windows.

        That window was closed, and past its grace.
        """
        ...

    def window_closed(self, closed_by: ClosedBy) -> None:
        """A window closed."""
        ...

    def channel_wait(self, stage: str, seconds: float) -> None:
        """An item lay in a channel for `seconds`."""
        ...

    def lag(self, source: str, modality: Modality, records: float, seconds: float) -> None:
        """Lag of a source: unread records, and age of the newest read.

        While nobody knows where the log ends, records is NaN, and seconds are those since it was known.
        """
        ...

    def offset_reset(self, source: str, reason: OffsetResetReason) -> None:
        """A partition is read from another offset than committed."""
        ...

    def paused(self, partitions: int) -> None:
        """Number of partitions paused by back-pressure."""
        ...

    def commit(self, outcome: CommitOutcome) -> None:
        """A checkpoint was committed, or was not."""
        ...

    def uncommitted(self, records: int) -> None:
        """Number of records that a crash would have read again."""
        ...

    def sequence(self, modality: Modality, fault: SequenceFault, count: int = 1) -> None:
        """A stream's sequence numbers have a fault.

        count: missing records.
        """
        ...

    def discontinuity(self, fault: SoundFault) -> None:
        """A frame of sound does not continue the one before."""
        ...

    def untold(self, reason: UntoldReason, count: int = 1) -> None:
        """Participants have no row of their own."""
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
    def window_closed(self, closed_by: ClosedBy) -> None: ...
    def channel_wait(self, stage: str, seconds: float) -> None: ...
    def lag(self, source: str, modality: Modality, records: float, seconds: float) -> None: ...
    def offset_reset(self, source: str, reason: OffsetResetReason) -> None: ...
    def paused(self, partitions: int) -> None: ...
    def commit(self, outcome: CommitOutcome) -> None: ...
    def uncommitted(self, records: int) -> None: ...
    def sequence(self, modality: Modality, fault: SequenceFault, count: int = 1) -> None: ...
    def discontinuity(self, fault: SoundFault) -> None: ...
    def untold(self, reason: UntoldReason, count: int = 1) -> None: ...
