"""From units to rows: which worker, in which order, and what a unit that cannot be prepared costs."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from daemon.scoring.batching import BatchLane, DeviceThread
from daemon.scoring.preparation import PreparationPool
from daemon.scoring.results import UnitFeatures, UnitRows
from daemon.telemetry.instruments import Instruments
from models.encoder import Encoded
from streams.events import EncodingUnit, Line
from streams.reasons import BadRecord, DeadLetterReason
from tests.daemon.making import NoSound, Told, counted, deadline, instruments, unit

pytestmark = pytest.mark.unit


@dataclass
class Lines(NoSound):
    """Prepares a line: as many rows as characters. Remembers what it did, and on which thread."""

    log: list[tuple[str, str, str]] = field(default_factory=list)
    faults: dict[str, Exception] = field(default_factory=dict)

    def prepare(self, unit: EncodingUnit) -> UnitRows:
        assert isinstance(unit.payload, Line)
        text = unit.payload.text
        self.log.append((unit.session, text, threading.current_thread().name))
        if text in self.faults:
            raise self.faults[text]
        return UnitRows(list(text), {"characters": float(len(text))})

    def forget(self, session: str) -> None:
        self.log.append((session, "forgotten", threading.current_thread().name))


def encode(units: Sequence[Sequence[str]]) -> Sequence[Any]:
    if any("!" in rows for rows in units):
        raise ArithmeticError("cannot be encoded")
    return [Encoded(torch.tensor([[float(ord(row))] for row in rows]), torch.ones(len(rows))) for rows in units]


@dataclass
class Pool:
    pool: PreparationPool
    done: Told[EncodingUnit]
    instruments: Instruments
    log: list[tuple[str, str, str]]


@contextmanager
def running(
    workers: int = 1,
    faults: dict[str, Exception] | None = None,
    try_device: Callable[[], None] = lambda: None,
    lines: type[Lines] = Lines,
) -> Iterator[Pool]:
    of, done, log = instruments(), Told[EncodingUnit](), list[tuple[str, str, str]]()
    device = DeviceThread([BatchLane("text", "encode", encode, 8, 0.0)], of, try_device)
    pool = PreparationPool(
        lines(log, faults or {}), workers, lambda unit, request: device.submit(unit.modality, request), done, of
    )
    device.start()
    pool.start()
    try:
        yield Pool(pool, done, of, log)
    finally:
        pool.stop(deadline())
        device.stop(deadline())


def test_a_unit_comes_back_with_its_rows_encoded_and_its_quality() -> None:
    with running() as on:
        on.pool.submit(unit(text="ab"))
        result = on.done.next().result
    assert isinstance(result, UnitFeatures)
    assert result.embedding.tolist() == [[97.0], [98.0]]
    assert result.weight.tolist() == [1.0, 1.0]
    assert result.quality == {"characters": 2.0}


def test_a_unit_without_rows_is_done_at_once_with_no_evidence() -> None:
    with running() as on:
        on.pool.submit(unit(text=""))
        result = on.done.next().result
    assert isinstance(result, UnitFeatures)
    assert len(result.weight) == 0
    assert counted(on.instruments, "batch_rows_count", lane="text") == 0


def test_a_session_is_prepared_in_order_by_one_worker_at_a_time() -> None:
    sessions = [f"room-{number}" for number in range(12)]
    with running(workers=4) as on:
        for text in "abcde":
            for session in sessions:
                on.pool.submit(unit(session=session, text=text))
        on.done.many(60)
    for session in sessions:
        assert [text for name, text, _ in on.log if name == session] == list("abcde")


def test_a_unit_that_takes_long_holds_up_its_own_session_only() -> None:
    may_go_on = threading.Event()

    class Slow(Lines):
        def prepare(self, unit: EncodingUnit) -> UnitRows:
            if unit.session == "slow":
                assert may_go_on.wait(60)
            return super().prepare(unit)

    with running(workers=2, lines=Slow) as on:
        for text in "ab":
            on.pool.submit(unit(session="slow", text=text))
        for number in range(20):
            on.pool.submit(unit(session=f"room-{number}"))
        assert len({made.session for made in on.done.many(20)} - {"slow"}) == 20
        may_go_on.set()
        assert [made.payload.text for made in on.done.many(2) if isinstance(made.payload, Line)] == ["a", "b"]


def test_a_session_is_forgotten_after_its_units() -> None:
    with running() as on:
        for text in ("a", "b"):
            on.pool.submit(unit(text=text))
        on.pool.forget("room")
        on.pool.submit(unit(text="c"))
        on.done.many(3)
    assert [what for _, what, _ in on.log] == ["a", "b", "forgotten", "c"]


@pytest.mark.parametrize(
    ("text", "fault", "reason"),
    [
        ("torn", BadRecord(DeadLetterReason.CORRUPT, "the picture ends early"), "corrupt"),
        ("odd", ZeroDivisionError("nobody thought of it"), "internal"),
    ],
)
def test_a_unit_that_cannot_be_prepared_costs_only_itself_and_says_why(
    text: str, fault: Exception, reason: str
) -> None:
    with running(faults={text: fault}) as on:
        for content in ("before", text, "after"):
            on.pool.submit(unit(text=content))
        done = {made.payload.text: made for made in on.done.many(3) if isinstance(made.payload, Line)}
    assert done[text].result is None
    assert (done[text].damage or ("", ""))[0] == reason
    assert len(done["before"].result.weight) == 6
    assert len(done["after"].result.weight) == 5


def test_a_unit_that_a_working_device_cannot_encode_is_set_aside_and_the_next_is_encoded() -> None:
    with running() as on:
        on.pool.submit(unit(text="no!"))
        poison = on.done.next()
        assert poison.result is None
        assert poison.damage == ("inference", "the model cannot compute it: ArithmeticError")
        on.pool.submit(unit(text="yes"))
        assert on.done.next().result is not None


def test_a_unit_that_a_broken_device_cannot_encode_is_no_dead_letter() -> None:
    def gone() -> None:
        raise RuntimeError("the device is gone")

    with running(try_device=gone) as on:
        on.pool.submit(unit(text="no!"))
        lost = on.done.next()
    assert (lost.result, lost.damage) == (None, None)
    assert counted(on.instruments, "events_dropped_total", modality="text", reason="inference") == 1


def test_stopping_finishes_what_is_queued_and_ends_the_workers() -> None:
    with running(workers=2) as on:
        for number in range(20):
            on.pool.submit(unit(session=f"room-{number}"))
        on.pool.stop(deadline())
        assert len(on.log) == 20
        assert on.instruments.heartbeats.names() == ["device"]


def test_depth_is_what_waits_for_all_workers() -> None:
    of = instruments()
    device = DeviceThread([BatchLane("text", "encode", encode, 8, 0.0)], of, lambda: None)
    ignore: Callable[[EncodingUnit], None] = lambda unit: None  # noqa: E731
    pool = PreparationPool(Lines(), 3, lambda unit, request: device.submit(unit.modality, request), ignore, of)
    for number in range(5):
        pool.submit(unit(session=f"room-{number}"))
    assert counted(of, "channel_depth", stage="prepare") == 5
