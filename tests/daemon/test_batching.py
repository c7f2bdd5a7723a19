"""Batching, and the one thread that touches the device."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from daemon.scoring.batching import BatchLane, DeviceRequest, DeviceThread
from daemon.scoring.results import BadRow
from daemon.telemetry.instruments import Instruments
from streams.clock import NS_PER_S, ManualClock
from tests.daemon.making import Told, counted, deadline, instruments

pytestmark = pytest.mark.unit


@dataclass
class Recorder:
    """A device call that answers a payload with itself, remembers its batches, and fails where a payload is bad."""

    name: str = "lane"
    bad: frozenset[str] = frozenset()
    batches: list[tuple[str, list[Any]]] = field(default_factory=list)

    def __call__(self, payloads: Sequence[Any]) -> Sequence[Any]:
        self.batches.append((self.name, list(payloads)))
        if self.bad & set(payloads):
            raise ArithmeticError("a payload is bad")
        return list(payloads)


def lane(compute: Recorder, max_rows: int = 4, max_delay_s: float = 0.0) -> BatchLane:
    return BatchLane(compute.name, "encode", compute, max_rows, max_delay_s)


def put(into: BatchLane, at_ns: int, *rows: int) -> None:
    for count in rows:
        into.waiting.append((at_ns, DeviceRequest(count, count, lambda result, seconds: None)))
        into.rows += count


def well() -> None:
    """Good rows are computed."""


def gone() -> None:
    raise RuntimeError("the device is gone")


@contextmanager
def running(device: DeviceThread) -> Iterator[DeviceThread]:
    device.start()
    try:
        yield device
    finally:
        device.stop(deadline())


def submit(device: DeviceThread, name: str, *payloads: Any) -> Told[Any]:
    told: Told[Any] = Told()
    for payload in payloads:
        device.submit(name, DeviceRequest(payload, 1, lambda result, seconds: told(result)))
    return told


# The lane, as arithmetic.


def test_an_empty_lane_is_never_due() -> None:
    assert lane(Recorder()).due_in_s(0) is None


def test_a_full_batch_is_due_at_once_and_a_part_batch_after_the_delay_of_its_oldest_row() -> None:
    waiting = lane(Recorder(), max_rows=4, max_delay_s=0.5)
    put(waiting, 0, 1)
    put(waiting, NS_PER_S // 4, 2)
    assert waiting.due_in_s(NS_PER_S // 4) == pytest.approx(0.25)
    assert waiting.due_in_s(NS_PER_S // 2) == 0.0
    put(waiting, NS_PER_S // 4, 1)
    assert waiting.due_in_s(NS_PER_S // 4) == 0.0


@pytest.mark.parametrize(
    ("rows", "batches"),
    [
        ((1, 1, 1, 1, 1), [[1, 1, 1, 1], [1]]),
        ((2, 2, 2), [[2, 2], [2]]),
        ((3, 2, 2), [[3], [2, 2]]),
        ((9, 1), [[9], [1]]),
        ((1, 9, 1), [[1], [9], [1]]),
    ],
    ids=str,
)
def test_a_batch_keeps_to_the_rows_of_its_lane_unless_one_entry_alone_has_more(
    rows: tuple[int, ...], batches: list[list[int]]
) -> None:
    waiting = lane(Recorder(), max_rows=4)
    put(waiting, 0, *rows)
    taken = []
    while waiting.waiting:
        taken.append([work.rows for work in waiting.take_batch()])
    assert taken == batches
    assert waiting.depth() == 0


# The thread.


def test_rows_that_wait_together_are_one_batch_and_each_gets_its_own_result() -> None:
    compute = Recorder()
    device = DeviceThread([lane(compute)], instruments(), well)
    told = submit(device, "lane", "a", "b", "c")
    with running(device):
        assert told.many(3) == ["a", "b", "c"]
    assert compute.batches == [("lane", ["a", "b", "c"])]


def test_a_part_batch_waits_for_its_delay_and_a_full_one_does_not() -> None:
    of = Instruments(ManualClock())
    part, full = Recorder("part"), Recorder("full")
    device = DeviceThread([lane(part, 2, 0.02), lane(full, 2, 0.02)], of, well)
    waiting = submit(device, "part", "a")
    with running(device):
        assert submit(device, "full", "b", "c").many(2) == ["b", "c"]
        assert waiting.nothing_more()
        assert isinstance(of.clock, ManualClock)
        of.clock.advance(0.02)
        assert waiting.next() == "a"


def test_the_lane_listed_first_is_served_first() -> None:
    log: list[tuple[str, list[Any]]] = []
    first, second = Recorder("first", batches=log), Recorder("second", batches=log)
    device = DeviceThread([lane(first, 1), lane(second, 1)], instruments(), well)
    late = submit(device, "second", "x", "y")
    submit(device, "first", "a", "b")
    with running(device):
        late.many(2)
    assert [name for name, _ in log] == ["first", "first", "second", "second"]


BAD = BadRow("ArithmeticError")


def test_a_bad_row_costs_only_itself_and_is_counted() -> None:
    of = instruments()
    compute = Recorder(bad=frozenset({"bad"}))
    device = DeviceThread([lane(compute)], of, gone)  # which is not asked: two rows were computed
    told = submit(device, "lane", "a", "bad", "c")
    with running(device):
        assert told.many(3) == ["a", BAD, "c"]
        assert not device.broken
    assert [batch for _, batch in compute.batches] == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]
    assert counted(of, "inference_failures_total", reason="ArithmeticError") == 2  # the batch, and the row in it


def test_bad_rows_that_come_alone_leave_a_device_that_computes_good_rows_in_service() -> None:
    asked: Told[None] = Told()
    device = DeviceThread([lane(Recorder(bad=frozenset({"bad"})))], instruments(), lambda: asked(None))
    with running(device):
        for _ in range(10):
            assert submit(device, "lane", "bad").next() == BAD
            asked.next()
        assert submit(device, "lane", "good").next() == "good"
    assert not device.broken
    assert asked.nothing_more()


def test_a_device_that_computes_no_good_rows_either_is_broken_after_three_tries_and_blames_no_row() -> None:
    compute = Recorder(bad=frozenset({"row"}))
    device = DeviceThread([lane(compute)], instruments(), gone)
    with running(device):
        assert submit(device, "lane", "row").next() is None
        assert device.broken
        assert submit(device, "lane", "good").next() is None
    assert [batch for _, batch in compute.batches] == [["row"]] * 3


def test_rows_that_failed_while_the_device_was_away_for_a_moment_are_computed() -> None:
    class Away(Recorder):
        def __call__(self, payloads: Sequence[Any]) -> Sequence[Any]:
            self.bad = frozenset({"row"} if len(self.batches) < 2 else ())
            return super().__call__(payloads)

    device = DeviceThread([lane(Away())], instruments(), gone)
    with running(device):
        assert submit(device, "lane", "row").next() == "row"
    assert not device.broken


def test_an_idle_device_thread_beats_until_it_is_stopped() -> None:
    of = Instruments(ManualClock())
    device = DeviceThread([lane(Recorder())], of, well)
    with running(device):
        assert isinstance(of.clock, ManualClock)
        of.clock.advance(1000)
        submit(device, "lane", "a").next()  # it has come round at least once since
        assert of.heartbeats.overdue() == []
        assert of.heartbeats.names() == ["device"]
    assert of.heartbeats.names() == []
    assert "device" not in [thread.name for thread in threading.enumerate()]


def test_rows_and_waits_of_a_batch_are_measured() -> None:
    of = instruments()
    device = DeviceThread([lane(Recorder())], of, well)
    told = submit(device, "lane", "a", "b")
    with running(device):
        told.many(2)
    assert counted(of, "batch_rows_sum", lane="lane") == 2
    assert counted(of, "inference_seconds_count", lane="lane", phase="encode") == 1
