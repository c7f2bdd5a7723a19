"""On a corpus, answers are brought to its label frequencies and to how sure it lets one be."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.calibration.scaling import CorpusCalibration
from models.training.calibration.corpus_calibration import CorpusPosteriors, cross_validated_figures, fit_corpus

pytestmark = pytest.mark.unit

LABELS = ("a", "b", "c")
FREQUENCY = np.array([0.7, 0.2, 0.1])


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return shares


def overconfident(rows: int, fit_bias: bool = True) -> CorpusPosteriors:
    """Answers for labels equally likely, twice as sure as they may be, to rows of unequal labels."""
    rng = np.random.default_rng(0)
    evidence = rng.normal(0, 1, (rows, 3))
    right = softmax(evidence + np.log(FREQUENCY))
    truth = np.array([rng.choice(3, p=row) for row in right])
    start = np.log(FREQUENCY) if fit_bias else np.zeros(3)
    return CorpusPosteriors(LABELS, softmax(2 * evidence), truth, np.arange(rows).astype(str), start, fit_bias)


def test_overconfident_answers_are_tempered_and_frequencies_kept() -> None:
    fitted = fit_corpus(overconfident(4000))
    assert fitted.temperature == pytest.approx(2, rel=0.15)
    bias = np.array([value for value in fitted.bias if value is not None])
    assert bias - bias[0] == pytest.approx(np.log(FREQUENCY) - np.log(FREQUENCY)[0], abs=0.15)


def test_cross_validated_answers_are_as_often_right_as_they_say() -> None:
    figures = cross_validated_figures(overconfident(4000))
    assert figures["n"] == 4000
    assert figures["ece_before"] > 0.08
    assert figures["ece"]["mean"] < 0.03
    assert figures["accuracy"]["fold_sd"] > 0


def test_a_few_rows_change_little() -> None:
    few, many = (abs(np.log(fit_corpus(overconfident(rows)).temperature)) for rows in (10, 1000))
    assert few < many


def test_labels_stay_equally_likely_where_frequencies_do_not_count() -> None:
    fitted = fit_corpus(overconfident(500, fit_bias=False))
    assert fitted.bias == (0, 0, 0)
    assert fitted.temperature > 1


def test_a_label_that_the_corpus_does_not_use_is_never_chosen() -> None:
    held = overconfident(500)
    two = np.flatnonzero(held.truth < 2)
    without = CorpusPosteriors(
        LABELS, held.posterior[two], held.truth[two], held.group[two], np.array([-0.3, -1.4, -np.inf])
    )
    fitted = fit_corpus(without)
    assert fitted.unused == (2,)
    probabilities = fitted.probabilities(np.array([[0.1, 0.1, 0.8]]))
    assert probabilities[0, 2] == 0
    assert probabilities.sum() == pytest.approx(1)


def test_on_the_services_terms_usable_labels_are_equally_likely() -> None:
    equal = CorpusCalibration(temperature=2.0, bias=(0.5, -1.0, None)).equal()
    assert equal.probabilities(np.array([[0.4, 0.4, 0.2]])).tolist() == [pytest.approx([0.5, 0.5, 0.0])]
