import hashlib
from itertools import permutations
from typing import Any

import pytest

from streams.alignment.assembly import FOREVER_NS, FrameSampler, Instants, SoundSegmenter
from streams.alignment.windows import SegmentGrid
from streams.events import EncodingUnit, Event, Line, Picture, SoundPieces
from streams.records import Modality
from tests.streams.making import Counts, line, ns, picture, seconds, sound, span_ns

pytestmark = pytest.mark.unit

SECONDS = SegmentGrid(span_ns(1), span_ns(1))
PAIRS = SegmentGrid(span_ns(2), span_ns(1))


def contents(units: list[EncodingUnit]) -> list[bytes]:
    return [unit.payload.payload for unit in units if isinstance(unit.payload, Picture)]


@pytest.mark.parametrize("order", list(permutations([0.01, 0.05, 0.19])))
def test_the_earliest_picture_of_a_cell_is_taken_in_whatever_order_they_arrive(order: tuple[float, ...]) -> None:
    counts = Counts()
    sampler = FrameSampler(5, counts)
    for at_s in order:
        sampler.add(picture(at_s))
    assert [seconds(unit.start_ns) for unit in sampler.release(ns(1))] == [0.01]
    assert counts.of["sampled_out", Modality.VIDEO] == 2


@pytest.mark.parametrize("order", list(permutations([b"a", b"b", b"c"])))
def test_of_pictures_of_the_same_time_the_content_decides_and_not_arrival(order: tuple[bytes, ...]) -> None:
    sampler = FrameSampler(5, Counts())
    for content in order:
        sampler.add(picture(0, content))
    assert contents(sampler.release(ns(1))) == [b"a"]


def test_a_picture_is_final_once_the_watermark_has_passed_it() -> None:
    sampler = FrameSampler(5, Counts())
    sampler.add(picture(0.1))
    assert sampler.release(ns(0.1)) == []  # one at the same time may still come
    assert len(sampler.release(ns(0.1) + 1)) == 1
    assert sampler.release(FOREVER_NS) == []


def test_a_cell_gives_one_picture_even_when_an_earlier_one_comes_too_late() -> None:
    counts = Counts()
    sampler = FrameSampler(5, counts)
    sampler.add(picture(0.1))
    sampler.release(ns(0.2))
    sampler.add(picture(0.05))
    assert sampler.release(ns(1)) == []
    assert counts.of["sampled_out", Modality.VIDEO] == 1


def test_pictures_of_several_cells_are_released_in_time_order() -> None:
    sampler = FrameSampler(5, Counts())
    for at_s in (0.9, 0.1, 0.5, 0.3):
        sampler.add(picture(at_s))
    assert [seconds(unit.start_ns) for unit in sampler.release(ns(0.6))] == [0.1, 0.3, 0.5]
    assert [seconds(unit.start_ns) for unit in sampler.release(ns(1))] == [0.9]


def test_forgetting_frees_the_cells_before_it_and_keeps_the_others() -> None:
    sampler = FrameSampler(5, Counts())
    sampler.add(picture(0))
    sampler.add(picture(1))
    sampler.release(FOREVER_NS)
    sampler.forget(ns(1))
    sampler.add(picture(1.1))
    assert sampler.release(FOREVER_NS) == []
    sampler.add(picture(0))
    assert len(sampler.release(FOREVER_NS)) == 1


def test_a_line_is_released_at_once() -> None:
    lines = Instants()
    lines.add(line(5, "hello"))
    (unit,) = lines.release(ns(0))
    assert (unit.payload, unit.start_ns, unit.end_ns) == (Line("hello"), ns(5), ns(5))
    assert lines.release(FOREVER_NS) == []


def test_lines_of_the_same_time_have_an_order_of_their_own() -> None:
    lines = Instants()
    event = line(5)
    for author in ("zoe", "ann"):
        lines.add(Event(event.session, event.modality, event.time_ns, 0, 0, Line("hello", author)))
    by_order = sorted(lines.release(FOREVER_NS), key=lambda unit: unit.order)
    assert [unit.payload for unit in by_order] == [Line("hello", "ann"), Line("hello", "zoe")]


def pieces(unit: EncodingUnit) -> list[float]:
    assert isinstance(unit.payload, SoundPieces)
    return [seconds(time_ns) for time_ns, _ in unit.payload.pieces]


@pytest.mark.parametrize(
    ("sounds", "segments"),
    [
        pytest.param([(0, 1)], [(0, [0], 1.0)], id="one segment"),
        pytest.param([(0, 0.5), (0.5, 0.5)], [(0, [0, 0.5], 1.0)], id="end to end"),
        pytest.param([(0.5, 0.5), (0, 0.5)], [(0, [0, 0.5], 1.0)], id="in any order"),
        pytest.param([(0, 0.25), (0.75, 0.25)], [(0, [0, 0.75], 0.5)], id="a gap is missing"),
        pytest.param([(0, 0.5), (0.25, 0.5)], [(0, [0, 0.25], 0.75)], id="an overlap counts once"),
        pytest.param([(0, 0.75), (0.25, 0.25)], [(0, [0, 0.25], 0.75)], id="a sound within another adds nothing"),
        pytest.param([(0.75, 0.5)], [(0, [0.75], 0.25), (1, [0.75], 0.25)], id="over two segments"),
        pytest.param([(0, 3)], [(0, [0], 1.0), (1, [0], 1.0), (2, [0], 1.0)], id="over three segments"),
        pytest.param([(0, 1), (5, 1)], [(0, [0], 1.0), (5, [5], 1.0)], id="segments without sound are none"),
    ],
)
def test_sound_is_cut_into_segments_on_the_grid(
    sounds: list[tuple[float, float]], segments: list[tuple[float, list[float], float]]
) -> None:
    segmenter = SoundSegmenter(SECONDS)
    for at_s, for_s in sounds:
        segmenter.add(sound(at_s, for_s))
    units = segmenter.release(FOREVER_NS)
    assert [(seconds(unit.start_ns), pieces(unit), unit.received_fraction) for unit in units] == segments
    assert all(unit.end_ns - unit.start_ns == span_ns(1) for unit in units)


