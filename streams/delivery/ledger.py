"""Tracks which records of a log are still needed, for checkpoints.

A record is retained from the moment it is read until the last window that it can matter to is delivered, or until it is
dead-lettered. Then it is released. The lowest retained offset of each partition is what a checkpoint commits, with the
first window of each session that was not published (`streams.delivery.checkpoint`): after a crash the tail is read
again and nothing is published twice. Offsets are read in order, so those retained are kept in that order, and the
lowest is the first.

A `PartitionAssignment` stands for the partitions of one number while they are assigned to this instance, and a
`SessionLease` for one session in it. Both end for good when the partitions go elsewhere: what comes back later from the
engine under an ended lease changes nothing, and is not published.
"""

import heapq
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice

from streams.alignment.window_progress import BEFORE_ALL, WindowProgress
from streams.alignment.windows import WindowGrid
from streams.coordinates import Coordinates, Partition
from streams.delivery.checkpoint import MOST_SESSIONS, encode, session_digest

_REMEMBERED_SESSIONS = 4096  # of one partition number; five times what its commits can hold


@dataclass(frozen=True, slots=True)
class Position:
    """What is committed for one partition."""

    offset: int
    metadata: str


@dataclass(slots=True)
class _Reading:
    """Records read of one partition and not released.

    Bytes by offset, 0 once the timeline has them.
    """

    next_offset: int
    unreleased: OrderedDict[int, int] = field(default_factory=OrderedDict)

    @property
    def lowest(self) -> int:
        return next(iter(self.unreleased), self.next_offset)


@dataclass(slots=True, eq=False)
class SessionLease:
    """Lease of one session, valid while its partitions are assigned.

    Changed by the ledger only, which holds the lock.
    """

    session: str
    assignment: "PartitionAssignment"
    progress: WindowProgress
    """Shared with the session's timeline: see there who changes what."""
    retained: list[tuple[int, Partition, int]] = field(default_factory=list)
    """Heap of the records retained: last window, partition, offset."""
    ended: bool = False
    """Whether the session has ended: windows that are not in flight yet never will be."""

    @property
    def valid(self) -> bool:
        """Whether the session is still ours."""
        return self.assignment.valid


@dataclass(slots=True, eq=False)
class PartitionAssignment:
    """Assignment of the partitions of one number, until it is revoked.

    Changed by the ledger only, which holds the lock.
    """

    number: int
    readings: dict[Partition, _Reading]
    restored: dict[bytes, int]
    valid: bool = True
    leases: OrderedDict[str, SessionLease] = field(default_factory=OrderedDict)
    """By when their windows last moved on, the longest ago first."""


