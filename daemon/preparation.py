"""From a unit to rows for the device: CPU work in a few threads, each session always in the same one.

A session keeps to one worker, so that its units are prepared in order and what is remembered between them (which face
is being followed) is owned by one thread and needs no lock. The pool hands the rows to the lane of their modality; a
unit without rows (no face, no voice) is done at once.
"""

import queue
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from daemon.instruments import Instruments
from daemon.lanes import BadRow, DeviceThread, Work
from streams.clock import NS_PER_MS, NS_PER_S
from streams.events import Unit
from streams.pictures import BadPicture
from streams.records import Modality
from streams.sound import BadSound

_NAP_S = 1.0  # how often an idle worker shows that it is alive


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows for the modality's encoder, and what is worth telling of the unit's quality."""

    rows: Sequence[Any]
    quality: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Evidence:
    """An encoded unit: embedding (rows, width) and weight (rows,) float32 on the CPU, and how long encoding took."""

    embedding: torch.Tensor
    weight: torch.Tensor
    quality: Mapping[str, float]
    encode_ms: float


def with_evidence(units: Iterable[Unit]) -> list[tuple[Unit, Evidence]]:
    """The encoded units that gave any evidence, each with it; the others saw no face, heard no voice, or failed."""
    return [(unit, unit.result) for unit in units if isinstance(unit.result, Evidence) and len(unit.result.weight)]


class Preparer(Protocol):
    """The CPU work of one modality. Owned by one worker thread."""

    def prepare(self, unit: Unit) -> Prepared:
        """Rows of one unit, none where there is no evidence; BadPicture or BadSound if it turns out to be damaged."""
        ...

    def forget(self, session: str) -> None:
        """The session is over: frees what is remembered of it."""
        ...


class PreparationPool:
    """Workers that prepare units and hand their rows on. `submit` and `forget` may be called from any thread."""

    def __init__(
        self,
        workers: Sequence[Mapping[Modality, Preparer]],
        device: DeviceThread,
        done: Callable[[Unit], None],
        instruments: Instruments,
    ) -> None:
        """workers: the preparers of each worker. done: told of every unit when it is encoded, or given up."""
        self._workers = [
            _Worker(f"prepare-{number}", preparers, device, done, instruments)
            for number, preparers in enumerate(workers)
        ]
        instruments.metrics.watch_channel("prepare", lambda: sum(worker.depth() for worker in self._workers))

    def start(self) -> None:
        """Starts the workers."""
        for worker in self._workers:
            worker.thread.start()

    def submit(self, unit: Unit) -> None:
        """Queues one unit; never blocks."""
        self._of(unit.session).inbox.put(unit)

    def forget(self, session: str) -> None:
        """Frees what the session's worker remembers of it, after its units."""
        self._of(session).inbox.put(session)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Ends the workers after what they have queued."""
        for worker in self._workers:
            worker.inbox.put(None)
        for worker in self._workers:
            worker.thread.join(timeout_s)

    def _of(self, session: str) -> "_Worker":
        return self._workers[zlib.crc32(session.encode()) % len(self._workers)]


class _Worker:
    def __init__(
        self,
        name: str,
        preparers: Mapping[Modality, Preparer],
        device: DeviceThread,
        done: Callable[[Unit], None],
        instruments: Instruments,
    ) -> None:
        self.inbox: queue.SimpleQueue[Unit | str | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._preparers = preparers
        self._device = device
        self._done = done
        self._clock = instruments.clock
        self._metrics = instruments.metrics
        self._heartbeats = instruments.heartbeats
        self._beat = self._heartbeats.worker(name)

    def depth(self) -> int:
        return self.inbox.qsize()

    def _run(self) -> None:
        while True:
            self._beat()
            try:
                entry = self.inbox.get(timeout=_NAP_S)
            except queue.Empty:
                continue
            match entry:
                case None:
                    break
                case Unit():
                    self._prepare(entry)
                case session:
                    for preparer in self._preparers.values():
                        preparer.forget(session)
        self._heartbeats.retire(self.thread.name)

    def _prepare(self, unit: Unit) -> None:
        began_ns = self._clock.monotonic_ns()
        try:
            prepared = self._preparers[unit.modality].prepare(unit)
        except (BadPicture, BadSound) as error:
            self._set_aside(unit, error.reason, str(error))
            return
        except Exception as error:  # a fault of ours, or bytes nobody thought of: it costs this unit only
            self._set_aside(unit, "internal", f"{type(error).__name__}: {error}")
            return
        finally:
            seconds = (self._clock.monotonic_ns() - began_ns) / NS_PER_S
            self._metrics.inference(unit.modality, "prepare", seconds)
        if not prepared.rows:
            self._finish(unit, Evidence(torch.zeros(0, 0), torch.zeros(0), prepared.quality, seconds * 1e3))
            return
        work = Work(
            prepared.rows, len(prepared.rows), lambda result, _: self._encoded(unit, prepared, result, began_ns)
        )
        self._device.submit(unit.modality, work)

    def _encoded(self, unit: Unit, prepared: Prepared, result: Any, began_ns: int) -> None:
        if result is None:  # the device is broken: another process will encode it
            self._metrics.dropped(unit.modality, "inference")
            self._finish(unit, None)
            return
        if isinstance(result, BadRow):
            self._set_aside(unit, "inference", f"the model cannot compute it: {result.reason}")
            return
        embedding, weight = result
        encode_ms = (self._clock.monotonic_ns() - began_ns) / NS_PER_MS
        self._finish(unit, Evidence(embedding, weight, prepared.quality, encode_ms))

    def _finish(self, unit: Unit, evidence: Evidence | None) -> None:
        unit.result = evidence
        self._done(unit)

    def _set_aside(self, unit: Unit, reason: str, why: str) -> None:
        unit.damage = reason, why
        self._finish(unit, None)
