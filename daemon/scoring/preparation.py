"""Worker threads that prepare units for the device.

Sessions are served in turn by whichever worker is free, and none by two at once: so units of a session are prepared in
order, what is kept between them (the face that is followed) needs no lock, and a unit that takes long holds up
its own session only, while another worker is free. The pool hands the rows to the lane of their modality; a unit
without rows (no face, no voice) is done at once.
"""

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from daemon.scoring.batching import DeviceRequest
from daemon.scoring.features import no_features, unit_features
from daemon.scoring.results import LANES, BadRow, UnitFeatures, UnitRows, Untranscribed
from daemon.telemetry.instruments import Instruments
from streams.channels.fair_queue import FairQueue
from streams.clock import NS_PER_MS, NS_PER_S
from streams.deadline import Deadline
from streams.delivery.crash_journal import CrashJournal
from streams.events import EncodingUnit, Task, Transcript, Voice
from streams.reasons import BadRecord, DeadLetterReason, DropReason

_LEAST_WORKERS = 2  # so that a picture that takes long leaves one to the other sessions
_MOST_WORKERS = 8  # beyond it, the timeline thread and the device are what is waited for
_NAP_S = 1.0  # how often an idle worker shows that it is alive


class Preparer(Protocol):
    """Prepares units on the CPU.

    Shared by all workers; a session is served by one at a time.
    """

    def prepare(self, unit: EncodingUnit) -> UnitRows:
        """Returns the rows of one unit, none where there is no evidence.

        Raises BadRecord if the unit is damaged.
        """
        ...

    def detect_voice(self, unit: EncodingUnit) -> Voice:
        """Returns the voice in a block of sound, which needs no device.

        Blocks of a session come in order. Raises BadRecord if the block is damaged.
        """
        ...

    def forget(self, session: str) -> None:
        """Frees what is held of a session that has ended."""
        ...


def prepare_unit(preparer: Preparer, unit: EncodingUnit) -> UnitRows | Voice | None:
    """Prepares a unit, or returns None and sets `unit.damage`.

    A fault costs this unit only.
    """
    try:
        return preparer.detect_voice(unit) if unit.task is Task.DETECT_VOICE else preparer.prepare(unit)
    except BadRecord as error:
        unit.damage = error.reason, str(error)
    except Exception as error:  # a fault of ours, or bytes nobody thought of
        unit.damage = DeadLetterReason.INTERNAL, f"{type(error).__name__}: {error}"
    return None


def uncomputable(row: BadRow) -> tuple[DeadLetterReason, str]:
    """Returns the damage of a unit with a bad row."""
    return DeadLetterReason.INFERENCE, f"the model cannot compute it: {row.reason}"


def worker_count() -> int:
    """Returns the number of workers: one for each core, within bounds."""
    return max(_LEAST_WORKERS, min(_MOST_WORKERS, os.cpu_count() or 1))


class PreparationPool:
    """Workers that prepare units and submit their rows to the device.

    `submit` and `forget` may be called from any thread.
    """

    def __init__(
        self,
        preparer: Preparer,
        workers: int,
        compute: Callable[[EncodingUnit, DeviceRequest], None],
        done: Callable[[EncodingUnit], None],
        instruments: Instruments,
        crash_journal: CrashJournal | None = None,
    ) -> None:
        """workers: how many threads.

        compute: hands the rows of a unit to a device; must not block. done: called with every unit when it is encoded,
        or given up. crash_journal: notes the records in work.
        """
        noted = crash_journal or CrashJournal(None, instruments.clock)
        self._inbox = _Inbox()
        self._workers = [
            _Worker(f"prepare-{number}", preparer, self._inbox, compute, done, instruments, noted)
            for number in range(workers)
        ]
        instruments.metrics.watch_channel("prepare", self._inbox.depth)

    def start(self) -> None:
        """Starts the workers."""
        for worker in self._workers:
            worker.thread.start()

    def submit(self, unit: EncodingUnit) -> None:
        """Queues one unit; never blocks."""
        self._inbox.put(unit.session, unit)

    def forget(self, session: str) -> None:
        """Frees what is held of a session, after its units."""
        self._inbox.put(session, None)

    def stop(self, deadline: Deadline) -> None:
        """Ends the workers after what they have queued."""
        self._inbox.close()
        for worker in self._workers:
            worker.thread.join(deadline.remaining_s)


