"""What is believed of a reading: inventions go, real words stay."""

import pytest

from models.transcription.guards import Reading, compression_ratio, is_said_twice, loops, rejection_of
from models.transcription.recognition import Rejection

pytestmark = pytest.mark.unit


def reading(text: str, mean: float = -0.3, no_speech: float = 0.02, cut: bool = False) -> Reading:
    return Reading(text, (), mean, no_speech, cut)


@pytest.mark.parametrize(
    ("text", "mean", "no_speech", "expected"),
    [
        ("", -0.1, 0.1, Rejection.NO_SPEECH),
        (" ... ", -0.1, 0.1, Rejection.NO_SPEECH),
        ("I was there.", -0.6, 0.9, Rejection.NO_SPEECH),
        ("beep and beep and beep and beep and beep and", -0.1, 0.8, Rejection.NO_SPEECH),
        ("I was there.", -0.3, 0.9, None),
        ("I was there.", -1.5, 0.1, Rejection.LOW_CONFIDENCE),
        ("and then and then and then and then and then", -0.1, 0.0, Rejection.REPETITION),
        ("No, no, no, no!", -0.3, 0.0, None),
        ("我不知道我不知道我不知道我不知道", -0.1, 0.0, Rejection.REPETITION),
        ("I said I said it and you said you said it", -0.3, 0.0, None),
    ],
)
def test_each_measure_refuses_what_it_is_for(
    text: str, mean: float, no_speech: float, expected: Rejection | None
) -> None:
    assert rejection_of(reading(text, mean, no_speech)) is expected


@pytest.mark.parametrize(
    "text",
    [
        "Thank you for watching!",
        "Thanks for watching.",
        "Thank you.",
        "Subtitles by the Amara.org community",
        "Untertitel im Auftrag des ZDF für funk, 2017",
        "Vielen Dank.",
        "Subtítulos realizados por la comunidad de Amara.org",
        "Sous-titrage Société Radio-Canada",
        "Merci d’avoir regardé cette vidéo !",
        "字幕由Amara.org社区提供",
        "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
        "謝謝觀看",
    ],
)
def test_known_phrases_go_where_the_recogniser_is_unsure_and_stay_where_it_is_sure(text: str) -> None:
    assert rejection_of(reading(text, mean=-0.8)) is Rejection.KNOWN_PHRASE
    assert rejection_of(reading(text, no_speech=0.4)) is Rejection.KNOWN_PHRASE
    assert rejection_of(reading(text, mean=-0.15)) is None


def test_a_text_that_the_decoder_did_not_end_is_a_repetition() -> None:
    assert rejection_of(reading("one two three", cut=True)) is Rejection.REPETITION


def test_monotonous_text_compresses_well_and_ordinary_text_does_not() -> None:
    assert compression_ratio("la la di da " * 12) > 2.4
    assert rejection_of(reading(" ".join(f"abcabcabc{n}abcabcabcabcabc" for n in range(9)))) is Rejection.COMPRESSION
    assert compression_ratio("I would like to know when my order will arrive, please.") < 1.5
    assert compression_ratio("no no no") == 0


@pytest.mark.parametrize(("units", "times"), [("", 1), ("a b c", 1), ("a b a b", 2), ("x a b c a b c a b c", 3)])
def test_loops_count_what_follows_itself(units: str, times: int) -> None:
    assert loops(units.split()) == times


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        ("Dogs are sitting by the door. Dogs are sitting by the door.", True),
        ("Dogs are sitting by the door.", False),
        ("No, no.", False),
        ("I know. I know.", False),
        ("Please call me. Please call him.", False),
    ],
)
def test_a_phrase_that_is_all_of_a_text_and_comes_twice_is_told(text: str, twice: bool) -> None:
    assert is_said_twice(text) is twice


@pytest.mark.parametrize(
    ("mean", "no_speech", "expected"), [(-0.84, 0.26, Rejection.NO_SPEECH), (-0.84, 0.2, None), (-0.6, 0.26, None)]
)
def test_a_model_of_many_languages_is_believed_less_where_there_may_be_no_speech(
    mean: float, no_speech: float, expected: Rejection | None
) -> None:
    unsure = reading("That is what I am saying, is it not?", mean, no_speech)
    assert rejection_of(unsure, wary=True) is expected
    assert rejection_of(unsure) is None
