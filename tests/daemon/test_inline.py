"""Scoring in the caller's thread: the same windows and scores as with threads, and no bad record unreported."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from daemon.scoring.inline import InlineScorer
from daemon.scoring.results import BadRow, UnitRows
from daemon.telemetry.instruments import Instruments
from streams.alignment.driver import AlignmentDriver, RecordCounts
from streams.alignment.sessions import Sessions
from streams.clock import NS_PER_S
from streams.decoding.decode import Limits
from streams.delivery.ledger import Ledger
from streams.events import EncodingUnit, Line
from streams.reasons import BadRecord, DeadLetterReason
from streams.records import EndOfSession, Modality, OfSession, Record
from tests.daemon.making import NoSound, counted, instruments
from tests.daemon.test_engine import FakeModel
from tests.streams.making import config, ns, seconds

pytestmark = pytest.mark.unit


class Characters(NoSound):
    """A row for each character of a line; a line of which the first is "!" is damaged."""

    def __init__(self) -> None:
        self.prepared: list[str] = []
        self.forgotten: list[str] = []

    def prepare(self, unit: EncodingUnit) -> UnitRows:
        assert isinstance(unit.payload, Line)
        text = unit.payload.text
        self.prepared.append(text)
        if text.startswith("!"):
            raise BadRecord(DeadLetterReason.CORRUPT, "it ends early")
        if text.startswith("?"):
            raise ZeroDivisionError("nobody thought of it")
        return UnitRows([[float(ord(character))] for character in text], {})

    def forget(self, session: str) -> None:
        self.forgotten.append(session)


@dataclass
class Inline:
    scorer: InlineScorer
    driver: AlignmentDriver
    preparer: Characters
    instruments: Instruments

    def answers(self, *items: OfSession) -> list[tuple[float, float]]:
        """The start of each window in seconds, and how many rows its scores are of."""
        windows = [window for item in items for window in self.scorer.take(item, "test")]
        scores = self.scorer.scores(windows)
        sessions = [scored.session for scored in scores if not isinstance(scored, BadRow)]
        return [(seconds(w.start_ns), scored.entropy) for w, scored in zip(windows, sessions, strict=True)]


def inline(wanted: Callable[[EncodingUnit], bool] = lambda unit: True) -> Inline:
    of, preparer = instruments(), Characters()
    sessions = Sessions(config(), 60 * NS_PER_S, of.clock, of.metrics, Ledger(config().grid))
    driver = AlignmentDriver(sessions, Limits(), of.clock, of.metrics)
    return Inline(InlineScorer(driver, preparer, FakeModel(), wanted), driver, preparer, of)


def line(at_s: float, text: str) -> Record:
    return Record("room", Modality.TEXT, "text/plain", text.encode(), ns(at_s), ns(at_s))


END = EndOfSession("room")


def test_every_window_is_scored_from_the_rows_of_its_units() -> None:
    on = inline()
    assert on.answers(line(0.5, "ab"), line(2.5, "c"), END) == [
        *((start_s, 2) for start_s in (-3.0, -2.0)),
        *((start_s, 3) for start_s in (-1.0, 0.0)),
        *((start_s, 1) for start_s in (1.0, 2.0)),
    ]
    assert on.driver.counts == RecordCounts(taken=2, refused=0, encoded=2)
    assert on.preparer.forgotten == ["room"]


def test_each_unit_is_prepared_once_however_many_windows_hold_it() -> None:
    on = inline()
    on.answers(line(0.5, "ab"), END)
    assert on.preparer.prepared == ["ab"]


def test_draining_closes_the_windows_that_are_open() -> None:
    on = inline()
    assert on.answers(line(0.5, "ab")) == []
    assert len(on.scorer.drain()) == 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [("!torn", "corrupt"), ("?odd", "internal"), (" ", "empty")],
)
def test_a_record_that_cannot_be_used_is_counted_and_its_neighbours_are_scored(text: str, reason: str) -> None:
    on = inline()
    answers = on.answers(line(0.5, "ab"), line(0.6, text), END)
    assert {rows for _, rows in answers} == {2}
    assert counted(on.instruments, "dead_letters_total", reason=reason) == 1
    assert on.driver.counts == RecordCounts(taken=2, refused=1, encoded=1)


def test_what_is_not_wanted_is_not_prepared() -> None:
    on = inline(wanted=lambda unit: unit.start_ns < ns(2.0))
    for item in (line(0.5, "ab"), line(2.5, "c"), END):
        on.scorer.take(item, "test")
    assert on.preparer.prepared == ["ab"]