class _Inbox:
    """The queue of the workers, callable from any thread.

    It holds units, and None where a session has ended.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: FairQueue[str, EncodingUnit | None] = FairQueue()
        self._served: set[str] = set()
        self._closed = False

    def depth(self) -> int:
        return len(self._queue)

    def put(self, session: str, entry: EncodingUnit | None) -> None:
        with self._changed:
            self._queue.put(session, entry)
            self._changed.notify()

    def take(self) -> tuple[str, EncodingUnit | None] | None:
        """Takes the next entry, or returns None after a nap.

        It is of a session that no worker serves now. The caller serves the session from then on.
        """
        with self._changed:
            taken = self._next()
            if taken is None and not self.ended():
                self._changed.wait(_NAP_S)
                taken = self._next()
            return taken

    def served(self, session: str) -> None:
        """The caller is done with what it took."""
        with self._changed:
            self._served.discard(session)
            self._changed.notify_all()

    def close(self) -> None:
        """Nothing more will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def ended(self) -> bool:
        return self._closed and not len(self._queue)

    def _next(self) -> tuple[str, EncodingUnit | None] | None:
        taken = self._queue.take(lambda session, entry: session not in self._served)
        if taken is not None:
            self._served.add(taken[0])
        return taken


class _Worker:
    def __init__(
        self,
        name: str,
        preparer: Preparer,
        inbox: _Inbox,
        compute: Callable[[EncodingUnit, DeviceRequest], None],
        done: Callable[[EncodingUnit], None],
        instruments: Instruments,
        crash_journal: CrashJournal,
    ) -> None:
        self._crash_journal = crash_journal
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._inbox = inbox
        self._preparer = preparer
        self._compute = compute
        self._done = done
        self._clock = instruments.clock
        self._metrics = instruments.metrics
        self._heartbeats = instruments.heartbeats
        self._beat = self._heartbeats.worker(name)

    def _run(self) -> None:
        while not self._inbox.ended():
            self._beat()
            taken = self._inbox.take()
            if taken is None:
                continue
            session, unit = taken
            try:
                if unit is not None:
                    self._prepare(unit)
                else:
                    self._preparer.forget(session)
            finally:
                self._inbox.served(session)
        self._heartbeats.retire(self.thread.name)

    def _prepare(self, unit: EncodingUnit) -> None:
        began_ns = self._clock.monotonic_ns()
        with self._crash_journal.working_on(unit.sources):
            prepared = prepare_unit(self._preparer, unit)
        seconds = (self._clock.monotonic_ns() - began_ns) / NS_PER_S
        self._metrics.inference(LANES.get(unit.task, unit.modality), "prepare", seconds)
        if prepared is None or isinstance(prepared, Voice):
            self._finish(unit, prepared)
            return
        if not prepared.rows:
            self._finish(unit, no_features(prepared, seconds * 1e3))
            return
        rows, sources = prepared.rows, unit.sources
        done = partial(self._encoded, unit, prepared, began_ns)
        self._compute(unit, DeviceRequest(rows, len(rows), done, sources))

    def _encoded(self, unit: EncodingUnit, prepared: UnitRows, began_ns: int, result: Any, _: float) -> None:
        if result is None:  # the device is broken: another process will encode it
            self._metrics.dropped(unit.modality, DropReason.INFERENCE)
            self._finish(unit, None)
            return
        if isinstance(result, BadRow):
            unit.damage = uncomputable(result)
            self._finish(unit, None)
            return
        if isinstance(result, Transcript | Untranscribed):
            self._finish(unit, result)
            return
        encode_ms = (self._clock.monotonic_ns() - began_ns) / NS_PER_MS
        self._finish(unit, unit_features(prepared, result, encode_ms))

    def _finish(self, unit: EncodingUnit, result: UnitFeatures | Voice | Transcript | Untranscribed | None) -> None:
        unit.result = result
        self._done(unit)
