"""Scores in the light of the windows before: the answer changes, what each modality says does not."""

import pytest
import torch

from models.fusion.smoothed_scores import smoothed
from models.fusion.smoothing import Smoothing
from models.labels import EMOTIONS, MODALITIES
from models.scores import NO_RISK, Abstention, ModalityScores, Scores
from models.valence_arousal import valence_arousal

pytestmark = pytest.mark.unit

SMOOTHING = Smoothing(size_s=4, step_s=1)
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


def answer(*windows: Scores) -> Scores:
    [found] = smoothed([windows], SMOOTHING, LEAST)
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
    found = answer(*[said("sadness", 0.6)] * 4, said("fear", 0.6))
    assert max(found.emotion) < 0.55
    [strict] = smoothed([[*[said("sadness", 0.6)] * 4, said("fear", 0.6)]], SMOOTHING, least_confidence=0.55)
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
    together = smoothed(rows, SMOOTHING, LEAST)
    assert together == [answer(*row) for row in rows]
    assert smoothed([], SMOOTHING, LEAST) == []
