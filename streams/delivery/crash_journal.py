"""Journals the records in work, to find those that crash the process.

A record may bring the process down: it takes all memory, hits a fault in a library, or takes so long that a watchdog
kills. It is read again after the restart, and again, for ever, unless the next process knows. So each record is noted
in a file while it is worked on: where it lies, and since when; never what it holds. The file is mapped into memory, so
that it survives SIGKILL; it need not survive a loss of power.

What a process finds noted when it starts was in hand when the last one ended: these are suspects. The one that had been
in hand longest is blamed, unless others had been as long; the rest are neighbours. Suspects are to be worked on alone,
with nothing else in hand, so that the next end blames the right one. A record that is blamed twice is condemned: to be
dead-lettered unread. A suspect that is worked on to the end is cleared.

Left out: what other instances know, which have a folder of their own.
"""

import fcntl
import json
import mmap
import os
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import structlog

from streams.clock import Clock
from streams.coordinates import Coordinates

log = structlog.get_logger(__name__)

_SLOT = struct.Struct("<qqiH250s")  # since when, offset, partition, length of the topic, topic (249 bytes at most)
_SLOT_BYTES = 288
_SLOTS = 1024  # records at once; more are not noted. A batch of the device has a few dozen
_BLAMES = 2
_MOST_SUSPECTS = 1024
_NOTES, _SUSPECTS = "in-hand", "suspects.json"


class CrashJournalError(Exception):
    """The folder cannot be used; the message names it and says why."""


class Place(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int


class CrashJournal:
    """Journal of the records in work. Callable from any thread.

    Without a folder nothing is noted, and nothing is suspect.
    """

    def __init__(self, folder: Path | None, clock: Clock) -> None:
        """Reads what the last process left in `folder`.

        CrashJournalError if it cannot be used, or another process uses it.
        """
        self._clock = clock
        self._folder = folder
        self._lock = threading.Lock()
        self._suspects: dict[Place, int] = {}
        """By place, how often they were blamed."""
        self._free = list(range(_SLOTS)) if folder is not None else []
        self._notes: mmap.mmap | None = None
        if folder is not None:
            try:
                self._notes = _mapped(folder / _NOTES)
                self._take_over(self._notes, folder)
            except BlockingIOError as error:
                raise CrashJournalError(f"{folder}: another process uses it; each needs a folder of its own") from error
            except OSError as error:
                raise CrashJournalError(f"{folder}: cannot be used: {error.strerror or error}") from error

    @contextmanager
    def working_on(self, records: Iterable[Coordinates]) -> Iterator[None]:
        """Notes the records while the block runs."""
        if self._notes is None:
            yield
            return
        slots = self._note(self._notes, records)
        try:
            yield
        finally:
            self._erase(self._notes, slots)

    def is_suspect(self, records: Iterable[Coordinates]) -> bool:
        """Whether any of them was in work when a process ended.

        Such a record is to be worked on alone.
        """
        return bool(self._suspects) and any(_place(record) in self._suspects for record in records)

    def is_poison(self, record: Coordinates) -> bool:
        """Whether the record ended the process too often."""
        return bool(self._suspects) and self._suspects.get(_place(record), 0) >= _BLAMES

    def clear(self, record: Coordinates) -> None:
        """Clears a suspect that was worked on to the end."""
        if self._folder is not None and self._suspects.pop(_place(record), None) is not None:
            self._save(self._folder)

    def close(self) -> None:
        """Gives the folder back."""
        if self._notes is not None:
            self._notes.close()
            self._notes = None

    def _note(self, notes: mmap.mmap, records: Iterable[Coordinates]) -> list[int]:
        since_ns, slots = self._clock.monotonic_ns(), []
        for record in records:
            with self._lock:
                if not self._free:
                    break
                slot = self._free.pop()
            slots.append(slot)
            topic = record.partition.topic.encode()[:250]
            at = slot * _SLOT_BYTES
            _SLOT.pack_into(notes, at + 1, since_ns, record.offset, record.partition.number, len(topic), topic)
            notes[at] = 1  # last: a slot that is half written counts as empty
        return slots

    def _erase(self, notes: mmap.mmap, slots: list[int]) -> None:
        for slot in slots:
            notes[slot * _SLOT_BYTES] = 0
        with self._lock:
            self._free += slots

    def _take_over(self, notes: mmap.mmap, folder: Path) -> None:
        self._suspects = _read_suspects(folder / _SUSPECTS)
        found = _noted(notes)
        for _, place in found:
            self._suspects.setdefault(place, 0)
        blamed = _longest(found)
        if blamed is not None:
            self._suspects[blamed] += 1
        if found:
            log.warning(
                "the last process ended while it worked on records; they are worked on alone",
                records=len(found),
                **({} if blamed is None else {**blamed._asdict(), "blamed": self._suspects[blamed]}),
            )
        while len(self._suspects) > _MOST_SUSPECTS:
            del self._suspects[next(iter(self._suspects))]
        self._save(folder)
        notes[:] = bytes(len(notes))

    def _save(self, folder: Path) -> None:
        """Replaces the list of suspects as a whole."""
        whole = json.dumps([[*place, times] for place, times in self._suspects.items()])
        partial = folder / f"{_SUSPECTS}.new"
        try:
            partial.write_text(whole, encoding="utf-8")
            partial.replace(folder / _SUSPECTS)
        except OSError as error:  # a full disk: what is known is known to this process only
            log.warning("suspects cannot be written down", error=error.strerror)


def _place(record: Coordinates) -> Place:
    return Place(*record.partition, record.offset)


def _mapped(path: Path) -> mmap.mmap:
    """The journal's file, of its full size, mapped into memory.

    Raises OSError if another process has it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the lock is the mapping's, which keeps the file open
        os.truncate(descriptor, _SLOTS * _SLOT_BYTES)
        return mmap.mmap(descriptor, _SLOTS * _SLOT_BYTES)
    finally:
        os.close(descriptor)


def _noted(notes: mmap.mmap) -> list[tuple[int, Place]]:
    """What is noted, each since when."""
    found = []
    for at in range(0, _SLOTS * _SLOT_BYTES, _SLOT_BYTES):
        if notes[at] == 1:
            since_ns, offset, partition, length, topic = _SLOT.unpack_from(notes, at + 1)
            found.append((since_ns, Place(topic[:length].decode("utf-8", "replace"), partition, offset)))
    return found


def _longest(found: list[tuple[int, Place]]) -> Place | None:
    """The record that had been in hand longest; None where several had."""
    first_ns = min((since_ns for since_ns, _ in found), default=None)
    first = {place for since_ns, place in found if since_ns == first_ns}
    return first.pop() if len(first) == 1 else None


def _read_suspects(path: Path) -> dict[Place, int]:
    """Suspects written down by an earlier process.

    None where the file is not there, or is not ours.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {Place(str(topic), int(number), int(offset)): int(times) for topic, number, offset, times in entries}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, RecursionError):
        log.warning("what is known of records that ended the process cannot be read; it begins anew", file=path.name)
        return {}
