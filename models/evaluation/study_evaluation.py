"""`affectd evaluate` on corpora of features: `ravdess-au` and `mosi`.

Problem: these corpora are features that the service's encoders do not make, so its model cannot answer them. Rule: the
model named "default" answers them by the study's shipped models (`models/weights/mosi`, `models/weights/ravdess-au`); a
clip of RAVDESS is answered only by those that never saw its actor. Left out: choosing anything; MOSI's other tasks.
"""

from pathlib import Path
from time import perf_counter

import numpy as np

from models.artifact import SHIPPED
from models.data.fusion.studied_corpora import STUDIED, read_studied
from models.evaluation.study_model import StudyModel, read_study
from models.metrics.classification import classification_figures
from models.metrics.labelled_rows import EvaluationError

STUDIES_SHIPPED = SHIPPED.parent
"""Holds a folder for each studied corpus."""


def evaluate_study(
    model: str, corpus: str, data: Path, split: str, task: str | None, drop: str | None
) -> dict[str, object]:
    """Measures a study's fusions, as `models.evaluation.evaluate.evaluate` does.

    Raises EvaluationError or models.artifact.ModelError.
    """
    studied = STUDIED[corpus]
    if task not in (None, studied.task):
        raise EvaluationError(f"{corpus} has no task {task!r}; it has {studied.task}")
    if model == "default" and not (STUDIES_SHIPPED / corpus).is_dir():
        sentence = f"models/weights/{corpus}, whose model answers {corpus}, is in a checkout of affectd alone: give"
        raise EvaluationError(f"{sentence} --model a copy of it")
    study = read_study(STUDIES_SHIPPED / corpus if model == "default" else Path(model))
    if (study.manifest.corpus, study.manifest.labels) != (corpus, studied.labels):
        raise EvaluationError(f"{model}: its fusions are of {study.manifest.corpus}, not of {corpus}")
    try:
        rows = read_studied(corpus, data, split)
        inputs = rows.rows if drop is None else studied.without(rows.rows, drop)
        began_s = perf_counter()
        probabilities = study.probabilities(inputs, rows.fold)
        seconds = perf_counter() - began_s
    except (OSError, ValueError) as wrong:
        raise EvaluationError(str(wrong)) from wrong
    truth = rows.rows.targets[studied.task].astype(np.int64)
    if not len(truth):
        raise EvaluationError(f"{corpus}: the split {split!r} has no rows")
    return {
        "corpus": corpus,
        "split": split,
        "task": studied.task,
        "n": len(truth),
        "labels": list(studied.labels),
        **classification_figures(probabilities, truth, studied.labels),
        "rows_per_second": round(len(truth) / seconds, 1),
        "model": {
            "name": study.manifest.name,
            "version": study.manifest.version,
            "digest": study.manifest.digest(),
        },
        "note": " ".join(
            [*_predicted_by(model, study), *_of_rows(corpus, split, rows.words is not None), *_without(drop)]
        ),
    }


def _predicted_by(model: str, study: StudyModel) -> list[str]:
    whose = f"the model shipped for this corpus, {study.manifest.name}" if model == "default" else study.manifest.name
    count = len(study.members)
    if all(member.fold is None for member in study.members):
        return [f"Answered by {whose}: the mean of {count} fusions from different seeds."]
    folds = len({member.fold for member in study.members})
    return [
        f"Answered by {whose}: {count} fusions, each trained on all folds but one of {folds} and asked about that one."
    ]


def _of_rows(corpus: str, split: str, words: bool) -> list[str]:
    if corpus == "ravdess-au":
        return ["Values are brought to zero mean and unit deviation actor by actor, labels unseen."]
    notes = [] if words else ["The file has no transcripts: text is its 100 released numbers alone."]
    if split == "train":
        notes.append(
            "The model was trained on this split, and the released features of text and picture were made with a look "
            "at its labels, so this is no measure of new videos."
        )
    return notes


def _without(drop: str | None) -> list[str]:
    return [] if drop is None else [f"Without {drop}."]
