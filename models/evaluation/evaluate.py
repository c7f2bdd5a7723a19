"""Measures a model folder on a labelled corpus: one row, one window, scored as the service scores windows.

Figures are on the terms of the corpus, as those of its literature are (`models.evaluation.predictions`). The note gives
accuracy, UAR and calibration error on the terms of the service too, to which all labels are equally likely. Corpora of
features are answered by fusions of their own (`models.evaluation.study_evaluation`). Left out: figures over sessions,
and error bars, which the report gives.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.data.fusion.studied_corpora import STUDIED
from models.evaluation.corpus_rows import SPEECH_CORPORA, read_rows
from models.evaluation.predictions import Predictions, predict
from models.evaluation.progress import OnRows, no_progress
from models.evaluation.study_evaluation import evaluate_study
from models.labels import EMOTIONS
from models.metrics.classification import classification_figures
from models.metrics.labelled_rows import EvaluationError
from models.metrics.text import label_scores, multi_label_f1
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
    """Returns the figures of `models.metrics.classification`, and what was measured, ready for JSON.

    model: a folder, or "default". task: None for the corpus's first. drop: a modality that is left out, or None.
    progress: told the rows that are read and encoded.
    Raises EvaluationError, models.artifact.ModelError or models.device.DeviceUnavailableError.
    """
    if corpus in STUDIED:
        return evaluate_study(model, corpus, data, split, task, drop)
    rows = read_rows(corpus, data, split, task, progress).without(drop)
    if not rows.units:
        raise EvaluationError(f"{corpus} has {drop} alone: without it nothing is left to measure")
    loaded = AffectModel.load(model)
    answered = predict(loaded, corpus, rows, progress)
    figures = classification_figures(answered.probabilities, answered.truth, rows.labels)
    return {
        "corpus": corpus,
        "split": split,
        "task": rows.task,
        "n": len(answered.truth),
        "labels": list(rows.labels),
        **figures,
        "rows_per_second": round(answered.rows_per_second, 1),
        "model": {"name": loaded.name, "version": loaded.version, "digest": loaded.digest},
        "note": " ".join(notes(loaded, corpus, split, answered)),
    }


def notes(model: AffectModel, corpus: str, split: str, answered: Predictions) -> list[str]:
    """What a reader of the figures has to know: frequencies, rows left out, and what the model has seen before."""
    rows, known, calibration = answered.rows, answered.known, answered.calibration
    found = list(rows.notes)
    if calibration != calibration.equal():
        equal = classification_figures(answered.equal_probabilities, answered.truth, rows.labels)
        found.append(
            f"On the corpus's terms: temperature {calibration.temperature:.2f} and a bias for each label, as fitted to "
            "its validation part or the frequencies of its training part; on the service's, all labels equally likely: "
            f"accuracy {equal['accuracy']:.4f}, UAR {equal['uar']:.4f}, ECE {equal['ece']:.4f}."
        )
    if calibration.unused:
        unused = ", ".join(rows.labels[index] for index in calibration.unused)
        found.append(f"Labels that the corpus does not use and that cannot be chosen: {unused}.")
    if (several := int((~known).sum())) > 0:
        found.append(f"{several} rows with several labels are left out.")
    found += _multi_label(model, corpus, answered)
    heard = [row for row in answered.encoded.get("audio", ()) if row is not None]
    if silent := sum(float(row.weight.sum()) == 0 for row in heard):
        found.append(f"In {silent} clips no voice was found; their answer is flat.")
    return found + _contamination(model, corpus, split)


def _multi_label(model: AffectModel, corpus: str, answered: Predictions) -> list[str]:
    """The literature's figure for lines that may have several labels, with thresholds chosen on validation lines."""
    thresholds = model.manifest.metrics.get("thresholds", {}).get(corpus)
    if thresholds is None or answered.rows.shares is None:
        return []
    embeddings = [row.embedding for row in answered.encoded["text"] if row is not None]
    logits = torch.cat(embeddings)[:, : len(EMOTIONS)].numpy()
    prior = np.array(model.manifest.metrics["log_prior"][corpus], dtype=np.float32)
    f1 = multi_label_f1(
        label_scores(logits, prior), answered.rows.shares.astype(np.float32), np.array(thresholds, dtype=np.float32)
    )
    return [f"Over all {len(logits)} rows, several labels allowed: macro-F1 {f1['macro']:.4f}."]


def _contamination(model: AffectModel, corpus: str, split: str) -> list[str]:
    """What of the corpus the model has seen."""
    used: list[Mapping[str, Any]] = [entry for entry in model.manifest.data if entry.get("corpus") == corpus]
    if not used:
        return []
    if corpus == "ravdess" or (corpus in SPEECH_CORPORA and split in ("train", "all")):
        return [
            f"The model was trained on these clips ({used[0]['used']}), so this is no measure of unseen voices: "
            "the cross-validation by speaker in model.json is."
        ]
    if split == "train":
        return ["The model was trained on this split."]
    if split == "valid":
        return ["The model's training was stopped, and its calibration fitted, with regard to this split."]
    return []
