"""Records of several partitions are merged by log time."""

import pytest

from streams.coordinates import Coordinates, Partition
from streams.kafka.merge import Merge
from streams.records import Modality, Record

pytestmark = pytest.mark.unit

VIDEO, AUDIO, TEXT = (Partition(topic, 0) for topic in ("video", "audio", "text"))


def records(partition: Partition, *written_ns: int, first_offset: int = 0) -> list[Record]:
    return [
        Record("room", Modality.TEXT, "text/plain", b"", 0, 0, None, Coordinates(partition, first_offset + at, time))
        for at, time in enumerate(written_ns)
    ]


def merge(*partitions: Partition) -> Merge:
    merge = Merge()
    merge.start(0, partitions)
    return merge


def popped(merge: Merge) -> list[tuple[str, int]]:
    """The topic and the time of writing of all that is ready."""
    return [(item.coordinates.partition.topic, item.coordinates.written_ns) for item in merge.pop_ready()]  # type: ignore[union-attr]


def test_records_go_in_the_order_of_writing() -> None:
    both = merge(VIDEO, TEXT)
    both.push(VIDEO, records(VIDEO, 1, 4, 5))
    both.push(TEXT, records(TEXT, 2, 3, 6))
    both.set_at_end(VIDEO, True)
    both.set_at_end(TEXT, True)
    assert popped(both) == [("video", 1), ("text", 2), ("text", 3), ("video", 4), ("video", 5), ("text", 6)]


def test_equal_times_go_in_the_order_of_the_topics() -> None:
    both = merge(VIDEO, TEXT)
    both.push(TEXT, records(TEXT, 1, 1))
    both.push(VIDEO, records(VIDEO, 1, 1))
    both.set_at_end(VIDEO, True)
    both.set_at_end(TEXT, True)
    assert popped(both) == [("video", 1), ("video", 1), ("text", 1), ("text", 1)]


def test_nothing_passes_a_partition_that_may_have_something_older() -> None:
    three = merge(VIDEO, AUDIO, TEXT)
    three.push(VIDEO, records(VIDEO, 1))
    three.push(TEXT, records(TEXT, 2))
    assert popped(three) == []
    assert list(three.starving()) == [AUDIO]
    three.push(AUDIO, records(AUDIO, 3))
    assert popped(three) == [("video", 1)]
    assert list(three.starving()) == [VIDEO]


def test_a_partition_at_its_end_holds_nothing_back() -> None:
    three = merge(VIDEO, AUDIO, TEXT)
    three.push(VIDEO, records(VIDEO, 1))
    three.set_at_end(AUDIO, True)
    three.set_at_end(TEXT, True)
    assert popped(three) == [("video", 1)]
    assert list(three.starving()) == []


def test_an_end_that_is_not_known_any_more_holds_back_again() -> None:
    both = merge(VIDEO, TEXT)
    both.set_at_end(TEXT, True)
    both.set_at_end(TEXT, False)
    both.push(VIDEO, records(VIDEO, 1))
    assert popped(both) == []
    assert list(both.starving()) == [TEXT]


def test_new_records_end_what_was_known_of_the_end() -> None:
    both = merge(VIDEO, TEXT)
    both.set_at_end(TEXT, True)
    both.push(TEXT, records(TEXT, 1))
    both.push(VIDEO, records(VIDEO, 2))
    assert popped(both) == [("text", 1)]
    assert list(both.starving()) == [TEXT]


def test_records_of_one_partition_keep_their_order_whatever_their_times() -> None:
    both = merge(VIDEO, TEXT)
    both.push(VIDEO, records(VIDEO, 9, 1, 8))
    both.push(TEXT, records(TEXT, 5, 10))
    both.set_at_end(VIDEO, True)
    assert popped(both) == [("text", 5), ("video", 9), ("video", 1), ("video", 8), ("text", 10)]


def test_numbers_do_not_wait_for_each_other() -> None:
    other = Partition("video", 1)
    two = merge(VIDEO, TEXT)
    two.start(1, [other])
    two.push(VIDEO, records(VIDEO, 1))
    two.push(other, records(other, 2))
    assert popped(two) == [("video", 2)]
    assert list(two.starving()) == [TEXT]


def test_what_is_dropped_is_gone_and_may_come_again() -> None:
    both = merge(VIDEO, TEXT)
    both.push(VIDEO, records(VIDEO, 1, 2))
    both.stop([0, 7])
    assert popped(both) == []
    with pytest.raises(KeyError):
        both.push(VIDEO, records(VIDEO, 3))
    both.start(0, [VIDEO])
    assert both.buffered(VIDEO) == 0
    both.push(VIDEO, records(VIDEO, 1))
    both.set_at_end(VIDEO, True)
    assert popped(both) == [("video", 1)]


def test_the_waiting_bytes_are_counted() -> None:
    both = merge(VIDEO, TEXT)
    both.push(VIDEO, records(VIDEO, 1, 2))
    assert (both.buffered(VIDEO), both.buffered(TEXT)) == (2, 0)


def test_a_record_that_is_of_no_log_cannot_be_merged() -> None:
    both = merge(VIDEO, TEXT)
    both.push(VIDEO, [Record("room", Modality.TEXT, "text/plain", b"", 0, 0)])
    both.push(TEXT, records(TEXT, 1))
    with pytest.raises(ValueError, match="coordinates"):
        both.pop_ready()
