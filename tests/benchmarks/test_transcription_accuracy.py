"""The recogniser beside faster-whisper's own `transcribe` on a part of the campaign's material, and on sound alone."""

from functools import cache

import pytest

from models.transcription.recognizer import Recognizer, RecognizerSettings
from tests.benchmarks.transcription_accuracy import WORST_POINTS, Own, Reference, Row, compared
from tests.benchmarks.transcription_inventions import heard_in
from tests.benchmarks.transcription_material import acted, synthesised
from tests.speech.non_speech import KINDS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

_NUMBERS = range(3, 224, 18)
_SPREAD_POINTS = 4.0  # so few words: one is almost a point
_LONGEST_MS = 100


@cache
def own() -> Own:
    return Own("tiny", "en")


@cache
def reference() -> Reference:
    return Reference("tiny", "en")


@cache
def row_in(condition: str) -> Row:
    return compared(condition, "tiny", list(synthesised("en", condition, _NUMBERS)), own(), reference())


@pytest.mark.parametrize("condition", ["clean", "10 dB"])
def test_as_many_words_are_right_as_in_calls_of_faster_whisper(condition: str) -> None:
    row = row_in(condition)
    assert row.points_worse <= WORST_POINTS + _SPREAD_POINTS
    assert row.error_rate < 60, "else what is compared is noise"


def test_people_are_understood_as_well_as_by_faster_whisper() -> None:
    clips = list(acted(6))
    if not clips:
        pytest.skip("AFFECTD_DATA is not set")
    row = compared("RAVDESS", "tiny", clips, own(), reference())
    assert row.points_worse <= WORST_POINTS + _SPREAD_POINTS


def test_words_are_timed_within_a_tenth_of_a_second_in_the_median() -> None:
    row = row_in("clean")
    assert row.start_error_ms is not None
    assert row.start_error_ms < _LONGEST_MS
    assert row.end_error_ms is not None
    assert row.end_error_ms < _LONGEST_MS


@pytest.mark.parametrize("kind", KINDS)
def test_no_word_is_heard_in_sound_without_speech(kind: str) -> None:
    heard = heard_in(kind, recognizer(), minutes=[100])
    assert heard.invented == []


@cache
def recognizer() -> Recognizer:
    return Recognizer.load(RecognizerSettings("tiny", "en", "cpu"))
