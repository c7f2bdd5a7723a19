"""Fusion is fitted on windows put together from single answers, and measured for every subset of the modalities."""

import numpy as np
import pytest
import torch

from models.labels import EMOTIONS, MODALITIES, RISKS
from models.risk import LEVELS
from models.training.calibration.risk_levels import (
    HARMLESS_SHARE,
    HIGH_HARMLESS_SHARE,
    ORDINARY_SHARE,
    SELF_HARM_SHARE,
    fit_risk,
)
from models.training.fusion import synthetic_windows
from models.training.fusion.pool import fit_fusion
from models.training.part.held_out import RiskLogits
from models.training.text.batches import PROJECT_LINES
from tests.models.synthetic_logits import synthetic_logits

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def few_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_windows, "WINDOWS", 1500)


def test_every_subset_is_measured_and_more_modalities_are_better() -> None:
    fitted = fit_fusion(dict(zip(MODALITIES, (synthetic_logits(i, 1.5) for i in range(3)), strict=True)))
    uar = {subset: figures["uar"]["mean"] for subset, figures in fitted.metrics["subsets"].items()}
    assert set(uar) == {
        *MODALITIES,
        *("video+audio", "video+text", "audio+text", "video+audio+text"),
    }
    alone = max(uar[modality] for modality in MODALITIES)
    assert alone < uar["video+audio"] < uar["video+audio+text"]
    assert 0 < fitted.least_confidence < 1


def test_a_modality_that_knows_nothing_does_no_harm() -> None:
    fitted = fit_fusion(
        {"video": synthetic_logits(0, 3.0), "audio": synthetic_logits(1, 0.0), "text": synthetic_logits(2, 3.0)}
    )
    uar = {subset: figures["uar"]["mean"] for subset, figures in fitted.metrics["subsets"].items()}
    assert uar["video+audio"] > uar["video"] - 0.03


def test_the_same_answers_give_the_same_fit() -> None:
    made = dict(zip(MODALITIES, (synthetic_logits(i, 1.0) for i in range(3)), strict=True))
    first, second = fit_fusion(made), fit_fusion(made)
    assert (first.calibration, first.pool, first.metrics) == (second.calibration, second.pool, second.metrics)


def test_an_emotion_with_too_few_answers_is_named() -> None:
    few = synthetic_logits(0, 1.0)
    few = few.rows(np.flatnonzero((few.labels != EMOTIONS.index("fear")) | (np.arange(280) < 14)))
    with pytest.raises(ValueError, match="text: each emotion needs 5 answers or more"):
        fit_fusion({"video": synthetic_logits(1, 1.0), "audio": synthetic_logits(2, 1.0), "text": few})


def test_levels_are_what_the_stated_share_of_ordinary_lines_reaches() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2 == 1
    heads = {
        name: RiskLogits(curve, curve, labels, np.full(400, "made"))
        for name in RISKS
        for curve in [rng.normal(np.where(labels, 2, -2), 1).astype(np.float32)]
    }
    ordinary = torch.from_numpy(rng.normal(-3, 1.5, (5000, 3)))
    rule, figures = fit_risk(heads, {"chat": ordinary})
    for level in LEVELS:
        assert figures["ordinary_lines"]["chat"][level] == pytest.approx(ORDINARY_SHARE[level], abs=0.002)
    reached = [figures["lines_with_the_risk"]["distress of made"][level] for level in LEVELS]
    assert reached == sorted(reached, reverse=True)
    assert rule.level(0.0) == "none"


def test_lines_written_for_the_project_move_levels_to_see_self_harm_and_to_leave_harmless_lines_alone() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2 == 1
    logits = rng.normal(np.where(labels, 1, -1), 1.5).astype(np.float32)
    heads = {name: RiskLogits(logits, logits, labels, np.full(400, PROJECT_LINES)) for name in RISKS}
    rule, figures = fit_risk(heads, {"chat": torch.from_numpy(rng.normal(-3, 1, (5000, 3)))})
    score = rule.categories(torch.from_numpy(logits)[:, None].repeat(1, 3)).amax(dim=1).numpy()
    assert (score[labels] >= rule.levels["low"]).mean() >= SELF_HARM_SHARE - 0.01
    assert (score[~labels] >= rule.levels["medium"]).mean() <= HARMLESS_SHARE + 0.01
    assert figures["every_ordinary_line"]["medium"] < ORDINARY_SHARE["medium"]


def test_a_high_level_is_in_reach_of_what_few_harmless_lines_of_the_project_reach() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(4000) % 2 == 1
    logits = rng.normal(np.where(labels, 1, -1), 1.0).astype(np.float32)
    heads = {name: RiskLogits(logits, logits, labels, np.full(4000, PROJECT_LINES)) for name in RISKS}
    in_earnest = torch.from_numpy(rng.normal(5, 0.5, (75, 3)))  # ordinary lines are so too, a few of them
    ordinary = torch.cat([torch.from_numpy(rng.normal(-3, 1, (4925, 3))), in_earnest])
    rule, _ = fit_risk(heads, {"chat": ordinary})
    score = rule.categories(torch.from_numpy(logits)[:, None].repeat(1, 3)).amax(dim=1).numpy()
    assert (score[~labels] >= rule.levels["high"]).mean() == pytest.approx(HIGH_HARMLESS_SHARE, abs=0.002)
