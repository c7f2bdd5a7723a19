"""Whatever the crash, and whatever was acknowledged by then: every window is published, and always the same."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.alignment.closed_window import ClosedWindow
from streams.alignment.sessions import Sessions
from streams.alignment.timeline_config import TimelineConfig
from streams.coordinates import Coordinates, Partition
from streams.delivery.checkpoint import decode
from streams.delivery.ledger import Ledger, Position
from streams.events import EncodingUnit, Event
from streams.records import MEDIA
from tests.streams.making import Counts, Stage, config, line, ns, picture, sound, span_ns

pytestmark = pytest.mark.property

PARTITIONS = {modality: Partition(modality, 0) for modality in MEDIA}
BOUND_S = 0.5
KINDS: list[Callable[..., Event]] = [picture, sound, line]

Log = list[tuple[Event, Coordinates]]
Published = dict[tuple[str, int], list[tuple[object, ...]]]

settings = st.sampled_from([0, 1, 3, 9]).map(lambda lookback_s: config(lookback_s=lookback_s))


class Instance:
    """One instance: reads a log from a checkpoint on, and publishes only as far as it is let."""

    def __init__(self, committed: dict[Partition, Position], settings: TimelineConfig) -> None:
        self.ledger = Ledger(settings.grid)
        through: dict[bytes, int] = {}
        for position in committed.values():
            through |= decode(position.metadata, self.ledger.grid)
        self.starts = {p: committed[p].offset if p in committed else 0 for p in PARTITIONS.values()}
        self.sessions = Sessions(settings, span_ns(600), Stage().clock, Counts(), self.ledger)
        self.sessions.assigned(self.ledger.assigned(0, self.starts, through))
        self.waiting: list[ClosedWindow] = []
        self.published: Published = {}

    def read(self, event: Event, at: Coordinates) -> None:
        if at.offset < self.starts[at.partition]:
            return
        self.ledger.read(at.partition, [(at.offset, 1)])
        self._take(self.sessions.add_logged(event, "kafka", at))

    def end(self) -> None:
        for partition in PARTITIONS.values():
            self.sessions.partition_idle(partition, span_ns(1000))
        self._take(self.sessions.tick())

    def publish(self, most: int) -> None:
        for window in self.waiting[:most]:
            key = window.session, window.index
            assert key not in self.published
            self.published[key] = self.content(window)
            assert window.lease is not None
            self.ledger.delivered(window.lease, window.index)
        del self.waiting[:most]

    def content(self, window: ClosedWindow) -> list[tuple[object, ...]]:
        return content(window)

    def _take(self, units: list[EncodingUnit]) -> None:
        for unit in units:
            unit.finish()
        self.waiting += self.sessions.ready_windows()


def content(window: ClosedWindow) -> list[tuple[object, ...]]:
    """What lies in a window, and what it looks back on."""
    return [
        (unit.modality, unit.start_ns, unit.end_ns, unit.order, unit.received_fraction)
        for found in (window.units, window.lookback)
        for placed in found.values()
        for unit in placed
    ]


@st.composite
def logs(draw: st.DrawFn) -> Log:
    """Records of two sessions, written up to the disorder bound out of order, as they are merged when read.

    Some come from a clock that is ahead: they happen after they were written.
    """
    made: list[tuple[float, Event]] = []
    for session in ("one", "two"):
        times = draw(st.lists(st.integers(0, 240), min_size=1, max_size=60))
        for tenth in sorted(times):
            at_s = tenth / 10
            ahead_s = draw(st.sampled_from([0, 0, 0, 2, 50]))
            event = draw(st.sampled_from(KINDS))(at_s + ahead_s, session=session)
            late_s = draw(st.integers(0, round(BOUND_S * 10) - 1)) / 10
            made.append((at_s + late_s, event))
    return written((ns(written_s), event) for written_s, event in made)


def written(made: Iterable[tuple[int, Event]]) -> Log:
    """The events in the order in which they were written, ns UTC, each at the next offset of its partition."""
    offsets = dict.fromkeys(PARTITIONS.values(), 0)
    log: Log = []
    for written_ns, event in sorted(made, key=lambda entry: entry[0]):
        partition = PARTITIONS[event.modality]
        log.append((event, Coordinates(partition, offsets[partition], written_ns)))
        offsets[partition] += 1
    return log


def undisturbed(log: Log, instance: Instance) -> Published:
    """What is published by an instance that reads on to the end."""
    for event, at in log:
        instance.read(event, at)
    instance.end()
    instance.publish(10_000)
    return instance.published


def assert_crashes_change_nothing(
    log: Log, begin: Callable[[dict[Partition, Position]], Instance], data: st.DataObject
) -> None:
    """Every window is published, and every time the same, whenever instances end.

    begin: an instance that reads on from what was committed.
    """
    expected, published, committed = undisturbed(log, begin({})), Published(), dict[Partition, Position]()
    for _ in range(data.draw(st.integers(0, 3), label="crashes")):
        instance = begin(committed)
        for event, at in log[: data.draw(st.integers(0, len(log)), label="read")]:
            instance.read(event, at)
            instance.publish(data.draw(st.sampled_from([0, 0, 1, 5])))
            if data.draw(st.booleans()):
                committed = instance.ledger.checkpoint()
        assert_agrees(published, instance.published)
        published |= instance.published
    last = undisturbed(log, begin(committed))
    assert_agrees(published, last)
    assert published | last == expected


@given(logs(), settings, st.data())
def test_after_any_crashes_every_window_was_published_and_every_time_the_same(
    log: Log, settings: TimelineConfig, data: st.DataObject
) -> None:
    assert_crashes_change_nothing(log, lambda committed: Instance(committed, settings), data)


@given(logs(), settings, st.data())
def test_what_a_checkpoint_says_was_published_is_not_published_again(
    log: Log, settings: TimelineConfig, data: st.DataObject
) -> None:
    instance = Instance({}, settings)
    for event, at in log[: data.draw(st.integers(0, len(log)))]:
        instance.read(event, at)
        instance.publish(data.draw(st.sampled_from([0, 1, 5])))
    after = undisturbed(log, Instance(instance.ledger.checkpoint(), settings))
    assert not instance.published.keys() & after.keys()
    assert instance.published | after == undisturbed(log, Instance({}, settings))


def assert_agrees(published: Published, more: Published) -> None:
    for key in published.keys() & more.keys():
        assert published[key] == more[key]
