import threading
import weakref
from collections import Counter
from dataclasses import replace

import pytest

from streams.channels.channel import Channel, ChannelItem, OverflowPolicy
from streams.channels.inlet import Inlet, InletClock
from streams.clock import NS_PER_S, ManualClock
from streams.coordinates import Coordinates, Partition
from streams.records import EndOfSession, Item, Modality, PartitionIdle, Progress, Record, Revoked
from tests.streams.making import Counts

pytestmark = pytest.mark.unit

A_WHILE_S = 10.0  # a limit on waiting for another thread; never waited out in a test that passes


def record(number: int, session: str = "room", modality: Modality = Modality.VIDEO) -> Record:
    return Record(session, modality, "image/jpeg", b"", number, number)


def promise(through: int, session: str = "room", modality: Modality = Modality.VIDEO) -> Progress:
    return Progress(session, modality, through)


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def inlet(counts: Counts) -> Inlet[str]:
    return Inlet(ManualClock(), counts)


def taken(inlet: Inlet[str]) -> list[Item]:
    """Everything that is queued, in the order it comes."""
    items: list[Item] = []
    while not inlet.empty():
        delivery = inlet.take(0)
        assert isinstance(delivery, ChannelItem)
        items.append(delivery.item)
    return items


def filled(inlet: Inlet[str], policy: OverflowPolicy, capacity: int, items: list[Item]) -> Channel:
    channel = inlet.channel("source", policy, capacity, live=False)
    for item in items:
        channel.put(item)
    return channel


def test_a_channel_keeps_the_order_of_a_session(inlet: Inlet[str]) -> None:
    items: list[Item] = [promise(0), record(1), record(2), promise(3), EndOfSession("room")]
    filled(inlet, OverflowPolicy.BLOCK, 10, items)
    assert taken(inlet) == items


def test_sessions_are_served_in_turn_however_much_one_of_them_has_put_in(inlet: Inlet[str]) -> None:
    flood: list[Item] = [record(at, "flood") for at in range(5)]
    filled(inlet, OverflowPolicy.BLOCK, 10, [*flood, record(5, "one"), record(6, "two")])
    assert taken(inlet) == [flood[0], record(5, "one"), record(6, "two"), *flood[1:]]


def test_a_session_that_is_held_back_keeps_its_items_and_its_time_and_no_others(inlet: Inlet[str]) -> None:
    filled(inlet, OverflowPolicy.BLOCK, 10, [record(0, "held"), record(1, "held"), record(2, "one")])
    put_ns = inlet.clock.monotonic_ns()
    assert isinstance(inlet.clock, ManualClock)
    inlet.clock.advance(5.0)
    delivery = inlet.take(0, passes=lambda item: not (isinstance(item, Record) and item.session == "held"))
    assert isinstance(delivery, ChannelItem)
    assert delivery.item == record(2, "one")
    assert inlet.taken_until_ns("held") == inlet.taken_until_ns() == put_ns
    assert inlet.taken_until_ns("one") == put_ns + 5_000_000_000
    assert taken(inlet) == [record(0, "held"), record(1, "held")]


def test_what_was_taken_is_let_go_of_while_another_session_is_held_back(inlet: Inlet[str]) -> None:
    channel = filled(inlet, OverflowPolicy.BLOCK, 10, [record(0, "held")])
    content = {"a picture"}
    passed = weakref.ref(content)
    channel.put(replace(record(1, "one"), payload=content))
    del content
    assert inlet.take(0, passes=lambda item: item != record(0, "held"))
    assert passed() is None
    assert taken(inlet) == [record(0, "held")]


def logged(session: str, number: int, offset: int) -> Record:
    at = Coordinates(Partition("text", number), offset, offset)
    return Record(session, Modality.TEXT, "text/plain", b"", offset, offset, coordinates=at)


def test_what_was_read_from_a_log_keeps_the_order_of_its_partition_number(inlet: Inlet[str]) -> None:
    idle = PartitionIdle(Partition("text", 0), 100)
    of_first: list[Item] = [logged("a", 0, 1), logged("b", 0, 2), idle]
    filled(inlet, OverflowPolicy.BLOCK, 10, [*of_first, Revoked(frozenset({0, 1})), logged("c", 1, 1)])
    order = taken(inlet)
    assert [item for item in order if item in of_first] == of_first
    assert order.index(Revoked(frozenset({0}))) > order.index(idle)
    assert order.index(Revoked(frozenset({1}))) < order.index(logged("c", 1, 1))


