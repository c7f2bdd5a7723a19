"""However partitions are read, their records come out in one order: that in which they were written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.coordinates import Coordinates, Partition
from streams.kafka.merge import Merge
from streams.records import Modality, Record

pytestmark = pytest.mark.property

PARTITIONS = [Partition(topic, 0) for topic in ("video", "audio", "text")]
LOGS = st.tuples(*[st.lists(st.integers(0, 50), max_size=25)] * 3)


def log_of(partition: Partition, written: list[int]) -> list[Record]:
    return [
        Record("room", Modality.TEXT, "text/plain", b"", 0, 0, None, Coordinates(partition, offset, written_ns))
        for offset, written_ns in enumerate(written)
    ]


def in_order(logs: list[list[Record]]) -> list[Record]:
    """The same by the plainest means: again and again the earliest of the first records of what is left."""
    left = [list(log) for log in logs]
    merged = []
    while any(left):
        first = min((log for log in left if log), key=lambda log: log[0].coordinates.written_ns)  # type: ignore[union-attr]
        merged.append(first.pop(0))
    return merged


@given(LOGS, st.data())
def test_the_order_does_not_depend_on_how_partitions_are_read(
    written: tuple[list[int], ...], data: st.DataObject
) -> None:
    logs = [log_of(partition, times) for partition, times in zip(PARTITIONS, written, strict=True)]
    merge, read, popped = Merge(), [0, 0, 0], list[object]()
    merge.start(0, PARTITIONS)
    for at, log in enumerate(logs):
        merge.set_at_end(PARTITIONS[at], not log)
    while any(at < len(log) for at, log in zip(read, logs, strict=True)):
        at = data.draw(st.sampled_from([at for at in range(3) if read[at] < len(logs[at])]))
        until = data.draw(st.integers(read[at] + 1, len(logs[at])))
        merge.push(PARTITIONS[at], logs[at][read[at] : until])
        read[at] = until
        merge.set_at_end(PARTITIONS[at], until == len(logs[at]))
        popped += merge.pop_ready()
        assert popped == in_order(logs)[: len(popped)]
    assert popped == in_order(logs)
    assert not list(merge.starving())


@given(LOGS)
def test_what_waits_waits_for_a_partition_that_is_told(written: tuple[list[int], ...]) -> None:
    merge = Merge()
    merge.start(0, PARTITIONS)
    for partition, times in zip(PARTITIONS, written, strict=True):
        merge.push(partition, log_of(partition, times))
    merge.pop_ready()
    waiting = [partition for partition in PARTITIONS if merge.buffered(partition)]
    starving = list(merge.starving())
    assert bool(waiting) == bool(starving)
    assert set(starving).isdisjoint(waiting)
