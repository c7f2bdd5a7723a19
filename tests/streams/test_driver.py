"""From items of sources to encoding units and closed windows, and what becomes of records that cannot be used."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from streams.alignment import driver as driver_module
from streams.alignment.driver import AlignmentDriver, RecordCounts
from streams.alignment.sessions import Sessions
from streams.clock import ManualClock
from streams.coordinates import Coordinates, Partition
from streams.decoding.decode import Limits
from streams.delivery.crash_journal import CrashJournal
from streams.delivery.ledger import Ledger
from streams.events import EncodingUnit, Line
from streams.reasons import DeadLetterReason
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
from tests.streams.making import Counts, config, ns, seconds, span_ns
from tests.streams.test_crash_journal import dies_at_work

TEXT = Partition("text", 0)


class RejectionCounts(Counts):
    """Also counts dead letters by reason, and decoded records."""

    def dead_letter(self, reason: DeadLetterReason) -> None:
        self.of["dead letter", reason] += 1

    def decoded(self, modality: Modality, seconds: float) -> None:
        self.of["decoded", modality] += 1


@dataclass
class Driven:
    """A driver whose units are all encoded at once."""

    crash_journal: CrashJournal | None = None
    counts: RejectionCounts = field(default_factory=RejectionCounts)
    clock: ManualClock = field(default_factory=ManualClock)
    ledger: Ledger = field(default_factory=lambda: Ledger(config().grid))
    letters: list[RejectedRecord] = field(default_factory=list)
    units: list[EncodingUnit] = field(default_factory=list)
    closed: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        sessions = Sessions(config(), span_ns(60), self.clock, self.counts, self.ledger)
        self.driver = AlignmentDriver(
            sessions, Limits(), self.clock, self.counts, self.letters.append, crash_journal=self.crash_journal
        )

    def take(self, *items: Item, live: bool = False) -> None:
        for item in items:
            self.encode(self.driver.take(item, "source", live))

    def encode(self, units: list[EncodingUnit]) -> None:
        for unit in units:
            self.units.append(unit)
            self.driver.finish(unit)
        self.closed += [(window.session, seconds(window.start_ns)) for window in self.driver.ready_windows()]


def line(at_s: float, text: bytes = b"hello", session: str = "room", offset: int | None = None) -> Record:
    at = None if offset is None else Coordinates(TEXT, offset, ns(at_s))
    return Record(session, Modality.TEXT, "text/plain", text, ns(at_s), ns(at_s), coordinates=at)


def assigned(on: Driven, records: int = 10) -> Assigned:
    item = Assigned(0, on.ledger.assigned(0, {TEXT: 0}, {}))
    on.ledger.read(TEXT, [(offset, 1) for offset in range(records)])
    return item


def test_records_become_units_and_windows_of_their_session() -> None:
    on = Driven()
    on.take(line(0.5), line(4.2), Progress("room", Modality.TEXT, ns(5)), EndOfSession("room"))
    assert [unit.payload for unit in on.units] == [Line("hello"), Line("hello")]
    assert on.closed == [("room", at) for at in (-3, -2, -1, 0, 1, 2, 3, 4)]
    assert on.driver.counts == RecordCounts(taken=2, refused=0, encoded=2)
    on.encode(on.driver.tick())
    assert on.driver.ended_sessions() == ["room"]


def test_a_drain_closes_every_window() -> None:
    on = Driven()
    on.take(line(0.5))
    on.encode(on.driver.drain())
    assert on.closed == [("room", at) for at in (-3, -2, -1, 0)]


def test_a_log_is_read_while_its_partitions_are_assigned() -> None:
    on = Driven()
    on.take(assigned(on), line(0.5, offset=0), PartitionIdle(TEXT, span_ns(60)))
    on.encode(on.driver.tick())
    assert on.closed == [("room", at) for at in (-3, -2, -1, 0)]
    on.take(Revoked(frozenset({0})), line(9, offset=1))
    assert len(on.units) == 1
    assert on.driver.sessions.state().sessions == 0


def test_at_a_drain_sessions_of_logs_are_left_to_whoever_reads_on() -> None:
    on = Driven()
    on.take(assigned(on), line(0.5, offset=0), line(0.5, session="file"))
    on.driver.leave_logs()
    on.encode(on.driver.drain())
    assert {session for session, _ in on.closed} == {"file"}


@pytest.mark.parametrize(("offset", "letters"), [(None, 0), (0, 1)], ids=["of a device", "of a log"])
def test_a_bad_record_is_counted_and_costs_itself_only(offset: int | None, letters: int) -> None:
    on = Driven()
    on.take(assigned(on), line(0.1, b"\xff", offset=offset), line(0.2, offset=None if offset is None else 1))
    assert len(on.units) == 1
    assert on.counts.of["dead letter", "invalid_utf8"] == 1
    assert on.counts.of["decoded", "text"] == 2
    assert on.driver.counts == RecordCounts(taken=2, refused=1, encoded=1)
    assert [(letter.reason, letter.payload) for letter in on.letters] == [("invalid_utf8", b"\xff")] * letters


def test_an_error_of_ours_costs_the_record_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("nobody thought of it")

    on = Driven()
    on.take(assigned(on))
    monkeypatch.setattr(driver_module, "decode_record", fails)
    on.take(line(0.1, offset=0))
    assert [(letter.reason, letter.why) for letter in on.letters] == [("internal", "RuntimeError")]


def test_a_record_that_the_log_could_not_give_is_dead_lettered_as_it_came() -> None:
    on = Driven()
    rejected = RejectedRecord(Modality.TEXT, b"x", 0, Coordinates(TEXT, 0, 0), DeadLetterReason.MISSING_KEY, "no key")
    on.take(assigned(on), rejected)
    assert on.letters == [rejected]
    assert on.driver.counts == RecordCounts(taken=1, refused=1)


def test_a_record_that_ended_the_process_twice_is_dead_lettered_unread(tmp_path: Path) -> None:
    record = line(0.1, offset=0)
    assert record.coordinates is not None
    for _ in range(2):
        dies_at_work(tmp_path, [record.coordinates])
    on = Driven(crash_journal=CrashJournal(tmp_path, ManualClock()))
    on.take(assigned(on), record)
    assert [letter.reason for letter in on.letters] == [DeadLetterReason.CRASHED]
    assert on.counts.of["decoded", "text"] == 0
    assert on.driver.counts == RecordCounts(taken=1, refused=1)


@pytest.mark.parametrize(("offset", "letters"), [(None, 0), (0, 1)], ids=["of a device", "of a log"])
def test_a_unit_that_cannot_be_encoded_is_counted_and_its_window_is_scored_without_it(
    offset: int | None, letters: int
) -> None:
    on = Driven()
    on.take(assigned(on))
    [unit] = on.driver.take(line(0.5, offset=offset), "source", live=False)
    unit.damage = DeadLetterReason.INFERENCE, "the model cannot compute it"
    on.encode([unit])
    on.encode(on.driver.drain())
    assert on.driver.counts == RecordCounts(taken=1, refused=1)
    assert on.counts.of["dead letter", "inference"] == 1
    assert [letter.reason for letter in on.letters] == ["inference"] * letters
    assert on.closed == [("room", at) for at in (-3, -2, -1, 0)]
