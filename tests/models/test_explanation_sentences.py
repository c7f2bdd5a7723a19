import pytest

from models.explanation.sentences import ModalityEvidence, emotion_sentence, risk_sentence, target_sentence

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("evidence", "sentence"),
    [
        (
            {"audio": ModalityEvidence(0.42), "text": ModalityEvidence(0.15)},
            "Probably sadness (0.81): mostly the voice (+0.42) and the words (+0.15); no face was seen.",
        ),
        (
            {"video": ModalityEvidence(2.0, 0.1), "audio": ModalityEvidence(-0.5), "text": ModalityEvidence(0.01)},
            "Probably sadness (0.81): the face (+2.00), against the voice (-0.50); a face was seen in little of it.",
        ),
        (
            {"text": ModalityEvidence(1.0)},
            "Probably sadness (0.81): the words (+1.00); no face was seen and no voice was heard.",
        ),
    ],
)
def test_a_sentence_says_what_moved_the_answer_and_what_was_not_there(
    evidence: dict[str, ModalityEvidence], sentence: str
) -> None:
    assert emotion_sentence("sadness", 0.81, evidence) == sentence


def test_an_abstained_window_names_no_emotion() -> None:
    assert emotion_sentence(None, 0.14, {}, "no_evidence").startswith("Nothing to go by")
    assert emotion_sentence(None, 0.25, {"video": ModalityEvidence(0.1)}, "low_confidence") == (
        "Unclear: no emotion is probable enough (at most 0.25); no voice was heard and nothing was written."
    )


def test_risk_is_said_with_its_reasons_and_not_where_there_is_none() -> None:
    assert risk_sentence("none", []) == ""
    assert risk_sentence("high", [("words_of_self_harm", 0.93), ("a_new_code", 0.5)]) == (
        "Risk is high, for words of self-harm (0.93) and a new code (0.50)."
    )


def test_a_sentence_about_a_target_speaks_of_it_and_of_nothing_else() -> None:
    shares = {"text": ModalityEvidence(0.88), "audio": ModalityEvidence(0.0)}
    assert target_sentence("self_harm", 0.93, shares) == "Self-harm has 0.93: the words (+0.88); no face was seen."
    assert target_sentence("abuse", 0.0, {"video": ModalityEvidence(0.0)}) == (
        "Abuse has 0.00: raised by nothing there; no voice was heard and nothing was written."
    )
    assert target_sentence("fear", 0.1, {"text": ModalityEvidence(-0.2)}) == (
        "Fear has 0.10: raised by nothing there, against the words (-0.20); no face was seen and no voice was heard."
    )
    assert target_sentence("abuse", 0.0, {}).startswith("Nothing to go by")
