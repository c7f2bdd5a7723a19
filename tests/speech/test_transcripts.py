import pytest

from tests.speech.synthesis import SpokenWord
from tests.speech.transcripts import HeardWord, error_rate, normalised, time_errors_s

pytestmark = pytest.mark.unit


def test_case_punctuation_and_the_writing_of_numbers_are_no_errors() -> None:
    assert normalised("I don’t have 10 — only 3!") == "i don't have ten only three"
    assert normalised("¿Dónde está?") == "dónde está"
    assert error_rate(["Where are the two keys?"], ["where are the 2 keys"]) == 0


def test_errors_are_of_words_and_in_chinese_of_characters() -> None:
    assert error_rate(["one two three four", "five"], ["one two tree four", "five six"]) == pytest.approx(2 / 5)
    assert error_rate(["nothing was heard"], [""]) == 1
    assert error_rate(["谢谢你。"], ["谢谢,您"], "zh") == pytest.approx(1 / 3)


def test_times_are_of_words_that_are_right_and_have_marks_of_their_own() -> None:
    marks = [SpokenWord("Two", 0.0, 0.3), SpokenWord("of the", 0.3, 0.5), SpokenWord("keys.", 0.5, 0.9)]
    heard = [("2", 0.1, 0.3), ("of", 0.35, 0.4), ("the", 0.4, 0.6), ("fleas", 0.6, 0.9)]
    starts, ends = time_errors_s(marks, [HeardWord(*word) for word in heard])
    assert starts == pytest.approx([0.1, 0.05])
    assert ends == pytest.approx([0.0, 0.1])


def test_nothing_recognised_has_no_times() -> None:
    assert time_errors_s([SpokenWord("Two", 0.0, 0.3)], []) == ([], [])