@pytest.mark.parametrize(
    ("sounds", "segments"),
    [
        pytest.param([(5, 1)], [(4, [5], 0.5), (5, [5], 0.5)], id="a second lies in two pairs"),
        pytest.param([(5, 1), (6, 1)], [(4, [5], 0.5), (5, [5, 6], 1.0), (6, [6], 0.5)], id="and so does the next"),
        pytest.param([(5.5, 1)], [(4, [5.5], 0.25), (5, [5.5], 0.5), (6, [5.5], 0.25)], id="off the grid"),
    ],
)
def test_sound_may_be_cut_into_segments_that_overlap(
    sounds: list[tuple[float, float]], segments: list[tuple[float, list[float], float]]
) -> None:
    segmenter = SoundSegmenter(PAIRS)
    for at_s, for_s in sounds:
        segmenter.add(sound(at_s, for_s))
    units = segmenter.release(FOREVER_NS)
    assert [(seconds(unit.start_ns), pieces(unit), unit.received_fraction) for unit in units] == segments
    assert all(unit.end_ns - unit.start_ns == span_ns(2) for unit in units)


def test_a_sound_that_comes_late_changes_every_segment_it_lies_in() -> None:
    segmenter = SoundSegmenter(PAIRS)
    segmenter.add(sound(0, 3))
    segmenter.release(ns(3))
    segmenter.add(sound(1.5, 0.1))
    assert [seconds(unit.start_ns) for unit in segmenter.release(ns(3))] == [0, 1]


def test_a_segment_is_final_once_the_watermark_reaches_its_end() -> None:
    segmenter = SoundSegmenter(SECONDS)
    segmenter.add(sound(0.5, 1))
    assert segmenter.release(ns(1) - 1) == []
    assert [seconds(unit.start_ns) for unit in segmenter.release(ns(1))] == [0]
    assert [seconds(unit.start_ns) for unit in segmenter.release(ns(2))] == [1]


def test_a_sound_that_comes_after_its_segment_was_released_changes_it() -> None:
    segmenter = SoundSegmenter(SECONDS)
    segmenter.add(sound(0, 0.5))
    segmenter.release(ns(1))
    segmenter.add(sound(0.5, 0.5))
    (unit,) = segmenter.release(ns(1))
    assert (pieces(unit), unit.received_fraction) == ([0, 0.5], 1.0)


def test_what_was_forgotten_is_not_released_again() -> None:
    segmenter = SoundSegmenter(SECONDS)
    segmenter.add(sound(0, 2))
    segmenter.forget(ns(1))
    assert [seconds(unit.start_ns) for unit in segmenter.release(FOREVER_NS)] == [1]


@pytest.mark.parametrize("order", list(permutations([0.1, 0.2, 0.3])))
def test_of_sounds_of_the_same_time_the_content_decides_their_order(order: tuple[float, ...]) -> None:
    segmenter = SoundSegmenter(SECONDS)
    for level in order:
        segmenter.add(sound(0, 0.5, level=level))
    (unit,) = segmenter.release(FOREVER_NS)
    assert isinstance(unit.payload, SoundPieces)
    first = [piece.samples[0] for _, piece in unit.payload.pieces]
    other = SoundSegmenter(SECONDS)
    for level in (0.1, 0.2, 0.3):
        other.add(sound(0, 0.5, level=level))
    (expected,) = other.release(FOREVER_NS)
    assert isinstance(expected.payload, SoundPieces)
    assert first == [piece.samples[0] for _, piece in expected.payload.pieces]


def test_an_event_of_another_modality_is_refused() -> None:
    with pytest.raises(TypeError, match="a line or a signal is needed, not a Picture"):
        Instants().add(picture(0))
    sampler = FrameSampler(5, Counts())
    sampler.add(sound(0))
    with pytest.raises(TypeError, match="sound lasts"):
        sampler.release(FOREVER_NS)


@pytest.mark.parametrize(("rivals", "read"), [(1, 0), (2, 2)], ids=["alone", "two of the same time"])
def test_the_content_of_a_long_sound_is_read_once_at_most_however_many_segments_it_has(
    rivals: int, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Any] = []
    hashed = hashlib.blake2b

    def counted(content: Any, **options: Any) -> Any:
        reads.append(content)
        return hashed(content, **options)

    monkeypatch.setattr(hashlib, "blake2b", counted)
    segmenter = SoundSegmenter(PAIRS)
    for level in range(rivals):
        segmenter.add(sound(0, 600, level=level / 10))
    assert len(segmenter.release(FOREVER_NS)) == 601
    assert len(reads) == read
