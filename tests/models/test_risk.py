"""Risk comes from words; how somebody feels lifts it a little."""

import pytest
import torch
from pydantic import ValidationError

from models.calibration.scaling import PlattScaling
from models.labels import EMOTIONS, RISKS
from models.risk import RiskRule
from models.scores import RiskScores
from tests.models.model_folders import LEVELS

pytestmark = pytest.mark.unit

HEADS = dict.fromkeys(RISKS, PlattScaling(slope=1.0, intercept=0.0))
RULE = RiskRule(heads=HEADS, levels=LEVELS)
CALM = [0.0, 0.0, 0.0]


def scored(words: list[float], **posterior: float) -> RiskScores:
    emotions = torch.tensor([[posterior.get(emotion, 0.0) for emotion in EMOTIONS]], dtype=torch.float64)
    evidence = torch.stack([torch.zeros_like(emotions), emotions, torch.zeros_like(emotions)])
    return RULE.score(torch.tensor([words], dtype=torch.float64), emotions, evidence)[0]


@pytest.mark.parametrize(
    ("said", "level"), [(0.1, "none"), (0.5, "low"), (0.7, "medium"), (0.9, "high"), (1, "critical")]
)
@pytest.mark.parametrize("risk", RISKS)
def test_the_worst_of_what_is_said_sets_the_level(risk: str, said: float, level: str) -> None:
    score = scored([said if name == risk else 0.05 for name in RISKS], neutral=1)
    assert (score.level, score.score) == (level, said)
    assert score.categories[risk] == said


def test_distress_alone_can_reach_the_highest_level() -> None:
    assert scored([0.99, 0.04, 0.0], sadness=1).level == "critical"


@pytest.mark.parametrize("emotion", ["sadness", "anger", "fear"])
def test_a_negative_mood_alone_asks_for_a_second_look_and_no_more(emotion: str) -> None:
    score = scored(CALM, **{emotion: 1})
    assert score.level == "low"
    assert [(reason.code, reason.modality) for reason in score.reasons] == [("negative_affect", "audio")]
    assert set(score.categories.values()) == {0}


def test_a_mixed_mood_is_no_risk() -> None:
    assert scored(CALM, neutral=0.4, sadness=0.6).score == 0


def test_reasons_are_those_that_reach_a_level_worst_first() -> None:
    codes = [reason.code for reason in scored([0.6, 0.95, 0.2], neutral=1).reasons]
    assert codes == ["words_of_self_harm", "words_of_distress"]


@pytest.mark.parametrize("levels", [{"low": 0.5}, LEVELS | {"low": 0.8}, LEVELS | {"critical": 1.2}])
def test_levels_that_do_not_rise_are_refused(levels: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="levels must"):
        RiskRule(heads=HEADS, levels=levels)


def test_every_risk_needs_its_head() -> None:
    with pytest.raises(ValidationError, match="heads must be given for distress, self_harm, abuse"):
        RiskRule(heads={"abuse": HEADS["abuse"]}, levels=LEVELS)
