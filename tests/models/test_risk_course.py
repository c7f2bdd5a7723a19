"""Risk rises with what is said, adds up, and falls when no more is said; faces do not add up."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.labels import EMOTIONS, MODALITIES, RISKS
from models.risk_course import RiskCourse
from models.scores import NO_RISK, Abstention, ModalityScores, RiskLevel, RiskScores, Scores
from tests.models.model_folders import LEVELS, plain_manifest

pytestmark = pytest.mark.unit

RULE = plain_manifest().risk
COURSE = RiskCourse(RULE, size_s=4, step_s=1)
LOOKBACK = 30
SIZE = 4  # steps
ORDER = list(RiskLevel)

probabilities = st.floats(0, 1)


def face(emotion: str, probability: float = 0.97) -> dict[str, float]:
    """An answer so sure of an emotion."""
    rest = (1 - probability) / (len(EMOTIONS) - 1)
    return {name: probability if name == emotion else rest for name in EMOTIONS}


NEUTRAL = face("neutral")


def window(words: dict[str, float] | None = None, **alone: dict[str, float]) -> Scores:
    """The scores of a window by itself. words: of risk, by category. alone: what each modality says."""
    posterior = torch.tensor([[next(iter(alone.values()), NEUTRAL)[name] for name in EMOTIONS]], dtype=torch.float64)
    said = torch.tensor([[(words or {}).get(name, 0.0) for name in RISKS]], dtype=torch.float64)
    evidence = torch.zeros(len(MODALITIES), 1, len(EMOTIONS), dtype=torch.float64)
    [risk] = RULE.score(said, posterior, evidence)
    modality = {
        name: ModalityScores(name in alone, 0.0, tuple(alone[name].values()) if name in alone else None)
        for name in MODALITIES
    }
    return Scores(tuple(posterior[0].tolist()), "neutral", 0.0, 0.0, 1.0, modality, risk, None)


def nothing() -> Scores:
    return replace(window(), label=None, risk=NO_RISK, abstained=Abstention.NO_EVIDENCE)


def of_line(probability: float, **alone: dict[str, float]) -> list[Scores]:
    """The windows that hold one line."""
    return [window({"self_harm": probability}, **alone)] * SIZE


CALM = window({"distress": 0.05})


def course(windows: Sequence[Scores]) -> list[RiskScores]:
    """The risk of each window, in the light of those before it."""
    return [COURSE.risk(windows[max(0, at - LOOKBACK) : at + 1]) for at in range(len(windows))]


def levels(windows: Sequence[Scores]) -> list[RiskLevel]:
    return [risk.level for risk in course(windows)]


def test_one_line_of_crisis_is_high_in_its_first_window() -> None:
    found = levels([*[CALM] * 10, *of_line(0.92), CALM])
    assert found[:10] == ["none"] * 10
    assert found[10] == "high"


def test_while_a_line_lies_in_the_window_it_counts_once() -> None:
    found = course([*[CALM] * 10, *of_line(0.92)])
    assert [risk.score for risk in found[10:]] == pytest.approx([0.92] * SIZE)
    assert all(risk.reasons == CALM.risk.reasons + found[10].reasons for risk in found[10:])


def test_after_a_line_of_crisis_the_level_falls_step_by_step_and_never_rises_again() -> None:
    after = course([*of_line(0.99), *[CALM] * LOOKBACK])[SIZE:]
    assert all(later.score <= earlier.score for earlier, later in pairwise(after))
    assert after[0].level in ("high", "critical")
    assert {"high", "medium", "none"} <= {risk.level for risk in after}
    assert after[-1].level == "none"
    assert {reason.code for risk in after for reason in risk.reasons} == {"recent_course"}
    assert {reason.modality for risk in after for reason in risk.reasons} == {"text"}


def test_after_many_lines_of_crisis_the_level_falls_within_half_a_minute_as_after_one() -> None:
    long = course([*of_line(0.999) * 10, *[CALM] * LOOKBACK])[10 * SIZE :]
    below = next(at for at, risk in enumerate(long) if risk.level not in ("high", "critical"))
    assert below <= 15
    gone = next(at for at, risk in enumerate(long) if risk.level == "none")
    assert gone <= 30


def test_what_was_said_is_forgotten_at_the_end_of_the_lookback_where_hardly_anything_is_left_of_it() -> None:
    found = course([*of_line(0.99), *[CALM] * 60])
    assert found[-1] == CALM.risk
    jumps = [earlier.score - later.score for earlier, later in pairwise(found[SIZE + 1 :])]
    assert max(jumps) < 0.2


def test_several_lines_that_each_say_less_come_to_more() -> None:
    found = levels([*of_line(0.75), CALM, *of_line(0.75), CALM, *of_line(0.75)])
    assert found[0] == "medium"
    assert found[-1] == "high"


def test_lines_far_apart_do_not_add_up() -> None:
    assert set(levels([*of_line(0.75), *[CALM] * 60] * 4)) == {"none", "low", "medium"}


def test_lines_that_reach_no_level_never_add_up() -> None:
    assert set(levels([window(dict.fromkeys(RISKS, LEVELS["low"] - 0.01))] * 120)) == {"none"}


def test_a_harmless_line_takes_nothing_back() -> None:
    silent, joking = (course([*of_line(0.95), *[then] * 8]) for then in (nothing(), CALM))
    assert [risk.score for risk in silent] == [risk.score for risk in joking]


@pytest.mark.parametrize("emotion", ["sadness", "anger", "fear", "disgust"])
def test_sour_faces_do_not_add_up(emotion: str) -> None:
    """An hour of them says no more than one."""
    sour = window(video=face(emotion, 1.0))
    assert {ORDER.index(level) for level in levels([sour] * 600)} <= {0, 1}


def test_an_agitated_voice_is_a_reason_once_it_lasts_and_medium_at_most() -> None:
    angry = window(audio=face("anger", 1.0))
    found = course([CALM] * LOOKBACK + [angry] * 40)
    assert "agitated_voice" not in {reason.code for risk in found[: LOOKBACK + 5] for reason in risk.reasons}
    assert "agitated_voice" in {reason.code for reason in found[-1].reasons}
    assert found[-1].level == "medium"
    sad = window(audio=face("sadness", 1.0))
    assert all(reason.code == "negative_affect" for reason in course([sad] * 40)[-1].reasons)


def test_a_face_or_a_voice_that_bears_words_out_doubles_their_odds_at_most() -> None:
    [alone], [borne_out] = (
        [COURSE.risk(of_line(0.8, **{name: face(mood, 1.0)})[:1])]
        for name, mood in (("video", "happiness"), ("audio", "sadness"))
    )
    assert alone.score == pytest.approx(0.8)
    assert borne_out.score == pytest.approx(8 / 9)


@given(st.lists(st.tuples(probabilities, probabilities, probabilities), min_size=1, max_size=40))
def test_the_course_only_adds_to_what_the_window_says(lines: list[tuple[float, float, float]]) -> None:
    windows = [window(dict(zip(RISKS, words, strict=True))) for words in lines]
    found = COURSE.risk(windows)
    own = windows[-1].risk
    assert 0 <= own.score <= found.score <= 1
    assert found.level == RULE.level(found.score)
    assert found.categories == own.categories
    assert set(own.reasons) <= set(found.reasons)
    weights = [reason.weight for reason in found.reasons]
    assert weights == sorted(weights, reverse=True)
    assert all(LEVELS["low"] <= weight <= found.score for weight in weights)


@given(st.lists(probabilities, min_size=2, max_size=40), st.integers(0, 39))
def test_a_risk_that_was_greater_before_is_never_less_now(lines: list[float], at: int) -> None:
    at %= len(lines)
    windows = [window({"abuse": words}) for words in lines]
    worse = [*windows]
    worse[at] = window({"abuse": max(lines[at], 0.97)})
    assert COURSE.risk(worse).score >= COURSE.risk(windows).score


@pytest.mark.parametrize(("size_s", "step_s", "decay_s"), [(4, 0, 15), (1, 2, 15), (4, 1, 0)])
def test_a_course_without_time_is_refused(size_s: float, step_s: float, decay_s: float) -> None:
    with pytest.raises(ValueError, match="0 < step <= size"):
        RiskCourse(RULE, size_s, step_s, decay_s)