@pytest.mark.parametrize(
    ("items", "left"),
    [
        pytest.param([promise(1), promise(2)], [promise(2)], id="the further stands for both"),
        pytest.param([promise(2), promise(1)], [promise(2)], id="a nearer one adds nothing"),
        pytest.param(
            [promise(1), promise(1, modality=Modality.TEXT), promise(2)],
            [promise(2), promise(1, modality=Modality.TEXT)],
            id="also past the promise of another stream",
        ),
        pytest.param(
            [promise(1), promise(2, "other")], [promise(1), promise(2, "other")], id="sessions promise for themselves"
        ),
        pytest.param(
            [promise(1), record(5), promise(2)], [promise(1), record(5), promise(2)], id="but never past a record"
        ),
        pytest.param(
            [promise(1), record(5, "other"), promise(2)],
            [promise(2), record(5, "other")],
            id="unless it is of another session",
        ),
        pytest.param(
            [promise(1), EndOfSession("room"), promise(2)],
            [promise(1), EndOfSession("room"), promise(2)],
            id="nor past the end of a session",
        ),
    ],
)
def test_promises_are_merged_only_where_it_changes_nothing(
    inlet: Inlet[str], items: list[Item], left: list[Item]
) -> None:
    filled(inlet, OverflowPolicy.BLOCK, 10, items)
    assert taken(inlet) == left


def test_a_full_camera_channel_keeps_the_newest_and_counts_what_it_drops(inlet: Inlet[str], counts: Counts) -> None:
    channel = filled(inlet, OverflowPolicy.DROP_OLDEST, 3, [record(number) for number in range(10)])
    assert channel.depth() == 3
    assert taken(inlet) == [record(7), record(8), record(9)]
    assert counts.of["overrun", Modality.VIDEO] == 7


def test_promises_and_ends_are_never_dropped(inlet: Inlet[str]) -> None:
    items: list[Item] = [promise(1), record(1), EndOfSession("other"), record(2), promise(5, "b"), record(6), record(7)]
    filled(inlet, OverflowPolicy.DROP_OLDEST, 1, items)
    assert taken(inlet) == [EndOfSession("other"), promise(5, "b"), promise(1), record(7)]


def test_the_promises_of_an_overrun_channel_do_not_pile_up(inlet: Inlet[str]) -> None:
    items: list[Item] = []
    for number in range(1_000):
        items += [record(number), promise(number + 1), promise(number + 1, modality=Modality.AUDIO)]
    filled(inlet, OverflowPolicy.DROP_OLDEST, 2, items)
    left = taken(inlet)
    assert len(left) <= 2 + 3 * 2
    assert [item for item in left if isinstance(item, Record)] == [record(998), record(999)]
    assert left[-2:] == [promise(1_000), promise(1_000, modality=Modality.AUDIO)]


def test_a_promise_is_never_delivered_before_a_record_it_followed(inlet: Inlet[str]) -> None:
    items: list[Item] = [x for number in range(50) for x in (record(number), promise(number + 1))]
    filled(inlet, OverflowPolicy.DROP_OLDEST, 5, items)
    promised = 0
    for item in taken(inlet):
        match item:
            case Record(event_time_ns=time_ns):
                assert time_ns >= promised
            case Progress(through_ns=through_ns):
                promised = through_ns
    assert promised == 50


def test_a_full_blocking_channel_holds_its_source_until_there_is_room(inlet: Inlet[str], counts: Counts) -> None:
    channel = filled(inlet, OverflowPolicy.BLOCK, 2, [record(0), record(1)])
    source = threading.Thread(target=channel.put, args=(record(2),))
    source.start()
    source.join(0.05)
    assert source.is_alive()
    assert inlet.take(0) == ChannelItem(record(0), channel)
    source.join(A_WHILE_S)
    assert not source.is_alive()
    assert taken(inlet) == [record(1), record(2)]
    assert not counts.of


def test_promises_and_ends_pass_into_a_full_channel(inlet: Inlet[str]) -> None:
    filled(inlet, OverflowPolicy.BLOCK, 1, [record(0), promise(1), EndOfSession("room")])
    assert taken(inlet) == [record(0), promise(1), EndOfSession("room")]


def test_nothing_is_lost_where_sources_are_blocked(inlet: Inlet[str], counts: Counts) -> None:
    channels = [inlet.channel(f"source-{n}", OverflowPolicy.BLOCK, 2, live=False) for n in range(3)]
    sources = [
        threading.Thread(target=lambda c=channel: [c.put(record(number)) for number in range(200)])
        for channel in channels
    ]
    for source in sources:
        source.start()
    received: dict[str, list[int]] = {channel.name: [] for channel in channels}
    for _ in range(600):
        delivery = inlet.take(A_WHILE_S)
        assert isinstance(delivery, ChannelItem)
        assert isinstance(delivery.item, Record)
        received[delivery.channel.name].append(delivery.item.event_time_ns)
    for source in sources:
        source.join(A_WHILE_S)
    assert all(numbers == list(range(200)) for numbers in received.values())
    assert inlet.empty()
    assert not counts.of


