"""Dynamic batching of device calls, and the device thread.

Rows of one kind wait in a lane until a batch is full or the oldest has waited long enough. The trade-off: a larger
batch costs less per row, a longer wait costs every row its delay. So a batch runs as soon as it is full, and when it is
not, `max_delay` after its oldest row came. One device thread serves all lanes, first the one listed first, so that the
accelerator is touched by nobody else and work of one kind cannot starve the last step.

A batch that fails is run again row by row, so that one bad row costs only itself. Where no row of it can be computed,
the device gets rows that are known to be good: if it computes those, the rows were at fault; if not, the batch
is tried again, and after three times the device is broken: only a new process cures a poisoned accelerator context.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from daemon.scoring.results import BadRow
from daemon.telemetry.instruments import Instruments
from streams.clock import NS_PER_S
from streams.coordinates import Coordinates
from streams.deadline import Deadline
from streams.delivery.crash_journal import CrashJournal

log = structlog.get_logger(__name__)

_BROKEN_AFTER = 3  # tries of a batch, none of which the device could compute, nor good rows
_NAP_S = 1.0  # how often an idle device thread shows that it is alive


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """One entry of a lane: a payload to compute, and a callback.

    rows: how many the payload counts for. `done` is called on the device thread with the result (a `BadRow` where the
    row is at fault, None where the device is broken) and the seconds the device call took.
    """

    payload: Any
    rows: int
    done: Callable[[Any, float], None]
    sources: tuple[Coordinates, ...] = ()
    """Where the records of a log lie that the payload was made of."""


@dataclass(slots=True)
class BatchLane:
    """A queue that feeds one kind of device call.

    `compute` returns one result for each payload, a `BadRow` for one whose result is not finite.
    """

    name: str
    phase: str
    compute: Callable[[Sequence[Any]], Sequence[Any]]
    max_rows: int
    max_delay_s: float
    waiting: deque[tuple[int, DeviceRequest]] = field(default_factory=deque)
    rows: int = 0

    def depth(self) -> float:
        """Rows that wait."""
        return self.rows

    def due_in_s(self, now_ns: int) -> float | None:
        """Seconds until a batch is due; None when the lane is empty."""
        if not self.waiting:
            return None
        if self.rows >= self.max_rows:
            return 0.0
        return max(0.0, self.max_delay_s - (now_ns - self.waiting[0][0]) / NS_PER_S)

    def take_batch(self) -> list[DeviceRequest]:
        """The oldest entries, up to `max_rows` rows, at least one entry."""
        batch, rows = [self.waiting.popleft()[1]], 0
        rows = batch[0].rows
        while self.waiting and rows + self.waiting[0][1].rows <= self.max_rows:
            batch.append(self.waiting.popleft()[1])
            rows += batch[-1].rows
        self.rows -= rows
        return batch


class DeviceThread:
    """A thread that serves lanes: the only one that touches their networks."""

    def __init__(
        self,
        lanes: Sequence[BatchLane],
        instruments: Instruments,
        try_device: Callable[[], None],
        crash_journal: CrashJournal | None = None,
        name: str = "device",
    ) -> None:
        """try_device: computes rows known to be good; raises if it cannot.

        crash_journal: notes the records that are being computed. name: of the thread.
        """
        self._crash_journal = crash_journal or CrashJournal(None, instruments.clock)
        self._lanes = {lane.name: lane for lane in lanes}
        self._clock = instruments.clock
        self._metrics = instruments.metrics
        self._heartbeats = instruments.heartbeats
        self._beat = self._heartbeats.worker(name)
        self._changed = threading.Condition()
        self._stopping = False
        self._failed_in_a_row = 0
        self._try_device = try_device
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        for lane in lanes:
            self._metrics.watch_channel(f"lane.{lane.name}", lane.depth)

    def start(self) -> None:
        """Begins to serve the lanes."""
        self._thread.start()

    @property
    def broken(self) -> bool:
        """Whether the device computes nothing any more."""
        return self._failed_in_a_row >= _BROKEN_AFTER

    def submit(self, lane: str, work: DeviceRequest) -> None:
        """Adds one entry to a lane; any thread may call; never blocks."""
        with self._changed:
            self._lanes[lane].waiting.append((self._clock.monotonic_ns(), work))
            self._lanes[lane].rows += work.rows
            self._changed.notify()

    def stop(self, deadline: Deadline) -> None:
        """Ends the thread after the current batch; the rest is not computed."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(deadline.remaining_s)

    def _run(self) -> None:
        while (due := self._next()) is not None:
            self._compute(*due)
            self._beat()
        self._heartbeats.retire(self._thread.name)

    def _next(self) -> tuple[BatchLane, list[DeviceRequest]] | None:
        with self._changed:
            while not self._stopping:
                self._beat()
                now_ns = self._clock.monotonic_ns()
                soonest_s = _NAP_S
                for lane in self._lanes.values():
                    due_in_s = lane.due_in_s(now_ns)
                    if due_in_s == 0.0:
                        waited_s = (now_ns - lane.waiting[0][0]) / NS_PER_S
                        batch = lane.take_batch()
                        self._metrics.batch(lane.name, sum(work.rows for work in batch), waited_s)
                        return lane, batch
                    soonest_s = min(soonest_s, _NAP_S if due_in_s is None else due_in_s)
                self._changed.wait(soonest_s)
        return None

    def _compute(self, lane: BatchLane, batch: list[DeviceRequest]) -> None:
        began_ns = self._clock.monotonic_ns()
        with self._crash_journal.working_on([source for work in batch for source in work.sources]):
            results = self._results(lane, [work.payload for work in batch])
        seconds = (self._clock.monotonic_ns() - began_ns) / NS_PER_S
        self._metrics.inference(lane.name, lane.phase, seconds)
        for work, result in zip(batch, results, strict=True):
            work.done(result, seconds)

    def _results(self, lane: BatchLane, payloads: list[Any]) -> Sequence[Any]:
        while not self.broken:
            try:
                results: Sequence[Any] = lane.compute(payloads)
            except Exception as error:  # whatever a model raises, the service goes on
                results = self._one_by_one(lane, payloads, error)
            self._count_bad(lane, results)
            if not all(isinstance(result, BadRow) for result in results) or self._computes_good_rows():
                self._failed_in_a_row = 0
                return results
            self._failed_in_a_row += 1
            self._beat()
        return [None] * len(payloads)

    def _one_by_one(self, lane: BatchLane, payloads: list[Any], error: Exception) -> list[Any]:
        self._metrics.inference_failed(type(error).__name__)
        log.error("a batch failed", lane=lane.name, rows=len(payloads), error=error)
        if len(payloads) == 1:
            return [BadRow(type(error).__name__)]
        results: list[Any] = []
        for payload in payloads:
            self._beat()
            try:
                results += lane.compute([payload])
            except Exception as row_error:  # it costs this row only
                results.append(BadRow(type(row_error).__name__))
        return results

    def _count_bad(self, lane: BatchLane, results: Sequence[Any]) -> None:
        for bad in [result for result in results if isinstance(result, BadRow)]:
            self._metrics.inference_failed(bad.reason)
            log.error("a row could not be computed", lane=lane.name, reason=bad.reason)

    def _computes_good_rows(self) -> bool:
        """Whether the device computes rows that are known to be good."""
        try:
            self._try_device()
        except Exception as error:  # whatever a driver raises means that it does not
            self._metrics.inference_failed(type(error).__name__)
            log.error("the device does not compute good rows either", error=error)
            return False
        return True