class Ledger:
    """Ledger of the records that are read and not released.

    Shared by the source (which reads and commits), the timeline and the publish thread; every method locks.
    """

    def __init__(self, grid: WindowGrid) -> None:
        self.grid = grid
        self._lock = threading.Lock()
        self._assignments: dict[int, PartitionAssignment] = {}
        self._waiting_bytes = 0

    # The source.

    def assigned(
        self, number: int, starts: Mapping[Partition, int], emitted_through: Mapping[bytes, int]
    ) -> PartitionAssignment:
        """Assigns the partitions of `number`, read from `starts` on.

        An assignment of them before this one ends.

        emitted_through: by session digest, the first window that was not published.
        """
        readings = {partition: _Reading(offset) for partition, offset in starts.items()}
        assignment = PartitionAssignment(number, readings, dict(emitted_through))
        with self._lock:
            self._give_up(number)
            self._assignments[number] = assignment
        return assignment

    def revoked(self, numbers: Iterable[int]) -> None:
        """Ends the assignments of these numbers."""
        with self._lock:
            for number in numbers:
                self._give_up(number)

    def read(self, partition: Partition, offsets_sizes: Iterable[tuple[int, int]]) -> None:
        """Retains records that were read: offsets in order, with sizes in bytes."""
        with self._lock:
            reading = self._reading(partition)
            if reading is None:
                return
            for offset, size_bytes in offsets_sizes:
                reading.unreleased[offset] = size_bytes
                reading.next_offset = offset + 1
                self._waiting_bytes += size_bytes

    @property
    def waiting_bytes(self) -> int:
        """Bytes of records read and not taken by the timeline yet."""
        return self._waiting_bytes

    @property
    def uncommitted(self) -> int:
        """Number of records that would be read again after a crash."""
        with self._lock:
            readings = chain.from_iterable(assignment.readings.values() for assignment in self._assignments.values())
            return sum(reading.next_offset - reading.lowest for reading in readings)

    def checkpoint(self) -> dict[Partition, Position]:
        """What to commit now, for every partition that is ours."""
        with self._lock:
            return {
                partition: position
                for assignment in self._assignments.values()
                for partition, position in self._positions(assignment).items()
            }

    # The timeline.

    def lease(self, assignment: PartitionAssignment, session: str) -> SessionLease:
        """The session's lease: the one it has, or a new one."""
        with self._lock:
            lease = assignment.leases.get(session)
            if lease is None:
                restored_from = assignment.restored.pop(session_digest(session), BEFORE_ALL)
                lease = SessionLease(session, assignment, WindowProgress(restored_from))
                assignment.leases[session] = lease
                self._forget_oldest(assignment)
            return lease

    def retain(self, lease: SessionLease, coordinates: Coordinates, last_window: int) -> None:
        """Retains a record until windows up to `last_window` are delivered."""
        with self._lock:
            reading = lease.assignment.readings[coordinates.partition]
            size_bytes = reading.unreleased.get(coordinates.offset)
            if size_bytes is None or not lease.valid:
                return
            self._waiting_bytes -= size_bytes
            reading.unreleased[coordinates.offset] = 0
            lease.ended = False
            heapq.heappush(lease.retained, (last_window, coordinates.partition, coordinates.offset))

    def advance(self, lease: SessionLease, until: int) -> None:
        """Windows before `until` are submitted, or never will be."""
        with self._lock:
            self._release_delivered(lease, lease.progress.submit_until(until))

    def submitted(self, lease: SessionLease, index: int) -> None:
        """A window is submitted; to be called before `advance` passes it."""
        with self._lock:
            lease.progress.submit(index)

    def session_ended(self, lease: SessionLease) -> None:
        """The session has ended, and all its windows are submitted.

        Once they are delivered, all its records are released.
        """
        with self._lock:
            lease.ended = True
            self._release_delivered(lease, moved=False)

    # The publish thread.

    def delivered(self, lease: SessionLease, index: int) -> None:
        """A window was acknowledged, or never will be published."""
        with self._lock:
            self._release_delivered(lease, lease.progress.deliver(index))

    def release(self, coordinates: Coordinates) -> None:
        """Releases a record that was dead-lettered, or that no window needs."""
        with self._lock:
            assignment = self._assignments.get(coordinates.partition.number)
            if assignment is not None:
                self._release(assignment, coordinates.partition, coordinates.offset)

    # With the lock held.

    def _reading(self, partition: Partition) -> _Reading | None:
        assignment = self._assignments.get(partition.number)
        return None if assignment is None else assignment.readings.get(partition)

    def _give_up(self, number: int) -> None:
        assignment = self._assignments.pop(number, None)
        if assignment is not None:
            assignment.valid = False
            self._waiting_bytes -= sum(sum(reading.unreleased.values()) for reading in assignment.readings.values())

    def _release(self, assignment: PartitionAssignment, partition: Partition, offset: int) -> None:
        reading = assignment.readings.get(partition)
        size_bytes = reading.unreleased.pop(offset, None) if reading is not None else None
        if size_bytes is not None and assignment.valid:
            self._waiting_bytes -= size_bytes

    def _release_delivered(self, lease: SessionLease, moved: bool) -> None:
        """Releases the records that no window needs any more.

        `moved`: whether more windows are delivered.
        """
        progress, leases = lease.progress, lease.assignment.leases
        if moved and lease.session in leases:
            leases.move_to_end(lease.session)
        finished = lease.ended and not progress.in_flight
        while lease.retained and (finished or lease.retained[0][0] < progress.delivered_until):
            _, partition, offset = heapq.heappop(lease.retained)
            self._release(lease.assignment, partition, offset)

    def _positions(self, assignment: PartitionAssignment) -> dict[Partition, Position]:
        recent = ((lease.session, lease.progress.delivered_until) for lease in reversed(assignment.leases.values()))
        known = ((session_digest(session), until) for session, until in recent if until != BEFORE_ALL)
        entries = chain(known, assignment.restored.items())
        return {
            partition: Position(reading.lowest, encode(islice(entries, MOST_SESSIONS), self.grid))
            for partition, reading in assignment.readings.items()
        }

    def _forget_oldest(self, assignment: PartitionAssignment) -> None:
        if len(assignment.leases) > _REMEMBERED_SESSIONS:
            oldest = next(
                (each for each in assignment.leases.values() if not (each.retained or each.progress.in_flight)), None
            )
            if oldest is not None:
                del assignment.leases[oldest.session]
