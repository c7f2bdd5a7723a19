"""`affectd produce` without a broker: when records are sent. What arrives is in `tests/kafka/test_produce.py`."""

import pytest

from daemon.commands.produce import near_now
from streams.clock import ManualClock
from streams.decoding.decode import Limits
from streams.records import EndOfSession, Item, Modality, Record
from tests.streams.making import ns

pytestmark = pytest.mark.unit


def line(at_s: float) -> Record:
    return Record("room", Modality.TEXT, "text/plain", b"hello", ns(at_s), 0)


def test_a_session_that_begins_now_is_sent_ahead_of_its_time_only_as_far_as_a_daemon_takes_it() -> None:
    clock, sent = ManualClock(ns(0)), list[Item]()
    ahead_ns: list[int] = []

    def send(item: Item) -> None:
        sent.append(item)
        if isinstance(item, Record):
            ahead_ns.append(item.event_time_ns - clock.wall_ns())

    session: list[Item] = [*(line(at_s) for at_s in range(0, 600, 7)), EndOfSession("room")]
    for item in session:
        near_now(send, clock)(item)
    assert sent == session
    assert 45_000_000_000 < max(ahead_ns) < Limits().max_ahead_ns
    assert clock.monotonic_ns() < 560_000_000_000  # what fits into the minute goes at once
