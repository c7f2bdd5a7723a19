"""The publish thread: writes predictions to sinks, in groups.

A group is all that is ready. Every sink gets all of it and is then waited for; only when each has settled it are the
windows done, and their records released in the ledger. So one round trip serves a whole group,
nothing is committed that was not delivered, and a sink that can deliver nothing for now holds back what comes after:
the timeline has only so many windows in flight, and takes no more items.

A prediction that a sink refuses is counted and the others still get it. Where there are transactions they come last and
release records in the ledger themselves (`streams.sinks.base.TransactionalSink`).
"""

import queue
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import structlog

from daemon.scoring.blocked_sinks import BlockedSinks
from daemon.scoring.prediction_builder import PredictionSettings, build_prediction
from daemon.scoring.results import BadRow, ScoredWindow
from daemon.telemetry.instruments import Instruments
from models.scores import Abstention, RiskLevel
from streams import predictions as wire
from streams.alignment.closed_window import ClosedWindow
from streams.clock import NS_PER_S
from streams.deadline import Deadline
from streams.delivery.ledger import Ledger
from streams.formats.rfc3339 import format_ns
from streams.records import MEDIA, RejectedRecord
from streams.redaction import redacted_error
from streams.sinks.base import DeadLetterSink, Outgoing, Sink, SinkBlockedError, SinkError, TransactionalSink

log = structlog.get_logger(__name__)

_NAP_S = 1.0  # how often an idle publish thread shows that it is alive, and sees to the checkpoint
_WAIT_S = 0.5  # for a sink, before showing that the thread is alive
_MOST_IN_GROUP = 256  # a transaction or request of some 700 kB; more would gain nothing on the round trip
_MOST_GROUP_BYTES = 8 * 2**20  # of dead letters, which may be pictures

Answer = TypeVar("Answer")


class _Queued(NamedTuple):
    """A window or a rejected record, and when it was queued."""

    what: ScoredWindow | RejectedRecord
    since_ns: int


