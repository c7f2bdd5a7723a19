"""The publish thread: groups of scored windows through the sinks, and what the ledger is told."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from daemon.scoring.prediction_builder import PredictionSettings
from daemon.scoring.publisher import Publisher
from daemon.scoring.results import BadRow, ScoredWindow
from daemon.telemetry.heartbeats import OVERDUE_S
from daemon.telemetry.instruments import Instruments
from models.labels import EMOTIONS
from models.scores import NO_RISK, Abstention, ModalityScores, Scores
from streams.alignment.timeline_config import SEGMENTS
from streams.alignment.windows import WindowGrid
from streams.clock import NS_PER_S, ManualClock
from streams.coordinates import Coordinates, Partition
from streams.delivery.ledger import Ledger, SessionLease
from streams.predictions import ModelRef, Prediction
from streams.reasons import DeadLetterReason
from streams.records import MEDIA, Modality, RejectedRecord
from streams.sinks.base import DeadLetterSink, Outgoing, Sink, SinkBlockedError, SinkError, TransactionalSink
from tests.daemon.making import Told, counted, deadline, evidence, instruments, unit, window

pytestmark = pytest.mark.unit

PUBLICATION = PredictionSettings(
    ModelRef(name="test", version="1", digest="sha256:aa"), "call-centre", False, 5.0, SEGMENTS
)
GRID = WindowGrid(4 * NS_PER_S, NS_PER_S)
TEXT = Partition("text", 0)

Published = tuple[Prediction | None, bytes]


@dataclass
class Kept:
    """Keeps what it is given, and settles it at the flush; refuses or is away as a test says."""

    name: str = "kept"
    refuses: Exception | None = None
    fails_to_close: bool = False
    answers: list[Callable[[], bool]] = field(default_factory=list)
    """What the next flushes do, before all others settle at once."""
    lines: list[bytes] = field(default_factory=list)
    letters: list[RejectedRecord] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    """How many lines there were at each flush that settled."""
    closed: bool = False

    def publish(self, prediction: Prediction, line: bytes) -> None:
        if self.refuses:
            raise self.refuses
        self.lines.append(line)

    def dead_letter(self, letter: RejectedRecord) -> None:
        self.letters.append(letter)

    def flush(self, timeout_s: float) -> bool:
        if self.answers:
            return self.answers.pop(0)()
        self.groups.append(len(self.lines))
        return True

    def close(self) -> None:
        self.closed = True
        if self.fails_to_close:
            raise SinkError(f"{self.name}: the disk is full")


@dataclass
class KeptTogether:
    """A sink with transactions: settles a group as a test says, else as wholly delivered."""

    name: str = "transactions"
    answers: list[Callable[[], Sequence[bool] | None]] = field(default_factory=list)
    groups: list[list[Outgoing | RejectedRecord]] = field(default_factory=list)
    closed: bool = False

    def commit(self, group: Sequence[Outgoing | RejectedRecord], timeout_s: float) -> Sequence[bool] | None:
        self.groups.append(list(group))
        return self.answers.pop(0)() if self.answers else [True] * len(group)

    def close(self) -> None:
        self.closed = True


@dataclass
class Running:
    publisher: Publisher
    told: Told[Published]
    instruments: Instruments
    ledger: Ledger
    clock: ManualClock

    def stop(self) -> None:
        self.publisher.stop(deadline(self.clock))

    def needed(self) -> list[int]:
        """Offsets that would be read again, by what a checkpoint says."""
        return [position.offset for position in self.ledger.checkpoint().values()]


def prepared(*sinks: Sink, transactions: TransactionalSink | None = None) -> Running:
    """A publisher that is not started yet: what is submitted before it is becomes one group."""
    of, told, ledger = instruments(), Told[Published](), Ledger(GRID)
    clock = of.clock
    assert isinstance(clock, ManualClock)
    publisher = Publisher(PUBLICATION, sinks, lambda p, line: told((p, line)), of, ledger, transactions)
    return Running(publisher, told, of, ledger, clock)


def running(*sinks: Sink, transactions: TransactionalSink | None = None) -> Running:
    on = prepared(*sinks, transactions=transactions)
    on.publisher.start()
    return on


PEAKED = (0.1, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1)


def scores(abstained: Abstention | None = None) -> Scores:
    modality = {m.value: ModalityScores(True, 0.25, PEAKED) for m in MEDIA}
    return Scores(PEAKED, None if abstained else EMOTIONS[1], 0.3, 0.2, 1.7, modality, NO_RISK, abstained)


def scored(at_s: float = 0.0, answer: Scores | None = None, lease: SessionLease | None = None) -> ScoredWindow:
    closed = window(unit(text="hello", result=evidence(1.0)), at_s=at_s)
    return ScoredWindow(replace(closed, lease=lease, index=round(at_s)), answer or scores(), 0.0, 0.0)


def leased(on: Running, windows: int = 1) -> SessionLease:
    """A session of a log with one record, at offset 7, that windows 0 to `windows` - 1 need, all handed on."""
    lease = on.ledger.lease(on.ledger.assigned(0, {TEXT: 7}, {}), "room")
    on.ledger.read(TEXT, [(7, 100)])
    on.ledger.retain(lease, Coordinates(TEXT, 7, 0), windows - 1)
    for index in range(windows):
        on.ledger.submitted(lease, index)
    on.ledger.advance(lease, windows)
    return lease


def letter(on: Running, size_bytes: int = 3) -> RejectedRecord:
    """A record of a log, at offset 7, that could not be used."""
    on.ledger.assigned(0, {TEXT: 7}, {})
    on.ledger.read(TEXT, [(7, size_bytes)])
    return RejectedRecord(
        Modality.TEXT,
        bytes(size_bytes),
        0,
        Coordinates(TEXT, 7, 0),
        DeadLetterReason.INVALID_UTF8,
        "byte 0 is not UTF-8",
    )


# Groups.


def test_every_sink_gets_every_prediction_in_order_and_is_closed_at_the_end() -> None:
    one, two = Kept("one"), Kept("two")
    on = running(one, two)
    for at_s in range(3):
        on.publisher.submit(scored(at_s))
    on.stop()
    told = on.told.many(3)
    assert one.lines == two.lines == [line for _, line in told]
    assert [prediction.window.start for prediction, _ in told if prediction] == [
        f"2000-01-01T00:00:0{second}Z" for second in range(3)
    ]
    assert one.closed
    assert two.closed
    assert counted(on.instruments, "predictions_total") == 3
    assert not on.publisher.undelivered


def test_all_that_is_ready_leaves_as_one_group() -> None:
    sink = Kept()
    on = prepared(sink)
    for at_s in range(20):
        on.publisher.submit(scored(at_s))
    on.publisher.start()
    on.told.many(20)
    on.stop()
    assert sink.groups[0] == 20


def test_a_group_is_bounded() -> None:
    sink = Kept()
    on = prepared(sink)
    for at_s in range(300):
        on.publisher.submit(scored(at_s))
    on.publisher.start()
    on.told.many(300)
    on.stop()
    assert sink.groups[:2] == [256, 300]


def test_a_group_is_bounded_by_the_bytes_of_its_dead_letters_too() -> None:
    sink = Kept()
    on = prepared(sink)
    large = letter(on, 5 * 2**20)
    for at_s in range(3):
        on.publisher.submit_dead_letter(large)
        on.publisher.submit(scored(at_s))
    on.publisher.start()
    on.told.many(3)
    on.stop()
    assert sink.groups[0] == 1  # the second letter is more than eight MiB


def test_no_window_is_done_before_every_sink_has_settled_its_group() -> None:
    slow = Kept("slow")
    on = prepared(Kept("quick"), slow)
    told_before_settled: list[bool] = []

    def away() -> bool:
        told_before_settled.append(not on.told.nothing_more())
        return False

    slow.answers = [away] * 3
    on.publisher.submit(scored(0))
    on.publisher.submit(scored(1))
    on.publisher.start()
    assert len(on.told.many(2)) == 2
    on.stop()
    assert told_before_settled == [False] * 3


# What goes wrong.


@pytest.mark.parametrize("error", [SinkError("the disk is full"), ValueError("a fault of ours")], ids=repr)
def test_a_sink_that_refuses_is_counted_and_the_others_still_get_the_prediction(error: Exception) -> None:
    full, well = Kept("full", refuses=error), Kept("well")
    on = running(full, well)
    on.publisher.submit(scored(0))
    on.publisher.submit(scored(1))
    on.stop()
    assert len(well.lines) == 2
    assert counted(on.instruments, "publish_errors_total") == on.publisher.refused == 2
    assert not on.publisher.undelivered  # both were settled
    assert all(prediction is not None for prediction, _ in on.told.many(2))


def raising(error: Exception) -> Callable[[], bool]:
    def answer() -> bool:
        raise error

    return answer


def test_a_refusal_at_the_flush_is_counted_and_the_rest_is_waited_for() -> None:
    sink = Kept(answers=[raising(SinkError("too large")), raising(SinkError("too large")), lambda: False])
    on = running(sink)
    on.publisher.submit(scored())
    assert on.told.next()[0] is not None
    on.stop()
    assert counted(on.instruments, "publish_errors_total") == on.publisher.refused == 2
    assert not on.publisher.undelivered  # both were settled


def test_a_sink_that_was_blocked_and_delivered_in_the_end_has_failed_nothing() -> None:
    on = running(Kept(answers=[raising(SinkBlockedError("not authorised"))]))
    on.publisher.submit(scored())
    assert on.told.next()[0] is not None
    on.stop()
    assert counted(on.instruments, "publish_blocked_total") == 1
    assert counted(on.instruments, "publish_errors_total") == on.publisher.refused == 0
    assert not on.publisher.undelivered


def test_each_prediction_is_measured_from_when_it_was_handed_over_however_late_its_group_is_settled() -> None:
    sink = Kept()
    on = prepared(sink)

    def away() -> bool:
        on.clock.advance(2.0)
        return False

    sink.answers = [away]
    on.publisher.submit(scored(0))
    on.clock.advance(5.0)
    on.publisher.submit(scored(1))
    on.publisher.start()
    on.told.many(2)
    on.stop()
    assert counted(on.instruments, "publish_seconds_sum") == pytest.approx((5.0 + 2.0) + 2.0)
    assert counted(on.instruments, "publish_seconds_bucket", le="5.0") == 1


def test_a_broker_that_is_away_for_minutes_leaves_the_thread_alive_and_loses_nothing() -> None:
    sink = Kept()
    on = prepared(sink)
    ages: list[float] = []

    def away() -> bool:
        ages.append(on.instruments.heartbeats.age_s("publish"))
        on.clock.advance(1.0)
        return False

    sink.answers = [away] * 300
    on.publisher.start()
    on.publisher.submit(scored())
    assert on.told.next()[0] is not None
    on.stop()
    assert len(ages) == 300
    assert max(ages) <= 1.0 < OVERDUE_S
    assert not on.publisher.undelivered


def test_what_is_not_acknowledged_at_the_deadline_is_given_up_and_reported() -> None:
    sink = Kept()
    on = prepared(sink)

    def away() -> bool:
        sink.answers.append(away)
        on.clock.advance(1.0)
        return False

    sink.answers = [away]
    on.publisher.submit(scored(lease=leased(on)))
    on.publisher.start()
    on.stop()
    assert on.publisher.undelivered
    assert on.told.nothing_more()
    assert on.needed() == [7]
    assert sink.closed
    assert on.instruments.heartbeats.names() == []


def test_a_sink_that_fails_to_close_is_counted_and_the_others_are_closed() -> None:
    full, well = Kept("full", fails_to_close=True), Kept("well")
    on = running(full, well)
    on.publisher.submit(scored())
    on.stop()
    assert well.closed
    assert on.publisher.undelivered
    assert on.instruments.heartbeats.names() == []


def test_a_window_without_scores_is_told_to_be_done_and_not_published() -> None:
    sink = Kept()
    on = running(sink)
    on.publisher.submit(replace(scored(), scores=BadRow("not_finite")))
    assert on.told.next() == (None, b"")
    on.stop()
    assert sink.lines == []
    assert counted(on.instruments, "predictions_total") == 0
    assert counted(on.instruments, "windows_dropped_total", reason="inference") == 1


def test_scores_that_the_schema_refuses_cost_that_window_only() -> None:
    sink = Kept()
    on = running(sink)
    on.publisher.submit(scored(0, replace(scores(), valence=float("nan"))))
    on.publisher.submit(scored(1))
    assert on.told.next() == (None, b"")
    assert on.told.next()[0] is not None
    on.stop()
    assert len(sink.lines) == 1
    assert not on.publisher.undelivered
    assert counted(on.instruments, "publish_errors_total") == 1


def test_abstentions_are_counted() -> None:
    on = running()
    on.publisher.submit(scored(0))
    on.publisher.submit(scored(1, scores(abstained=Abstention.NO_EVIDENCE)))
    on.stop()
    assert counted(on.instruments, "risk_level_total", level="none") == 2
    assert counted(on.instruments, "abstentions_total", reason="no_evidence") == 1


# The ledger.


def test_a_record_is_needed_until_its_last_window_is_acknowledged() -> None:
    sink = Kept()
    on = prepared(sink)
    needed_while_away: list[int] = []

    def away() -> bool:
        needed_while_away.extend(on.needed())
        return False

    sink.answers = [away] * 2
    lease = leased(on, windows=2)
    on.publisher.submit(scored(0, lease=lease))
    on.publisher.submit(scored(1, lease=lease))
    on.publisher.start()
    on.told.many(2)
    on.stop()
    assert needed_while_away == [7, 7]
    assert on.needed() == [8]


def test_a_window_that_is_another_instances_now_is_not_published_and_told_to_be_done() -> None:
    sink = Kept()
    on = running(sink)
    lease = leased(on)
    on.ledger.revoked([0])
    on.publisher.submit(scored(lease=lease))
    assert on.told.next() == (None, b"")
    on.stop()
    assert sink.lines == []
    assert not on.publisher.undelivered


def test_a_window_that_the_schema_refuses_holds_up_no_checkpoint() -> None:
    on = running()
    on.publisher.submit(scored(0, replace(scores(), valence=float("nan")), leased(on)))
    on.told.next()
    on.stop()
    assert on.needed() == [8]


def test_a_window_that_a_working_device_cannot_score_holds_up_no_checkpoint() -> None:
    on = running()
    on.publisher.submit(replace(scored(lease=leased(on)), scores=BadRow("ValueError")))
    on.told.next()
    assert on.needed() == [8]
    on.stop()


def test_what_a_broken_device_could_not_score_is_left_to_another_process() -> None:
    on = running()
    lease = leased(on, windows=2)
    for at_s in range(2):
        on.publisher.submit(replace(scored(at_s, lease=lease), scores=None))
    on.told.many(2)
    on.stop()
    assert on.needed() == [7]


def test_a_dead_letter_goes_to_the_sinks_that_keep_them_and_is_released_when_it_is_acknowledged() -> None:
    keeps = Kept()
    on = prepared(keeps)
    needed_while_away: list[int] = []

    def away() -> bool:
        needed_while_away.extend(on.needed())
        return False

    keeps.answers = [away]
    dead_letter = letter(on)
    on.publisher.submit_dead_letter(dead_letter)
    on.publisher.start()
    on.stop()
    assert isinstance(keeps, DeadLetterSink)
    assert keeps.letters == [dead_letter]
    assert needed_while_away == [7]
    assert on.needed() == [8]


def test_a_dead_letter_that_nobody_keeps_is_released() -> None:
    on = running()
    on.publisher.submit_dead_letter(letter(on))
    on.stop()
    assert on.needed() == [8]


# Transactions.


def test_the_transaction_comes_after_every_other_sink_has_settled() -> None:
    plain, together = Kept(), KeptTogether()
    settled_before: list[list[int]] = []

    def first() -> None:
        settled_before.append(list(plain.groups))

    together.answers = [first, lambda: [True]]
    on = prepared(plain, transactions=together)
    on.publisher.submit(scored())
    on.publisher.start()
    on.told.next()
    on.stop()
    assert settled_before == [[1]]
    assert together.groups[0] == together.groups[1]
    assert together.closed


def test_what_the_transaction_left_out_is_done_but_not_published() -> None:
    on = prepared(transactions=KeptTogether(answers=[lambda: [False, True]]))
    on.publisher.submit(scored(0))
    on.publisher.submit(scored(1))
    on.publisher.start()
    assert on.told.next() == (None, b"")
    assert on.told.next()[0] is not None
    on.stop()
    assert counted(on.instruments, "predictions_total") == 1


def test_the_ledger_is_left_to_the_transaction() -> None:
    on = prepared(transactions=KeptTogether())
    on.publisher.submit(scored(lease=leased(on)))
    on.publisher.start()
    on.told.next()
    on.stop()
    assert on.needed() == [7]


def test_the_checkpoint_alone_is_seen_to_at_the_end_and_its_failure_is_no_loss() -> None:
    together = KeptTogether()
    on = prepared(transactions=together)

    def no_member() -> None:
        together.answers.append(no_member)
        on.clock.advance(1.0)

    together.answers = [no_member]
    on.publisher.start()
    on.stop()
    assert together.groups[0] == []
    assert together.closed
    assert not on.publisher.undelivered


@pytest.mark.parametrize("live", [True, False])
def test_delays_are_told_of_what_happens_now_and_not_of_a_replay_or_a_backlog(live: bool) -> None:
    on = running(Kept())
    one = scored()
    on.publisher.submit(replace(one, window=replace(one.window, live=live)))
    on.stop()
    assert counted(on.instruments, "predictions_total") == 1
    for name in ("end_to_end_seconds_count", "processing_seconds_count"):
        assert counted(on.instruments, name) == live


def test_whoever_publishes_imports_no_torch() -> None:
    loads = "import sys, daemon.scoring.publisher; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loads], check=False, timeout=60).returncode == 0
