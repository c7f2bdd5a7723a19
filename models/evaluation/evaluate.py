"""`affectd evaluate`: measures a model on a labelled corpus.

Every row is one window, scored as the service scores windows.

Figures are on the terms of the corpus, as those of its literature are (`models.evaluation.predictions`). The note gives
accuracy, UAR and calibration error on the terms of the service too, to which all labels are equally likely. Corpora of
features are answered by fusions of their own (`models.evaluation.study_evaluation`). Left out: figures over sessions,
and error bars, which the report gives.
"""

from pathlib import Path

from models.data.fusion.studied_corpora import STUDIED
from models.evaluation.corpus_rows import read_rows
from models.evaluation.notes import evaluation_notes
from models.evaluation.predictions import Predictions, predict
from models.evaluation.progress import OnRows, no_progress
from models.evaluation.study_evaluation import evaluate_study
from models.labels import RISKS
from models.metrics.alarms import AlarmPoint, alarm_curve
from models.metrics.classification import classification_figures
from models.metrics.labelled_rows import EvaluationError
from models.model import AffectModel


def evaluate(
    model: str,
    corpus: str,
    data: Path,
    split: str,
    task: str | None,
    drop: str | None,
    progress: OnRows = no_progress,
) -> dict[str, object]:
    """Returns the figures, and what was measured, ready for JSON.

    The figures are those of `models.metrics.classification`.
    model: a folder, or "default". task: None for the corpus's first. drop: a modality that is left out, or None.
    progress: called with the rows that are read and encoded.
    Raises EvaluationError, models.artifact.ModelError or models.device.DeviceUnavailableError.
    """
    if corpus in STUDIED:
        return evaluate_study(model, corpus, data, split, task, drop)
    rows = read_rows(corpus, data, split, task, progress).without(drop)
    if not rows.units:
        raise EvaluationError(f"{corpus} has {drop} alone: without it nothing is left to measure")
    loaded = AffectModel.load(model)
    predictions = predict(loaded, corpus, rows, progress)
    figures = classification_figures(predictions.probabilities, predictions.truth, rows.labels)
    return {
        "corpus": corpus,
        "split": split,
        "task": rows.task,
        "n": len(predictions.truth),
        "labels": list(rows.labels),
        **figures,
        **_alarms(loaded, predictions),
        "rows_per_second": round(predictions.rows_per_second, 1),
        "model": {"name": loaded.name, "version": loaded.version, "digest": loaded.digest},
        "note": " ".join(evaluation_notes(loaded, corpus, split, predictions)),
    }


def _alarms(model: AffectModel, predictions: Predictions) -> dict[str, list[AlarmPoint]]:
    """The alarm curve of a risk, on the terms of the service."""
    if predictions.rows.task not in RISKS:
        return {}
    scores = predictions.service_posterior[predictions.known, 1]
    return {"alarms": alarm_curve(scores, predictions.truth == 1, model.manifest.risk.levels)}
