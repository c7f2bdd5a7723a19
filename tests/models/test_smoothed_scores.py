"""Scores in the light of the windows before: the answer changes, what each modality says does not."""

from dataclasses import replace

import pytest
import torch

from models.fusion.smoothed_scores import Course, smoothed
from models.labels import EMOTIONS, MODALITIES, RISKS
from models.scores import NO_RISK, Abstention, ModalityScores, RiskScores, Scores
from models.valence_arousal import valence_arousal
from tests.models.model_folders import plain_manifest

pytestmark = pytest.mark.unit

COURSE = Course.of_windows(4, 1, plain_manifest().risk)
LEAST = 0.45


def said(label: str, probability: float) -> Scores:
    """The scores of a window that is so sure of a label."""
    rest = (1 - probability) / (len(EMOTIONS) - 1)
    answer = torch.tensor([[probability if name == label else rest for name in EMOTIONS]], dtype=torch.float64)
    valence, arousal = valence_arousal(answer)[0].tolist()
    entropy = float(torch.special.entr(answer).sum())
    modality = {name: ModalityScores(name == "text", probability, None) for name in MODALITIES}
    abstained = Abstention.LOW_CONFIDENCE if probability < LEAST else None
    emotion = tuple(answer[0].tolist())
    return Scores(emotion, None if abstained else label, valence, arousal, entropy, modality, NO_RISK, abstained)


def nothing() -> Scores:
    flat = tuple([1 / len(EMOTIONS)] * len(EMOTIONS))
    absent = {name: ModalityScores(False, 0.0, None) for name in MODALITIES}
    return Scores(flat, None, 0.0, 0.0, 1.9, absent, NO_RISK, Abstention.NO_EVIDENCE)


def words(**categories: float) -> RiskScores:
    """The risk of a window whose words speak of these categories."""
    rule, flat = plain_manifest().risk, torch.full((1, len(EMOTIONS)), 1 / len(EMOTIONS), dtype=torch.float64)
    said_of = torch.tensor([[categories.get(name, 0.0) for name in RISKS]], dtype=torch.float64)
    return rule.score(said_of, flat, torch.zeros(3, 1, len(EMOTIONS), dtype=torch.float64))[0]


def answer(*windows: Scores) -> Scores:
    [found] = smoothed([windows], COURSE, LEAST)
    return found


def test_without_a_past_a_window_says_what_it_says() -> None:
    own = said("anger", 0.6)
    assert answer(own) is own
    assert answer(nothing(), nothing(), own) is own


def test_an_unsure_window_is_taken_for_more_of_what_was_before() -> None:
    own = said("fear", 0.46)
    found = answer(*[said("sadness", 0.8)] * 4, own)
    assert (found.label, found.abstained) == ("sadness", None)
    assert EMOTIONS[max(range(len(EMOTIONS)), key=found.emotion.__getitem__)] == "sadness"
    assert sum(found.emotion) == pytest.approx(1)
    assert found.valence < 0
    assert found.modality is own.modality
    assert found.risk is own.risk


def test_what_follows_from_the_probabilities_follows_from_the_smoothed_ones() -> None:
    found = answer(*[said("sadness", 0.8)] * 4, said("fear", 0.46))
    probabilities = torch.tensor([found.emotion], dtype=torch.float64)
    assert (found.valence, found.arousal) == pytest.approx(tuple(valence_arousal(probabilities)[0].tolist()))
    assert found.entropy == pytest.approx(float(torch.special.entr(probabilities).sum()))


def test_windows_too_unsure_to_answer_answer_together() -> None:
    assert answer(*[said("sadness", 0.4)] * 5).label == "sadness"


def test_where_past_and_present_disagree_too_much_the_window_is_abstained_from() -> None:
    found = answer(*[said("sadness", 0.6)] * 8, said("fear", 0.975))
    assert max(found.emotion) < 0.55
    [strict] = smoothed([[*[said("sadness", 0.6)] * 8, said("fear", 0.975)]], COURSE, least_confidence=0.55)
    assert (strict.label, strict.abstained) == (None, "low_confidence")
    assert strict.emotion == found.emotion


def test_a_window_without_evidence_is_abstained_from_whatever_was_before() -> None:
    own = nothing()
    assert answer(*[said("happiness", 0.9)] * 4, own) is own


def test_a_probability_of_nothing_is_no_certainty() -> None:
    sure = said("happiness", 1.0)
    found = answer(sure, sure, said("anger", 1.0))
    assert found.label == "anger"
    assert all(0 <= probability <= 1 for probability in found.emotion)


def test_each_row_is_answered_as_alone() -> None:
    rows = [[said("anger", 0.9), said("fear", 0.5)], [nothing(), said("fear", 0.5)], [said("fear", 0.9), nothing()]]
    together = smoothed(rows, COURSE, LEAST)
    assert together == [answer(*row) for row in rows]
    assert smoothed([], COURSE, LEAST) == []


def test_a_set_holds_the_smoothed_label_and_its_order_follows_the_smoothed_probabilities() -> None:
    own = replace(said("fear", 0.46), label_set=("fear", "anger"))
    found = answer(*[said("sadness", 0.8)] * 4, own)
    assert (found.label, found.label_set) == ("sadness", ("sadness", "fear", "anger"))


def test_a_window_without_evidence_keeps_the_risk_of_what_was_said_just_before() -> None:
    cry = replace(said("fear", 0.9), risk=words(self_harm=0.97))
    found = answer(said("neutral", 0.9), cry, nothing(), nothing())
    assert (found.label, found.abstained) == (None, "no_evidence")
    assert [reason.code for reason in found.risk.reasons] == ["recent_course"]
