"""The timeline thread, with an engine that answers when the test says so."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from daemon.scoring.pipeline import Pipeline, TimelineMessage, UnitEncoded, WindowPublished
from daemon.scoring.prediction_builder import PredictionSettings
from daemon.scoring.publisher import Publisher
from daemon.scoring.results import ScoredWindow
from daemon.telemetry.instruments import Instruments
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.driver import AlignmentDriver
from streams.alignment.sessions import Sessions
from streams.alignment.timeline_config import SEGMENTS
from streams.channels.channel import Channel, ChannelItem, OverflowPolicy
from streams.channels.inlet import Inlet, any_item
from streams.clock import ManualClock
from streams.coordinates import Coordinates, Partition
from streams.decoding.decode import Limits, decode_record
from streams.delivery.crash_journal import CrashJournal
from streams.delivery.ledger import Ledger
from streams.events import EncodingUnit, Event, Line
from streams.predictions import ModelRef
from streams.records import Assigned, EndOfSession, Item, Modality, Record, RejectedRecord
from tests.daemon.making import Told, counted, deadline, instruments
from tests.streams.making import config, ns, seconds
from tests.streams.test_crash_journal import dies_at_work

pytestmark = pytest.mark.unit


@dataclass
class HeldEngine:
    """Holds what it is given until the test answers; `at_once` answers without being asked."""

    inlet: Inlet[TimelineMessage]
    at_once: bool = False
    units: Told[EncodingUnit] = field(default_factory=Told)
    windows: Told[ClosedWindow] = field(default_factory=Told)
    over: Told[str] = field(default_factory=Told)
    most_held: int = 0
    _held: list[TimelineMessage] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def encode(self, unit: EncodingUnit) -> None:
        self._hold(UnitEncoded(unit))
        self.units(unit)

    def score(self, window: ClosedWindow) -> None:
        self._hold(WindowPublished())
        self.windows(window)

    def forget(self, session: str) -> None:
        self.over(session)

    def answer(self, message: TimelineMessage) -> None:
        with self._lock:
            self._held.remove(message)
        self.inlet.post(message)

    def release(self) -> None:
        """Answers all that is held, and from now on at once."""
        with self._lock:
            self.at_once = True
            for message in self._held:
                self.inlet.post(message)

    def _hold(self, message: TimelineMessage) -> None:
        with self._lock:
            if self.at_once:
                self.inlet.post(message)
            else:
                self._held.append(message)
                self.most_held = max(self.most_held, len(self._held))


class WatchedInlet(Inlet[TimelineMessage]):
    """Tells, at every wait, whether items are asked for."""

    def __init__(self, of: Instruments) -> None:
        super().__init__(of.clock, of.metrics)
        self.items_asked: Told[bool] = Told()

    def take(
        self, timeout_s: float, items: bool = True, passes: Callable[[Item], bool] = any_item
    ) -> TimelineMessage | ChannelItem | None:
        self.items_asked(items and passes(line(0.0)))
        return super().take(timeout_s, items, passes)


@dataclass
class Running:
    pipeline: Pipeline
    engine: HeldEngine
    channel: Channel
    inlet: WatchedInlet
    instruments: Instruments
    letters: Told[RejectedRecord]


@contextmanager
def running(
    at_once: bool = False,
    max_in_flight: int = 100,
    crash_journal: CrashJournal | None = None,
    numbers: tuple[int, ...] = (),
) -> Iterator[Running]:
    """numbers: of the partitions of a log that are read."""
    of = instruments()
    inlet = WatchedInlet(of)
    channel = inlet.channel("file", OverflowPolicy.BLOCK, 100, live=False)
    engine = HeldEngine(inlet, at_once)
    ledger, letters = Ledger(config().grid), Told[RejectedRecord]()
    sessions = Sessions(config(), 60_000_000_000, of.clock, of.metrics, ledger)
    driver = AlignmentDriver(sessions, Limits(), of.clock, of.metrics, letters, crash_journal)
    pipeline = Pipeline(inlet, driver, engine, max_in_flight, of, crash_journal)
    on = Running(pipeline, engine, channel, inlet, of, letters)
    for number in numbers:
        at = Partition("text", number)
        channel.put(Assigned(number, ledger.assigned(number, {at: 0}, {})))
        ledger.read(at, [(offset, 1) for offset in range(100)])
    pipeline.start()
    try:
        yield on
    finally:
        engine.release()
        pipeline.drain()
        assert pipeline.finished.wait(10)


def line(at_s: float, text: str = "hello", session: str = "room") -> Record:
    return Record(session, Modality.TEXT, "text/plain", text.encode(), ns(at_s), ns(at_s))


def text_of(unit: EncodingUnit) -> str:
    assert isinstance(unit.payload, Line)
    return unit.payload.text


def starts(windows: list[ClosedWindow]) -> list[float]:
    return [seconds(window.start_ns) for window in windows]


def test_while_too_much_is_under_way_items_wait_and_messages_go_on() -> None:
    with running(max_in_flight=2) as on:
        for number in range(6):
            on.channel.put(line(number / 10, str(number), session=f"room-{number}"))
        under_way = on.engine.units.many(2)
        for number in range(2, 6):  # one answer, one more item
            on.engine.answer(UnitEncoded(under_way.pop(0)))
            under_way.append(on.engine.units.next())
            assert text_of(under_way[-1]) == str(number)
            assert on.channel.depth() == 5 - number
        assert on.engine.most_held == 2


def test_a_look_at_very_many_sessions_leaves_most_of_the_time_to_items(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def takes_half_a_second(sessions: Sessions) -> list[EncodingUnit]:
        nonlocal looks
        looks += 1
        assert isinstance(sessions.clock, ManualClock)
        sessions.clock.advance(0.5)
        return []

    monkeypatch.setattr(Sessions, "tick", takes_half_a_second)
    with running(at_once=True) as on:
        for number in range(40):
            on.channel.put(line(number / 10, session=f"room-{number}"))
        on.engine.units.many(40)
        assert looks == 1
        assert isinstance(on.instruments.clock, ManualClock)
        on.instruments.clock.advance(2.0)
        on.channel.put(line(4.0))
        on.engine.units.next()
    assert looks == 2


def test_while_the_engine_has_had_a_unit_for_a_second_items_wait_so_that_no_camera_is_seen_late() -> None:
    with running() as on:
        on.channel.put(line(0.1, "stuck"))
        stuck = on.engine.units.next()
        clock = on.instruments.clock
        assert isinstance(clock, ManualClock)
        clock.advance(1.0)
        for number in range(3):
            on.channel.put(line(0.3, str(number)))
        assert on.engine.units.nothing_more(within_s=0.3)
        assert on.channel.depth() == 3
        on.engine.answer(UnitEncoded(stuck))
        assert [text_of(unit) for unit in on.engine.units.many(3)] == ["0", "1", "2"]


def test_while_a_unit_has_been_under_way_for_too_long_items_wait() -> None:
    with running() as on:
        on.channel.put(line(0.1))
        slow = on.engine.units.next()
        on.instruments.clock.wait(on.pipeline.finished, 2.0)  # virtual
        while on.inlet.items_asked.next():
            """Until the thread has noticed."""
        on.channel.put(line(0.2))
        assert not on.inlet.items_asked.next()
        assert on.channel.depth() == 1
        on.engine.answer(UnitEncoded(slow))
        assert on.engine.units.next() is not slow


def test_while_one_session_has_had_a_unit_for_too_long_the_windows_of_others_are_published() -> None:
    with running() as on:
        on.channel.put(line(0.1, session="slow"))
        slow = on.engine.units.next()
        clock = on.instruments.clock
        assert isinstance(clock, ManualClock)
        clock.advance(2.0)
        on.channel.put(line(0.2, "waits", session="slow"))
        for at_s in (0.1, 10.1):
            on.channel.put(line(at_s))
            on.engine.answer(UnitEncoded(on.engine.units.next()))
        assert {window.session for window in on.engine.windows.many(4)} == {"room"}
        assert on.engine.units.nothing_more(within_s=0.3)
        assert on.channel.depth() == 1
        on.engine.answer(UnitEncoded(slow))
        assert text_of(on.engine.units.next()) == "waits"


def test_a_session_that_floods_has_its_share_under_way_and_the_next_session_is_taken_at_once() -> None:
    with running(max_in_flight=8) as on:
        for number in range(20):
            on.channel.put(line(number / 100, session="flood"))
        flood = on.engine.units.many(4)
        on.channel.put(line(0.1, "other"))
        assert text_of(on.engine.units.next()) == "other"
        assert on.engine.units.nothing_more(within_s=0.3)
        on.engine.answer(UnitEncoded(flood[0]))
        assert on.engine.units.next().session == "flood"


def logged(offset: int, at_s: float, number: int = 0) -> Record:
    at = Coordinates(Partition("text", number), offset, ns(at_s))
    return replace(line(at_s, str(offset), f"room-{number}"), coordinates=at)


def left_by_deaths(folder: Path, *longest_first: list[int]) -> CrashJournal:
    """What is known after processes died, each with these offsets in hand."""
    for offsets in longest_first:
        dies_at_work(folder, *([Coordinates(Partition("text", 0), offset, 0)] for offset in offsets))
    return CrashJournal(folder, ManualClock())


def test_a_record_that_ended_two_processes_is_a_dead_letter_that_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash_journal = left_by_deaths(tmp_path, [1, 2], [1])
    decoded: list[Record] = []

    def noticed(record: Record, limits: Limits, live: bool) -> Event:
        decoded.append(record)
        return decode_record(record, limits, live)

    monkeypatch.setattr("streams.alignment.driver.decode_record", noticed)
    with running(crash_journal=crash_journal, numbers=(0,)) as on:
        on.channel.put(logged(1, 0.1))
        on.channel.put(logged(2, 0.2))
        letter = on.letters.next()
        assert text_of(on.engine.units.next()) == "2"
    assert (letter.coordinates.offset, letter.reason, letter.payload) == (1, "crashed", b"1")
    assert [record.coordinates.offset for record in decoded if record.coordinates] == [2]
    crash_journal.close()


def test_a_suspect_is_alone_in_the_engine_and_cleared_when_it_has_left_it(tmp_path: Path) -> None:
    crash_journal = left_by_deaths(tmp_path, [5])
    with running(crash_journal=crash_journal, numbers=(0, 1)) as on:
        on.channel.put(logged(4, 0.1, number=1))
        before = on.engine.units.next()
        on.channel.put(logged(5, 0.2))
        assert on.engine.units.nothing_more(within_s=0.3)
        on.engine.answer(UnitEncoded(before))
        suspect = on.engine.units.next()
        assert text_of(suspect) == "5"
        on.channel.put(logged(6, 0.3, number=1))
        assert on.engine.units.nothing_more(within_s=0.3)
        on.engine.answer(UnitEncoded(suspect))
        assert text_of(on.engine.units.next()) == "6"
        assert not crash_journal.is_suspect(suspect.sources)
    crash_journal.close()


def test_a_suspect_is_taken_next_however_much_else_there_is_to_do(tmp_path: Path) -> None:
    crash_journal = left_by_deaths(tmp_path, [5])
    with running(crash_journal=crash_journal, numbers=(0, 1)) as on:
        on.channel.put(logged(1, 0.1, number=1))
        on.channel.put(logged(2, 0.2, number=1))
        under_way = on.engine.units.many(2)
        on.channel.put(logged(5, 0.3))
        for offset in range(3, 6):
            on.channel.put(logged(offset, offset / 10, number=1))
        on.engine.answer(UnitEncoded(under_way[0]))
        assert on.engine.units.nothing_more(within_s=0.3)
        on.engine.answer(UnitEncoded(under_way[1]))
        suspect = on.engine.units.next()
        assert (suspect.session, text_of(suspect)) == ("room-0", "5")
        assert on.engine.units.nothing_more(within_s=0.3)
        on.engine.answer(UnitEncoded(suspect))
        assert {unit.session for unit in on.engine.units.many(3)} == {"room-1"}
    crash_journal.close()


def test_a_bad_record_is_counted_and_the_rest_goes_on() -> None:
    with running() as on:
        on.channel.put(Record("room", Modality.TEXT, "application/json", b"{", ns(0), ns(0)))
        on.channel.put(Record("room", Modality.VIDEO, "image/jpeg", b"no picture", ns(0), ns(0)))
        on.channel.put(line(0.2, "good"))
        assert text_of(on.engine.units.next()) == "good"
        series = [
            sample.value
            for metric in on.instruments.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == "affectd_dead_letters_total"
        ]
        assert sum(series) == 2


def test_windows_are_scored_in_closing_order_and_only_when_their_units_are_done() -> None:
    with running() as on:
        for at_s in (0.1, 1.1, 10.1):
            on.channel.put(line(at_s))
        first, second, last = on.engine.units.many(3)
        on.engine.answer(UnitEncoded(second))
        on.channel.put(line(10.2))
        on.engine.answer(UnitEncoded(on.engine.units.next()))  # so the answer before it has been taken
        assert on.engine.windows.nothing_more()
        on.engine.answer(UnitEncoded(first))
        closed = on.engine.windows.many(5)
        assert starts(closed) == [-3.0, -2.0, -1.0, 0.0, 1.0]
        assert all(window.ready for window in closed)
        assert on.engine.windows.nothing_more()
        assert not last.done


def test_a_window_waits_for_no_unit_that_lies_after_it() -> None:
    with running() as on:
        on.channel.put(line(0.1))
        on.channel.put(line(10.1))
        first, last = on.engine.units.many(2)
        on.engine.answer(UnitEncoded(first))
        assert starts(on.engine.windows.many(4)) == [-3.0, -2.0, -1.0, 0.0]
        assert not last.done


def test_draining_finishes_what_is_queued_and_closes_every_window() -> None:
    with running(max_in_flight=1) as on:
        for number in range(5):
            on.channel.put(line(number / 10, str(number)))
        on.pipeline.drain()
        for number in range(5):
            unit = on.engine.units.next()
            assert text_of(unit) == str(number)
            on.engine.answer(UnitEncoded(unit))
        windows = on.engine.windows.many(4)
        assert [window.closed_by for window in windows] == ["drain"] * 4
        assert {len(window.units[Modality.TEXT]) for window in windows} == {5}
        for _ in windows[1:]:
            on.engine.answer(WindowPublished())
        assert not on.pipeline.finished.is_set()
        on.engine.answer(WindowPublished())
        assert on.pipeline.finished.wait(10)
    assert on.pipeline.in_flight == 0
    assert on.instruments.heartbeats.names() == []


def test_draining_waits_for_units_that_are_still_being_encoded() -> None:
    with running() as on:
        on.channel.put(line(0.1))
        unit = on.engine.units.next()
        on.pipeline.drain()
        assert on.engine.windows.nothing_more()
        on.engine.answer(UnitEncoded(unit))
        assert len(on.engine.windows.many(4)) == 4
        for _ in range(4):
            on.engine.answer(WindowPublished())
        assert on.pipeline.finished.wait(10)


def test_draining_with_nothing_to_do_finishes() -> None:
    with running() as on:
        on.pipeline.drain()
        assert on.pipeline.finished.wait(10)


def test_a_window_that_cannot_be_scored_still_lets_the_drain_finish() -> None:
    of = instruments()
    inlet: Inlet[TimelineMessage] = Inlet(of.clock, of.metrics)
    channel = inlet.channel("file", OverflowPolicy.BLOCK, 100, live=False)
    publication = PredictionSettings(ModelRef(name="m", version="1", digest="sha256:0"), "test", False, 5.0, SEGMENTS)
    publisher = Publisher(publication, [], lambda prediction, line: inlet.post(WindowPublished()), of)

    @dataclass
    class FailingEngine(HeldEngine):
        def score(self, window: ClosedWindow) -> None:
            publisher.submit(ScoredWindow(window, None, 0.0, 0.0))

    sessions = Sessions(config(), 60_000_000_000, of.clock, of.metrics, Ledger(config().grid))
    driver = AlignmentDriver(sessions, Limits(), of.clock, of.metrics)
    pipeline = Pipeline(inlet, driver, FailingEngine(inlet, at_once=True), 10, of)
    channel.put(line(0.1))
    publisher.start()
    pipeline.start()
    pipeline.drain()
    assert pipeline.finished.wait(10)
    publisher.stop(deadline())
    assert counted(of, "windows_closed_total", closed_by="drain") == 4
    assert counted(of, "predictions_total") == 0


def test_a_session_that_ends_closes_its_windows_and_is_forgotten_at_the_next_tick() -> None:
    with running(at_once=True) as on:
        on.channel.put(line(0.1))
        on.channel.put(EndOfSession("room"))
        assert [window.closed_by for window in on.engine.windows.many(4)] == ["end"] * 4
        clock = on.instruments.clock
        clock.wait(on.pipeline.finished, 1.0)  # virtual: a tick is due
        assert on.engine.over.next() == "room"
