"""Turns items of sources into encoding units and closed windows.

The way of an item: it is decoded, its event enters the timeline of its session, and what the event makes final comes
back as units to encode. When the units of a closed window are finished, the window is ready to be scored.

                              ┌── what follows from the voice in sound, and from words ──┐
                              ▼                                                          │
    item ──► take ──► units to encode ──► (the caller encodes) ──► finish ──────────────┴─► ready_windows ──► windows
               │                                                     │                                         to score
               └─ a bad record: counted, logged, dead-lettered ──────┘

Records are decoded here and not in a pool. Pictures cost most, and of them only the header is read until a window uses
them; the rest takes microseconds, and would have to be put in order again.

Left out: encoding, scoring, threads and back-pressure. The driver returns values and calls nobody back, so that a
thread with an engine beside it and a loop without one use it alike.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from streams.alignment.closed_window import ClosedWindow
from streams.alignment.origin import DEVICE, STORED
from streams.alignment.sessions import Sessions
from streams.clock import NS_PER_S, Clock
from streams.decoding.decode import Limits, decode_record
from streams.delivery.crash_journal import CrashJournal
from streams.events import EncodingUnit, Line, Task
from streams.reasons import BadRecord, DeadLetterReason
from streams.records import (
    Assigned,
    EndOfSession,
    Item,
    Modality,
    PartitionIdle,
    Progress,
    Record,
    RejectedRecord,
    Revoked,
)
from streams.telemetry import Telemetry

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class RecordCounts:
    """Records taken, those of them refused, and units encoded.

    A unit that held nothing to encode counts as encoded.
    """

    taken: int = 0
    refused: int = 0
    encoded: int = 0


def _ignore(_: RejectedRecord) -> None:
    """Keeps no rejected record."""


class AlignmentDriver:
    """Turns items of sources into encoding units and closed windows.

    Owned by one thread; no lock.
    """

    def __init__(
        self,
        sessions: Sessions,
        limits: Limits,
        clock: Clock,
        telemetry: Telemetry,
        dead_letter: Callable[[RejectedRecord], None] = _ignore,
        crash_journal: CrashJournal | None = None,
    ) -> None:
        """dead_letter: stores a record of a log that cannot be used.

        It must not block.

        crash_journal: which records of a log ended a process before. Without it none did.
        """
        self.sessions = sessions
        self.counts = RecordCounts()
        self._limits = limits
        self._clock = clock
        self._telemetry = telemetry
        self._dead_letter = dead_letter
        self._crash_journal = crash_journal or CrashJournal(None, clock)

    def take(self, item: Item, source: str, live: bool) -> list[EncodingUnit]:
        """Takes one item; returns the units that it makes final.

        source: the name of where it comes from. live: whether that is a device. A record that cannot be used costs
        itself only: it is counted, logged and, if it came from a log, dead-lettered.
        """
        match item:
            case Record():
                return self._take_record(item, source, live)
            case Progress(session=session, modality=modality, through_ns=through_ns):
                return self.sessions.progress(session, modality, through_ns, source, DEVICE if live else STORED)
            case EndOfSession(session=session):
                return self.sessions.end(session, source)
            case PartitionIdle(partition=partition, idle_ns=idle_ns):
                self.sessions.partition_idle(partition, idle_ns)
            case Assigned(assignment=assignment):
                self.sessions.assigned(assignment)
            case Revoked(numbers=numbers):
                self.sessions.revoked(numbers)
            case RejectedRecord(modality=modality, reason=reason, why=why):
                self.counts.taken += 1
                self._count(modality, reason, why, source=source, **item.coordinates.named())
                self._dead_letter(item)
        return []

    def finish(self, unit: EncodingUnit) -> list[EncodingUnit]:
        """Marks a unit as done; returns the units that follow from it.

        A unit with damage is counted, and its record of a log is dead-lettered. Sound that is damaged is counted for
        its segment, and not once more for the blocks and utterances that it is in.
        """
        follows = unit.task is not Task.ENCODE or (isinstance(unit.payload, Line) and unit.payload.spoken)
        if unit.task is Task.ENCODE and unit.damage is None:
            self.counts.encoded += 1
        elif unit.record is not None and unit.damage is not None:
            self._reject(unit.record, *unit.damage)
        elif unit.damage is not None and not (follows and unit.damage[0] is DeadLetterReason.CORRUPT):
            self._count(unit.modality, *unit.damage, session=unit.session)
        unit.finish()
        return self.sessions.finish(unit) if follows else []

    def ready_windows(self, session: str | None = None) -> Iterator[ClosedWindow]:
        """Closed windows whose units are done, of one session or all."""
        return self.sessions.ready_windows(session)

    def tick(self) -> list[EncodingUnit]:
        """Lets time pass; returns the units that this makes final.

        To be called several times a second.
        """
        return self.sessions.tick()

    def drain(self) -> list[EncodingUnit]:
        """Closes every window now; returns the units that this makes final."""
        return self.sessions.drain()

    def leave_logs(self) -> None:
        """Drops the sessions of logs: whoever reads on rebuilds them."""
        self.sessions.leave_logs()

    def ended_sessions(self) -> list[str]:
        """Sessions that have ended since the last call."""
        return self.sessions.ended_sessions()

    def _take_record(self, record: Record, source: str, live: bool) -> list[EncodingUnit]:
        self.counts.taken += 1
        at = record.coordinates
        if at is None:
            return self._decode_record(record, source, live)
        if self._crash_journal.is_poison(at):
            self._reject(
                record, DeadLetterReason.CRASHED, "the process ended twice while it worked on this record", source
            )
            return []
        with self._crash_journal.working_on([at]):
            return self._decode_record(record, source, live)

    def _decode_record(self, record: Record, source: str, live: bool) -> list[EncodingUnit]:
        began_ns = self._clock.monotonic_ns()
        try:
            event = decode_record(record, self._limits, live)
        except BadRecord as error:
            self._reject(record, error.reason, str(error), source)
            return []
        except Exception as error:  # bytes nobody thought of cost this record only
            self._reject(record, DeadLetterReason.INTERNAL, type(error).__name__, source)
            return []
        finally:
            self._telemetry.decoded(record.modality, (self._clock.monotonic_ns() - began_ns) / NS_PER_S)
        if record.coordinates is None:
            return self.sessions.add(event, source, DEVICE if live else STORED)
        return self.sessions.add_logged(event, source, record.coordinates)

    def _reject(self, record: Record, reason: DeadLetterReason, why: str, source: str | None = None) -> None:
        at = record.coordinates
        where = {"session": record.session} if at is None else at.named()
        self._count(record.modality, reason, why, source=source, **where)
        if at is not None:
            self._dead_letter(RejectedRecord(record.modality, record.payload, record.received_ns, at, reason, why))

    def _count(self, modality: Modality, reason: DeadLetterReason, why: str, **where: object) -> None:
        self.counts.refused += 1
        self._telemetry.dead_letter(reason)
        log.warning("a record is rejected", modality=modality, reason=reason, why=why, **where)
