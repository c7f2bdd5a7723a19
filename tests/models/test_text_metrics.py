"""Thresholds are each label's own, and are judged on rows that they were not chosen on."""

import numpy as np
import pytest

from models.labels import EMOTIONS
from models.metrics.text import best_thresholds, emotion_figures, label_scores, multi_label_f1, risk_figures
from models.training.text.batches import ABSENT

pytestmark = pytest.mark.unit

SHARES = np.eye(7, dtype=np.float32)[np.arange(140) % 7]


def test_each_label_gets_the_threshold_that_tells_its_rows_from_the_others() -> None:
    level = np.linspace(0.1, 0.7, 7, dtype=np.float32)
    scores = np.where(SHARES > 0, level + 0.03, level - 0.03).astype(np.float32)
    thresholds = best_thresholds(scores, SHARES)
    assert (np.abs(thresholds - level) < 0.031).all()
    assert multi_label_f1(scores, SHARES, thresholds)["macro"] == 1.0


def test_a_label_s_score_is_its_frequency_where_its_logit_is_nought() -> None:
    prior = np.log(np.array([0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05], np.float32))
    np.testing.assert_allclose(label_scores(np.zeros((1, 7), np.float32), prior)[0], np.exp(prior), rtol=1e-4)


def test_a_label_that_a_corpus_does_not_use_cannot_be_chosen() -> None:
    prior = np.log(np.full(7, 1 / 6, np.float32))
    prior[5] = ABSENT
    logits = 3 * SHARES
    logits[:, 5] = 9.0
    rows = SHARES[:, 5] == 0
    figures = emotion_figures(logits[rows], SHARES[rows], prior)
    assert figures["uar"] == figures["accuracy"] == 1.0
    assert len(EMOTIONS) == len(prior)


def test_risk_is_measured_where_it_is_labelled_with_both_answers() -> None:
    truth = np.full((4, 3), np.nan, np.float32)
    truth[:, 0] = 1.0
    truth[:3, 2] = [0, 1, 1]
    logits = np.array([[0, 0, -1], [0, 0, 1], [0, 0, -1], [0, 0, 5]], np.float32)
    figures = risk_figures(logits, truth)
    assert list(figures) == ["abuse"]
    assert figures["abuse"]["rows"] == 3
    assert figures["abuse"]["accuracy"] == pytest.approx(2 / 3)
