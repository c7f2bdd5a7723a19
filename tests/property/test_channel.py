"""Channels under any traffic: what is counted, kept and promised."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.channels.channel import ChannelItem, OverflowPolicy
from streams.channels.inlet import Inlet
from streams.clock import ManualClock
from streams.records import MEDIA, EndOfSession, Item, Modality, Progress, Record
from tests.streams.making import Counts

pytestmark = pytest.mark.property


@dataclass(frozen=True)
class Take:
    """The consumer takes one item."""


modalities = st.sampled_from([Modality.VIDEO, Modality.AUDIO])
rooms = st.sampled_from(["a", "b"])
records = st.builds(Record, rooms, modalities, st.just("image/jpeg"), st.just(b""), st.integers(0, 9), st.just(0))
promises = st.builds(Progress, rooms, modalities, st.integers(0, 9))
traffic = st.lists(st.one_of(records, promises, st.builds(EndOfSession, rooms), st.builds(Take)), max_size=80)


@given(traffic, st.integers(1, 4))
def test_an_overrun_channel_accounts_for_every_item(moves: list[Item | Take], capacity: int) -> None:
    counts = Counts()
    inlet: Inlet[str] = Inlet(ManualClock(), counts)
    channel = inlet.channel("camera", OverflowPolicy.DROP_OLDEST, capacity, live=True)
    put: list[Item] = []
    delivered: list[Item] = []

    def take() -> None:
        match inlet.take(0):
            case ChannelItem(item=item):
                delivered.append(item)

    for move in moves:
        if isinstance(move, Take):
            take()
            continue
        item = Record(*_numbered(move, len(put))) if isinstance(move, Record) else move
        put.append(item)
        channel.put(item)
        assert channel.depth() <= capacity
    while not inlet.empty():
        take()

    kept = [item for item in delivered if isinstance(item, Record)]
    sent = [item for item in put if isinstance(item, Record)]
    for room in "ab":
        assert [item for item in sent if item in kept and item.session == room] == _of(kept, room)
    assert len(sent) - len(kept) == sum(counts.of["overrun", modality] for modality in MEDIA)
    assert {item.event_time_ns for item in sent[-capacity:]} <= {item.event_time_ns for item in kept}
    assert sorted(_ends(delivered)) == sorted(_ends(put))
    for room in "ab":
        for modality in MEDIA:
            assert _furthest(delivered, room, modality) == _furthest(put, room, modality)


@given(traffic)
def test_a_promise_is_never_delivered_before_what_it_was_put_after(moves: list[Item | Take]) -> None:
    inlet: Inlet[str] = Inlet(ManualClock(), Counts())
    channel = inlet.channel("camera", OverflowPolicy.DROP_OLDEST, 2, live=True)
    delivered: dict[str, list[int]] = {"a": [], "b": []}
    promised = {"a": -1, "b": -1}
    for at, move in enumerate([*moves, *[Take()] * len(moves)]):
        match move:
            case Record():
                channel.put(Record(*_numbered(move, at)))
            case Progress():
                channel.put(Progress(move.session, move.modality, at))  # says: all of it before me was put
            case EndOfSession():
                channel.put(move)
            case Take():
                match inlet.take(0):
                    case ChannelItem(item=Progress(session=room, through_ns=through)):
                        promised[room] = max(promised[room], through)
                    case ChannelItem(item=Record(session=room, event_time_ns=number)):
                        assert number > promised[room]
                        delivered[room].append(number)
    assert inlet.empty()
    assert all(numbers == sorted(numbers) for numbers in delivered.values())


def _numbered(record: Record, number: int) -> tuple[str, Modality, str, bytes, int, int]:
    return record.session, record.modality, record.content_type, record.payload, number, 0


def _ends(items: list[Item]) -> list[str]:
    return [item.session for item in items if isinstance(item, EndOfSession)]


def _of(records: list[Record], room: str) -> list[Record]:
    return [record for record in records if record.session == room]


def _furthest(items: list[Item], room: str, modality: Modality) -> int | None:
    found = [i.through_ns for i in items if isinstance(i, Progress) and (i.session, i.modality) == (room, modality)]
    return max(found, default=None)
