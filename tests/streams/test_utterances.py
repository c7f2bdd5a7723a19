"""Where utterances begin, end and are cut, frame by frame (32 ms)."""

import pytest

from streams.events import Voice
from streams.speech.utterances import FRAME_NS, LONGEST_NS, REACH_NS, Utterance, UtteranceSegmenter

pytestmark = pytest.mark.unit

PAUSE = 12
WEAK = 48
PADDING = 6
LONG = 256
CELL = 192
BEGIN = 1000 * CELL
"""A frame far from the epoch, where a cell begins."""


def voice(pattern: str, level_db: float = -20.0) -> Voice:
    """A frame for each character: "-" is silence, "v" voice, "w" what is voice only after voice, "q" quiet voice."""
    probability = {"-": 0.0, "v": 0.9, "w": 0.4, "q": 0.9}
    level = {"-": -60.0, "v": level_db, "w": level_db, "q": level_db - 20}
    return Voice(tuple(probability[c] for c in pattern), tuple(level[c] for c in pattern))


def cut(pattern: str, begin: int = BEGIN) -> list[tuple[int, int]]:
    """First frame and end of each utterance, from the first frame of the pattern on."""
    return [(begin_of(u) - begin, end_of(u) - begin) for u in UtteranceSegmenter().take(begin, voice(pattern))]


def begin_of(utterance: Utterance) -> int:
    return utterance.start_ns // FRAME_NS


def end_of(utterance: Utterance) -> int:
    return utterance.end_ns // FRAME_NS


def test_an_utterance_ends_where_a_pause_is_long_enough() -> None:
    assert cut("--" + "v" * 20 + "-" * PAUSE) == [(2, 22)]
    assert cut("--" + "v" * 20 + "-" * (PAUSE - 1)) == []


def test_a_shorter_pause_is_part_of_the_utterance() -> None:
    assert cut("v" * 20 + "-" * (PAUSE - 1) + "v" * 20 + "-" * PAUSE) == [(0, 40 + PAUSE - 1)]


def test_voice_goes_on_at_a_probability_at_which_it_would_not_begin() -> None:
    assert cut("www" + "v" * 6 + "www" + "-" * PAUSE) == [(3, 12)]


def test_weak_voice_does_not_go_on_for_ever() -> None:
    assert cut("v" * 6 + "w" * 200) == [(0, 6 + WEAK)]


def test_a_knock_is_no_utterance() -> None:
    assert cut("vvvv" + "-" * PAUSE) == []
    assert cut("vvvvv" + "-" * PAUSE) == [(0, 5)]


def test_sound_around_the_voice_is_read_too() -> None:
    (utterance,) = UtteranceSegmenter().take(BEGIN, voice("-" * 10 + "v" * 10 + "-" * PAUSE))
    assert utterance.start_ns - utterance.from_ns == utterance.until_ns - utterance.end_ns == PADDING * FRAME_NS


def test_speech_that_goes_on_is_cut_once_in_each_cell_where_it_is_most_quiet() -> None:
    cell = "v" * 150 + "qqq" + "v" * (CELL - 153)
    pieces = cut(cell * 6)
    assert pieces == [(0, 151), (151, 151 + CELL), (151 + CELL, 151 + 2 * CELL), *pieces[3:]]
    assert [end for _, end in pieces] == [151 + CELL * n for n in range(len(pieces))]
    assert all((end - begin) * FRAME_NS <= LONGEST_NS for begin, end in pieces)


def test_speech_of_eight_seconds_is_one_utterance() -> None:
    assert cut("v" * (LONG - 1) + "-" * PAUSE) == [(0, LONG - 1)]
    assert len(cut("v" * (LONG + 40) + "-" * PAUSE)) == 2


def test_a_part_is_out_as_soon_as_it_is_certain_while_speech_goes_on() -> None:
    segmenter = UtteranceSegmenter()
    assert segmenter.take(BEGIN, voice("v" * (LONG - 1))) == []
    (part,) = segmenter.take(BEGIN + LONG - 1, voice("v"))
    assert segmenter.open_from_ns == part.end_ns == part.until_ns


def test_no_part_is_shorter_than_a_second() -> None:
    cell = "v" * 100 + "qqq" + "v" * (CELL - 103)
    assert cut(("-" * 80 + "v" * (CELL - 80)) + cell + "v" * 20 + "-" * PAUSE)[0][0] == 80
    late = cut("-" * 90 + cell[90:] + cell + "-" * PAUSE)
    assert min(end - begin for begin, end in late) >= 32


def test_missing_frames_are_silence() -> None:
    segmenter = UtteranceSegmenter()
    assert segmenter.take(BEGIN, voice("v" * 10)) == []
    assert [end_of(u) for u in segmenter.take(BEGIN + 1000, voice("v" * 10))] == [BEGIN + 10]
    assert [begin_of(u) for u in segmenter.silence_until(BEGIN + 2000)] == [BEGIN + 1000]


def test_speech_is_open_until_it_is_in_an_utterance() -> None:
    segmenter = UtteranceSegmenter()
    segmenter.take(BEGIN, voice("--"))
    assert segmenter.open_from_ns is None
    segmenter.take(BEGIN + 2, voice("v" * 10))
    assert segmenter.open_from_ns == (BEGIN + 2) * FRAME_NS
    segmenter.silence_until(BEGIN + 40)
    assert segmenter.open_from_ns is None


def test_the_reach_is_as_far_as_a_stretch_and_its_longest_part() -> None:
    assert REACH_NS == (WEAK + LONG) * FRAME_NS + LONGEST_NS