def test_closing_releases_a_blocked_source_and_counts_its_record(inlet: Inlet[str], counts: Counts) -> None:
    channel = filled(inlet, OverflowPolicy.BLOCK, 1, [record(0)])
    source = threading.Thread(target=channel.put, args=(record(1),))
    source.start()
    channel.close()
    source.join(A_WHILE_S)
    assert not source.is_alive()
    assert counts.of["stopped", Modality.VIDEO] == 1
    assert taken(inlet) == [record(0)]


@pytest.mark.parametrize("policy", list(OverflowPolicy))
def test_a_closed_channel_takes_nothing_and_gives_what_it_has(
    inlet: Inlet[str], counts: Counts, policy: OverflowPolicy
) -> None:
    channel = filled(inlet, policy, 1, [record(0)])
    channel.close()
    for item in (record(1), promise(5), EndOfSession("room")):
        channel.put(item)
    assert taken(inlet) == [record(0)]
    assert counts.of == Counter({("stopped", Modality.VIDEO): 1})


def test_messages_come_before_items(inlet: Inlet[str]) -> None:
    channel = filled(inlet, OverflowPolicy.BLOCK, 5, [record(0)])
    inlet.post("encoded")
    inlet.post("published")
    assert [inlet.take(0) for _ in range(3)] == ["encoded", "published", ChannelItem(record(0), channel)]


def test_items_can_be_left_where_they_are(inlet: Inlet[str]) -> None:
    filled(inlet, OverflowPolicy.BLOCK, 5, [record(0)])
    assert inlet.take(0, items=False) is None
    inlet.post("encoded")
    assert inlet.take(0, items=False) == "encoded"
    assert not inlet.empty()


def test_messages_can_be_taken_all_at_once_and_leave_items_where_they_are(inlet: Inlet[str]) -> None:
    channel = filled(inlet, OverflowPolicy.BLOCK, 5, [record(0)])
    assert inlet.take_messages() == []
    inlet.post("encoded")
    inlet.post("published")
    assert inlet.take_messages() == ["encoded", "published"]
    assert inlet.take(0) == ChannelItem(record(0), channel)


def test_with_nothing_to_take_the_consumer_gets_none(inlet: Inlet[str]) -> None:
    assert inlet.take(0) is None
    inlet.channel("source", OverflowPolicy.BLOCK, 5, live=False)
    assert inlet.take(0) is None


def test_a_waiting_consumer_is_woken_by_an_item_and_by_a_message(inlet: Inlet[str]) -> None:
    channel = inlet.channel("source", OverflowPolicy.BLOCK, 5, live=False)
    for wake in (lambda: channel.put(record(0)), lambda: inlet.post("encoded")):
        source = threading.Thread(target=wake)
        source.start()
        assert inlet.take(A_WHILE_S) is not None
        source.join(A_WHILE_S)


def test_channels_take_turns_so_that_a_flood_starves_nobody(inlet: Inlet[str]) -> None:
    flood = inlet.channel("flood", OverflowPolicy.DROP_OLDEST, 100, live=True)
    quiet = inlet.channel("quiet", OverflowPolicy.BLOCK, 100, live=True)
    for number in range(100):
        flood.put(record(number))
    for number in range(3):
        quiet.put(record(number, "chat"))
    names = [delivery.channel.name for _ in range(6) if isinstance(delivery := inlet.take(0), ChannelItem)]
    assert names == ["flood", "quiet"] * 3


def test_time_stands_still_while_an_item_waits(inlet: Inlet[str]) -> None:
    camera = inlet.channel("camera", OverflowPolicy.BLOCK, 5, live=True)
    chat = inlet.channel("chat", OverflowPolicy.BLOCK, 5, live=True)
    clock = inlet.clock
    assert isinstance(clock, ManualClock)
    by_inlet = InletClock(inlet)
    found = []
    for channel in (camera, chat, camera):
        clock.advance(1)
        channel.put(record(0))
    clock.advance(7)
    found.append(by_inlet.monotonic_ns())
    for _ in range(3):
        inlet.take(0)
        found.append(by_inlet.monotonic_ns())
    clock.advance(1)
    found.append(by_inlet.monotonic_ns())
    assert [time_ns // NS_PER_S for time_ns in found] == [1, 2, 3, 10, 11]
    assert by_inlet.wall_ns() == clock.wall_ns()


def test_a_channel_without_room_is_refused(inlet: Inlet[str]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        inlet.channel("source", OverflowPolicy.BLOCK, 0, live=False)
