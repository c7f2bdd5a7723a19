from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.alignment.windows import SegmentGrid, WindowGrid

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("size", "step", "start", "end", "windows"),
    [
        pytest.param(4, 1, 10, 10, [(7, 11), (8, 12), (9, 13), (10, 14)], id="an instant at a start is in that window"),
        pytest.param(4, 4, 10, 10, [(8, 12)], id="tumbling windows hold an instant once"),
        pytest.param(4, 4, 12, 12, [(12, 16)], id="the end is not part of a window"),
        pytest.param(10, 3, 10, 10, [(3, 13), (6, 16), (9, 19)], id="a step that does not divide the size"),
        pytest.param(10, 3, 12, 12, [(3, 13), (6, 16), (9, 19), (12, 22)], id="then some instants are in one more"),
        pytest.param(4, 1, 10, 12, [(8, 12), (9, 13), (10, 14)], id="a span needs the windows that hold all of it"),
        pytest.param(4, 1, 10, 14, [(10, 14)], id="a span as long as the window is in one at most"),
        pytest.param(4, 4, 10, 13, [], id="a span over a boundary of tumbling windows is in none"),
        pytest.param(4, 1, 10, 15, [], id="a span longer than a window is in none"),
        pytest.param(4, 1, -1, -1, [(-4, 0), (-3, 1), (-2, 2), (-1, 3)], id="before 1970 it is the same"),
    ],
)
def test_a_span_lies_in_the_windows_that_contain_it(
    size: int, step: int, start: int, end: int, windows: list[tuple[int, int]]
) -> None:
    grid = WindowGrid(size, step)
    found = range(grid.first_containing(start, end), grid.last_containing(start) + 1)
    assert [(grid.start_ns(k), grid.end_ns(k)) for k in found] == windows


@pytest.mark.parametrize(
    ("watermark", "first_open"), [(13, (10, 14)), (14, (11, 15)), (15, (12, 16)), (0, (-3, 1)), (-1, (-4, 0))]
)
def test_a_window_is_complete_when_the_watermark_reaches_its_end(watermark: int, first_open: tuple[int, int]) -> None:
    grid = WindowGrid(4, 1)
    index = grid.first_open(watermark)
    assert (grid.start_ns(index), grid.end_ns(index)) == first_open


@pytest.mark.parametrize(("size", "step"), [(4, 0), (4, -1), (4, 5), (0, 0)])
def test_windows_that_would_miss_events_or_never_move_are_refused(size: int, step: int) -> None:
    with pytest.raises(ValueError, match="0 < step <= size"):
        WindowGrid(size, step)


@pytest.mark.parametrize(
    ("size", "step", "segment", "every"),
    [
        (40, 10, 10, True),
        (40, 40, 10, True),
        (40, 4, 10, True),
        (15, 15, 10, False),  # the segment [10, 20) lies over the end of [0, 15)
        (5, 1, 10, False),
        (12, 4, 10, True),  # segments start 0 or 2 after a window does
        (11, 4, 10, False),
    ],
)
def test_it_is_known_beforehand_whether_a_segment_would_be_missed(
    size: int, step: int, segment: int, every: bool
) -> None:
    grid = WindowGrid(size, step)
    assert grid.covers_every(SegmentGrid(segment, segment)) is every
    spans = [(n * segment, (n + 1) * segment) for n in range(60)]
    assert all(grid.first_containing(*span) <= grid.last_containing(span[0]) for span in spans) is every


@pytest.mark.parametrize(
    ("size", "step", "length", "hop"),
    list(product((10, 12, 20, 25, 40), (4, 5, 10, 20, 40), (10, 20, 30), (10, 15))),
)
def test_it_is_known_beforehand_whether_overlapping_segments_would_miss_sound(
    size: int, step: int, length: int, hop: int
) -> None:
    if step > size or length % hop:
        return
    grid, segments = WindowGrid(size, step), SegmentGrid(length, hop)
    heard = set[int]()
    for index in range(-40, 120):
        start, end = segments.start_ns(index), segments.end_ns(index)
        if grid.holds(start, end):
            heard.update(range(start, end))
    assert grid.covers_every(segments) is (heard >= set(range(600)))


@given(st.integers(1, 5), st.integers(1, 4), st.integers(-100, 100), st.integers(1, 60))
def test_segments_overlap_a_span_or_lie_in_it_as_their_starts_and_ends_say(
    hop: int, hops: int, start: int, size: int
) -> None:
    segments = SegmentGrid(hop * hops, hop)
    everywhere = range(-300, 300)
    overlapping = [k for k in everywhere if segments.start_ns(k) < start + size and segments.end_ns(k) > start]
    within = [k for k in everywhere if segments.start_ns(k) >= start and segments.end_ns(k) <= start + size]
    assert list(segments.overlapping(start, start + size)) == overlapping
    assert segments.count_within(start, start + size) == len(within)


def test_segments_that_would_leave_gaps_or_overlap_unevenly_are_refused() -> None:
    for length, hop in ((10, 0), (10, 20), (15, 10)):
        with pytest.raises(ValueError, match="whole hops"):
            SegmentGrid(length, hop)
