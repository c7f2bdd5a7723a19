"""Whom the model misses is counted on lines that nothing was trained on, and the shipped card says what is measured."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.artifact import SHIPPED, read_model_folder
from models.data.own_lines import LEVELS, own_lines, read_lines
from models.labels import RISKS
from models.text.component import build_text_encoder
from models.training.assemble.written_lines import ReadLines, answered, line_figures

pytestmark = pytest.mark.unit

LINES = Path(__file__).parent / "lines"
TEST_LANGUAGES = ("de", "en", "es", "fr", "zh")


def read(right: bool) -> ReadLines:
    """Twenty pairs of a crisis and a harmless line, told rightly or the wrong way round."""
    crisis = np.tile([True, False], 20)
    seen = crisis if right else ~crisis
    risks = np.stack([crisis, crisis, np.zeros(40, bool)], axis=1)
    logits = np.where(seen, 3.0, -3.0).astype(np.float32)[:, None].repeat(3, axis=1)
    level = np.where(seen, LEVELS.index("critical"), 0)
    wanted = np.where(crisis, LEVELS.index("critical"), 0)
    return ReadLines(logits, seen.astype(np.float64), level, wanted, risks, np.arange(40) // 2, np.ones(40, bool))


def test_lines_that_are_told_rightly_are_missed_nowhere_and_alarm_nobody() -> None:
    figures = line_figures(read(right=True))
    assert figures["self_harm_auroc"] == [1.0, 1.0, 1.0]
    assert figures["self_harm_at_none"] == [0, 20, 0.0, 0.0]
    assert figures["pairs_in_order"] == [20, 20, 1.0, 1.0]
    assert figures["harmless_at_medium"] == [0, 20, 0.0, 0.0]


def test_lines_that_are_told_the_wrong_way_round_are_all_counted() -> None:
    figures = line_figures(read(right=False))
    assert figures["self_harm_auroc"][0] == 0.0
    assert figures["self_harm_at_none"][:2] == [20, 20]
    assert figures["pairs_in_order"][:2] == [0, 20]
    assert figures["harmless_at_medium"][:2] == [20, 20]


@pytest.mark.parametrize("lang", TEST_LANGUAGES)
def test_test_lines_are_many_of_every_risk_and_none_is_a_line_that_was_written_to_train_on(lang: str) -> None:
    lines = read_lines(LINES / f"{lang}.jsonl")
    assert len(lines) >= 250
    assert {line.lang for line in lines} == {lang}
    assert all(sum(risk in line.risks for line in lines) >= 40 for risk in RISKS)
    assert not {line.text.casefold() for line in lines} & {line.text.casefold() for line in own_lines()}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_shipped_card_has_the_figures_that_are_measured(lang: str) -> None:
    folder = read_model_folder(SHIPPED)
    encoder = build_text_encoder(folder.tensors["text"], torch.device("cpu"))
    measured = line_figures(answered(read_lines(LINES / f"{lang}.jsonl"), encoder, folder.manifest))
    said = folder.manifest.metrics["written_lines"]["test"][lang]
    for risk in RISKS:
        assert measured[f"{risk}_auroc"][0] == pytest.approx(said[f"{risk}_auroc"][0], abs=0.005)
    for count in ("self_harm_at_none", "abuse_at_none", "pairs_in_order", "harmless_at_medium"):
        assert measured[count][0] == pytest.approx(said[count][0], abs=2)
        assert measured[count][1] == said[count][1]
