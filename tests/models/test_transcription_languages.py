"""A session's language: found at once, kept through doubt, changed by several utterances in a row."""

import pytest

from models.transcription.languages import SessionLanguages

pytestmark = pytest.mark.unit

CODES = ("en", "zh", "de", "es", "fr", "it", "ja", "th", "ro", "la", "cy")


def heard(language: str, probability: float = 0.98) -> dict[str, float]:
    return {language: probability}


def session_of(*utterances: tuple[str, float]) -> list[str]:
    """The language after each utterance, given what was detected and its length."""
    languages = SessionLanguages(CODES)
    return [languages.observe("s", heard(language), duration_s) for language, duration_s in utterances]


def test_the_first_utterance_decides_at_once() -> None:
    assert session_of(("de", 3.0)) == ["de"]
    assert session_of(("fr", 0.5)) == ["fr"]


def test_one_utterance_of_another_language_changes_nothing() -> None:
    assert session_of(*[("en", 3.0)] * 3, ("de", 4.0), ("en", 3.0))[3:] == ["en", "en"]


def test_several_in_a_row_change_it() -> None:
    after = session_of(*[("en", 3.0)] * 8, *[("de", 3.0)] * 4)
    assert after[8] == "en"
    assert after[-1] == "de"


def test_short_utterances_count_less() -> None:
    assert session_of(*[("en", 3.0)] * 4, *[("de", 0.6)] * 4)[-1] == "en"
    assert session_of(*[("en", 3.0)] * 4, *[("de", 3.0)] * 4)[-1] == "de"


def test_a_doubtful_utterance_is_no_evidence() -> None:
    languages = SessionLanguages(CODES)
    languages.observe("s", heard("es"), 3.0)
    assert [languages.observe("s", heard("de", 0.06), 0.5) for _ in range(9)] == ["es"] * 9


def test_a_language_that_was_not_tried_needs_a_second_utterance_and_one_that_nothing_reads_is_never_told() -> None:
    assert session_of(("th", 3.0), ("th", 3.0), ("th", 3.0))[-1] == "th"
    assert session_of(("th", 2.0))[0] in ("en", "zh", "de", "es", "fr")
    assert "la" not in session_of(*[("la", 5.0)] * 6)


def test_a_model_of_other_languages_tells_those() -> None:
    assert SessionLanguages(("la",)).observe("s", heard("la"), 3.0) == "la"


def test_sessions_are_apart_and_can_be_forgotten() -> None:
    languages = SessionLanguages(CODES)
    for _ in range(3):
        languages.observe("a", heard("en"), 3.0)
    assert languages.observe("b", heard("de"), 3.0) == "de"
    languages.forget("a")
    languages.forget("never seen")
    assert languages.observe("a", heard("fr"), 3.0) == "fr"