class Publisher:
    """Publishes scored windows and dead letters.

    Owned by the main thread, but any thread may call `submit` and `submit_dead_letter`. The sinks belong to the publish
    thread.
    """

    def __init__(
        self,
        settings: PredictionSettings,
        sinks: Sequence[Sink],
        published: Callable[[wire.Prediction | None, bytes], None],
        instruments: Instruments,
        ledger: Ledger | None = None,
        transactions: TransactionalSink | None = None,
    ) -> None:
        """published: called on the publish thread with each prediction and its JSON.

        Called with None where a window is done and not published.
        ledger: where windows of a log are accounted for; transactions: for delivery exactly once, beside the `sinks`.
        """
        self._settings = settings
        self._sinks = sinks
        self._published = published
        self._ledger = ledger
        self._transactions = transactions
        self._clock = instruments.clock
        self._metrics = instruments.metrics
        self._heartbeats = instruments.heartbeats
        self._beat = self._heartbeats.worker("publish")
        self._queue: queue.SimpleQueue[_Queued | None] = queue.SimpleQueue()
        self._in_group = 0
        self._deadline: Deadline | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)
        self.blocked_sinks = BlockedSinks(self._clock)
        self.undelivered = False
        """Whether something was not acknowledged before the end, or lost as a sink was closed."""
        self.refused = 0
        """How many things were refused so far, by a sink or by the schema."""
        self._metrics.watch_channel("publish", lambda: self._queue.qsize() + self._in_group)

    def start(self) -> None:
        """Begins to publish."""
        self._thread.start()

    def submit(self, scored: ScoredWindow) -> None:
        """Queues a scored window; never blocks.

        The timeline bounds how many are in flight.
        """
        self._queue.put(_Queued(scored, self._clock.monotonic_ns()))

    def submit_dead_letter(self, letter: RejectedRecord) -> None:
        """Queues a record of a log that is rejected; never blocks.

        The ledger counts its bytes as waiting.
        """
        self._queue.put(_Queued(letter, self._clock.monotonic_ns()))

    def stop(self, deadline: Deadline) -> None:
        """Publishes what is queued, and closes the sinks.

        What is not acknowledged at the deadline is given up.
        """
        self._deadline = deadline.earlier_by(2 * _WAIT_S)  # the wait it may be in, and closing
        self._queue.put(None)
        self._thread.join(deadline.remaining_s)

    def _run(self) -> None:
        while not self._stopping:
            self._beat()
            group = self._take()
            self._in_group = len(group)
            if not self._publish(group):
                self._give_up()
                break
            self._in_group = 0
        self._close()
        self._heartbeats.retire("publish")

    def _close(self) -> None:
        for sink in (*self._sinks, self._transactions):
            try:
                if sink is not None:
                    sink.close()
            except SinkError as error:
                self.undelivered = True
                self._refused(error, sink=sink.name if sink else "")

    def _take(self) -> list[_Queued]:
        """Takes all that is queued, or nothing after a nap."""
        group: list[_Queued] = []
        size_bytes = 0
        while len(group) < _MOST_IN_GROUP and size_bytes < _MOST_GROUP_BYTES:
            try:
                taken = self._queue.get(timeout=0 if group else _NAP_S)
            except queue.Empty:
                break
            if taken is None:
                self._stopping = True
                break
            group.append(taken)
            size_bytes += len(taken.what.payload) if isinstance(taken.what, RejectedRecord) else 0
        return group

    def _publish(self, group: Sequence[_Queued]) -> bool:
        """Publishes a group; False if the deadline has passed before."""
        built = [each.what if isinstance(each.what, RejectedRecord) else self._built(each.what) for each in group]
        delivered = self._deliver([each for each in built if each is not None])
        if delivered is None:
            return False
        remaining = iter(delivered)
        for (what, since_ns), outgoing in zip(group, built, strict=True):
            sent = outgoing is not None and next(remaining)
            if isinstance(what, ScoredWindow):
                self._done(what.window, outgoing if sent and isinstance(outgoing, Outgoing) else None, since_ns)
        return True

    def _built(self, scored: ScoredWindow) -> Outgoing | None:
        """Builds a window's prediction; None where there is none to publish.

        So where it cannot be scored, or is another instance's now.
        """
        window, outgoing = scored.window, None
        if scored.scores is None:  # the device is broken: of a log, another process will score the window
            return None
        if isinstance(scored.scores, BadRow):
            self._metrics.window_dropped("inference")
            log.error("a window cannot be scored", **_named(window))
            self._never_published([window])
            return None
        try:
            if window.lease is None or window.lease.valid:
                prediction = build_prediction(scored, scored.scores, self._settings, self._since_received_s(window))
                outgoing = Outgoing(prediction, prediction.json_line(), window.lease, window.index)
        except Exception as error:  # scores that the schema refuses, or a fault of ours: it costs this window only
            self._refused(error, **_named(window))
        if outgoing is None:
            self._never_published([window])
        return outgoing

    def _never_published(self, windows: Sequence[ClosedWindow]) -> None:
        """Releases the records of windows that will never be published."""
        for window in windows:
            if window.lease is not None and self._ledger is not None:
                self._ledger.delivered(window.lease, window.index)

    def _deliver(self, batch: Sequence[Outgoing | RejectedRecord]) -> Sequence[bool] | None:
        """Which were delivered; None if the deadline passed before all were."""
        for sink in self._sinks:
            self._hand_over(sink, batch)
        for sink in self._sinks:
            if self._settled(sink.name, partial(sink.flush, _WAIT_S)) is None:
                return None
        if self._transactions is None:
            self._account(batch)
            return [True] * len(batch)
        delivered = self._settled(self._transactions.name, partial(self._transactions.commit, batch, _WAIT_S))
        if delivered is None and not batch:
            return []  # it was the checkpoint alone: what it would have saved is computed again
        return delivered

    def _hand_over(self, sink: Sink, batch: Sequence[Outgoing | RejectedRecord]) -> None:
        for each in batch:
            try:
                if isinstance(each, Outgoing):
                    sink.publish(each.prediction, each.line)
                elif isinstance(sink, DeadLetterSink):
                    sink.dead_letter(each)
            except Exception as error:  # a refusal, or a fault of ours: it costs this one only
                self._refused(error, sink=sink.name)

    def _settled(self, name: str, attempt: Callable[[], Answer]) -> Answer | None:
        """Retries a sink until it settles; None if the deadline passes before."""
        since_ns = self._clock.monotonic_ns()
        while True:
            self._beat()
            try:
                answer = attempt()
                if answer is not None and answer is not False:
                    self.blocked_sinks.delivers(name)
                    return answer
                self.blocked_sinks.waits(name, since_ns)
            except SinkBlockedError as error:
                self._metrics.publish_blocked()
                self.blocked_sinks.fails(name, since_ns, redacted_error(error))
            except SinkError as error:
                self._refused(error, sink=name)
            if self._deadline is not None and self._deadline.has_passed:
                return None

    def _account(self, batch: Sequence[Outgoing | RejectedRecord]) -> None:
        """Releases the records of what is delivered."""
        if self._ledger is None:
            return
        for each in batch:
            if isinstance(each, RejectedRecord):
                self._ledger.release(each.coordinates)
            elif each.lease is not None:
                self._ledger.delivered(each.lease, each.index)

    def _done(self, window: ClosedWindow, outgoing: Outgoing | None, since_ns: int) -> None:
        """Counts a window that was queued at `since_ns`, and calls back."""
        if outgoing is None:
            self._published(None, b"")
            return
        prediction = outgoing.prediction
        self._metrics.published((self._clock.monotonic_ns() - since_ns) / NS_PER_S)
        for modality in MEDIA:
            self._metrics.coverage(modality, getattr(prediction.modalities, modality).coverage)
        abstention = Abstention(prediction.abstained.reason) if prediction.abstained else None
        self._metrics.prediction(RiskLevel(prediction.risk.level), abstention)
        if window.live:  # of stored windows there is no delay to measure
            end_to_end_s = max(0.0, (self._clock.wall_ns() - window.end_ns) / NS_PER_S)
            self._metrics.delivered(end_to_end_s, self._since_received_s(window))
        self._published(prediction, outgoing.line)

    def _since_received_s(self, window: ClosedWindow) -> float:
        last_received_ns = max((u.received_ns for units in window.units.values() for u in units), default=0)
        return max(0.0, (self._clock.wall_ns() - last_received_ns) / NS_PER_S)

    def _give_up(self) -> None:
        """Leaves the rest unpublished; of a log it will be read again."""
        self.undelivered = True
        log.error("not acknowledged before the end", waiting=self._in_group + self._queue.qsize())

    def _refused(self, error: Exception, **what: object) -> None:
        self.refused += 1
        self._metrics.publish_failed()
        log.error("a prediction was refused", error=type(error).__name__, why=error, **what)


def _named(window: ClosedWindow) -> dict[str, object]:
    """Names a window for the log.

    Of sessions of a log by partition, since session names must not be logged.
    """
    where = {"session": window.session} if window.lease is None else {"partition": window.lease.assignment.number}
    return {"start": format_ns(window.start_ns), **where}
