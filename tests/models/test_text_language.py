"""English lines are told from those in other languages; in doubt a line is not English."""

import pytest

from models.text.language import EnglishDetector

pytestmark = pytest.mark.unit

ENGLISH = [
    "I got the job!! I'm so happy right now",
    "this is the third time you lied to me",
    "what time does the store close?",
    "SHUT UP YOU STUPID",
    "good night everyone",
]
OTHER = [
    "ich bin heute so traurig",
    "je n'en peux plus, laisse moi tranquille",
    "no puedo más, quiero morir",
    "sono così triste",
    "não aguento mais",
    "我想死，再见了大家",
    "もう疲れた",
    "мне очень плохо",
    "أنا حزين جدا",
]
NEITHER = ["", "   ", "!!!", "\ud83d", "\x00", "a" * 100_000]


@pytest.fixture(scope="module")
def detector() -> EnglishDetector:
    return EnglishDetector()


@pytest.mark.parametrize("line", ENGLISH)
def test_english_is_told(detector: EnglishDetector, line: str) -> None:
    assert detector.is_english(line)


@pytest.mark.parametrize("line", OTHER)
def test_other_languages_are_told(detector: EnglishDetector, line: str) -> None:
    assert not detector.is_english(line)


@pytest.mark.parametrize("line", NEITHER, ids=["empty", "blank", "marks", "surrogate", "control", "long"])
def test_what_is_no_language_is_not_english(detector: EnglishDetector, line: str) -> None:
    assert not detector.is_english(line)
