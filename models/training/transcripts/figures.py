"""Figures of lines as written, in plain letters, and as recognised.

Only lines that the recogniser believes are compared, so that every form is measured on the same lines. A figure's
spread is its standard deviation over draws of the lines (the bootstrap: Efron, 1979). Calibration errors are of labels
that weigh the same, which is what probabilities are for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score, recall_score, roc_auc_score

from models.artifact import Manifest
from models.labels import EMOTIONS, RISKS
from models.metrics.classification import expected_calibration_error
from models.risk import LEVELS
from models.training.calibration.scaling import equal_label_weight
from models.training.transcripts.fit import LabelledLogits
from models.training.transcripts.lines import EMOTION, ORDINARY

_DRAWS = 200

Forms = Mapping[str, NDArray[np.float32]]
"""Logits (rows, 10) of the same lines, by how they are read."""

Probabilities = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class DrawnLines:
    """Labels of lines, with what they were drawn for.

    read: labels, conditions and logits of the transcripts. corpus, drawn_for: (rows,) str.
    """

    read: LabelledLogits
    corpus: NDArray[np.str_]
    drawn_for: NDArray[np.str_]


def transcript_figures(lines: DrawnLines, forms: Forms, manifest: Manifest) -> dict[str, Any]:
    """Figures by condition, lines and form, each [value, standard deviation].

    Lines are those of each emotion corpus, of each risk, and ordinary ones.
    """
    read = {name: _answers(logits, manifest) for name, logits in forms.items()}
    figures: dict[str, Any] = {}
    for condition in np.unique(lines.read.condition):
        here = lines.read.condition == condition
        of_emotion = here & (lines.drawn_for == EMOTION)
        by_lines = {
            f"emotion, {corpus}": _by_form(read, of_emotion & (lines.corpus == corpus), lines, _emotion)
            for corpus in np.unique(lines.corpus[of_emotion])
        }
        for head, risk in enumerate(RISKS):
            by_lines[risk] = _by_form(read, here & (lines.drawn_for == risk), lines, _risk_of(head))
        ordinary = here & (lines.drawn_for == ORDINARY)
        by_lines[ORDINARY] = _by_form(read, ordinary, lines, _alarms_at(manifest.risk.levels))
        figures[str(condition)] = {name: each for name, each in by_lines.items() if each["n"]}
    return figures


@dataclass(frozen=True, slots=True, eq=False)
class _Answers:
    """emotion: (rows, 7), risk: (rows, 3), the service's probabilities."""

    emotion: Probabilities
    risk: Probabilities


def _answers(logits: NDArray[np.float32], manifest: Manifest) -> _Answers:
    both = torch.from_numpy(logits)
    emotion = manifest.calibration["text"].log_posterior(both[:, : len(EMOTIONS)]).exp()
    return _Answers(emotion.numpy(), manifest.risk.categories(both[:, len(EMOTIONS) :]).numpy())


_OfRows = Callable[[_Answers, DrawnLines, Rows], dict[str, float]]


def _by_form(
    read: Mapping[str, _Answers], chosen: NDArray[np.bool_], lines: DrawnLines, figures: _OfRows
) -> dict[str, Any]:
    """Every figure of each form with its spread.

    Also the number of rows, `n`; there are no figures where it is 0.
    """
    rows, rng = np.flatnonzero(chosen), np.random.default_rng(0)
    if not len(rows):
        return {"n": 0}
    drawn = [rng.choice(rows, len(rows)) for _ in range(_DRAWS)]
    by_form: dict[str, Any] = {"n": len(rows)}
    for name, answers in read.items():
        values = figures(answers, lines, rows)
        over = [figures(answers, lines, some) for some in drawn]
        by_form[name] = {
            figure: [round(value, 4), round(float(np.nanstd([each[figure] for each in over])), 4)]
            for figure, value in values.items()
        }
    return by_form


def _emotion(answers: _Answers, lines: DrawnLines, rows: Rows) -> dict[str, float]:
    truth, probabilities = lines.read.emotion[rows], answers.emotion[rows]
    predicted, known = probabilities.argmax(axis=1), np.unique(truth)
    weight = equal_label_weight(truth)
    of_truth = probabilities[np.arange(len(truth)), truth].clip(np.finfo(np.float64).tiny)
    return {
        "uar": float(recall_score(truth, predicted, average="macro", labels=known, zero_division=0.0)),
        "macro_f1": float(f1_score(truth, predicted, average="macro", labels=known, zero_division=0.0)),
        "ece": expected_calibration_error(probabilities.max(axis=1), predicted == truth, weight),
        "nll": float(-(weight * np.log(of_truth)).sum()),
    }


def _risk_of(head: int) -> _OfRows:
    def figures(answers: _Answers, lines: DrawnLines, rows: Rows) -> dict[str, float]:
        truth, probability = lines.read.risk[rows, head] > 0.5, answers.risk[rows, head]
        sure, right = np.maximum(probability, 1 - probability), (probability > 0.5) == truth
        one_label = truth.all() or not truth.any()
        return {
            "auroc": float("nan") if one_label else float(roc_auc_score(truth, probability)),
            "ece": expected_calibration_error(sure, right, equal_label_weight(truth.astype(np.int64))),
        }

    return figures


def _alarms_at(levels: Mapping[str, float]) -> _OfRows:
    def figures(answers: _Answers, lines: DrawnLines, rows: Rows) -> dict[str, float]:
        score = answers.risk[rows].max(axis=1)
        return {level.value: float((score >= levels[level]).mean()) for level in LEVELS}

    return figures
