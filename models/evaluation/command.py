"""Measures a model folder on a labelled corpus: one row, one window, scored as the service scores windows.

Answers to emotion are given under the frequencies that the labels had in the corpus's training part, where the model
knows them, because that is what the literature's figures assume; the note gives accuracy and UAR for labels equally
likely too, which is what the service assumes. Labels that a corpus does not use cannot be chosen.
Left out: figures over sessions, and error bars, which need more than one model.
"""

from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.encoding import Encoded
from models.evaluation.metrics import classification_figures
from models.evaluation.rows import SPEECH_CORPORA, EvaluationError, Rows, read_rows
from models.face.encoder import FaceEncoder
from models.labels import EMOTIONS
from models.model import AffectModel, WindowFeatures
from models.text.measure import label_scores, multi_label_f1

_ROWS_PER_CALL = 64
_UNUSED = {"emodb": ("surprise",)}

Floats = NDArray[np.float64]


def evaluate(model: str, corpus: str, data: Path, split: str, task: str | None, drop: str | None) -> dict[str, object]:
    """Returns the figures of `models.evaluation.metrics`, and what was measured, ready for JSON.

    model: a folder, or "default". task: None for the corpus's first. drop: a modality that is left out, or None.
    Raises EvaluationError, models.artifact.ModelError or models.model.DeviceUnavailableError.
    """
    rows = read_rows(corpus, data, split, task)
    if drop == rows.modality:
        raise EvaluationError(f"{corpus} has {rows.modality} alone: without it nothing is left to measure")
    if not (rows.truth >= 0).any():
        raise EvaluationError(f"{corpus} {split}: there are no rows with one label")
    loaded = AffectModel.load(model)
    if rows.modality not in loaded.encoders:
        raise EvaluationError(f"{loaded.name} has no part for {rows.modality}, which is all that {corpus} has")
    began_s = perf_counter()
    encoded = _encoded(loaded, rows)
    posterior = _posterior(loaded, rows, encoded)
    rows_per_second = len(rows.units) / (perf_counter() - began_s)
    known = rows.truth >= 0
    log_prior = _log_prior(loaded, corpus, rows)
    figures = classification_figures(_under(posterior[known], log_prior), rows.truth[known], rows.labels)
    return {
        "corpus": corpus,
        "split": split,
        "task": rows.task,
        "n": int(known.sum()),
        "labels": list(rows.labels),
        **figures,
        "rows_per_second": round(rows_per_second, 1),
        "model": {"name": loaded.name, "version": loaded.version, "digest": loaded.digest},
        "note": " ".join(_notes(loaded, corpus, split, rows, encoded, posterior)),
    }


def _encoded(model: AffectModel, rows: Rows) -> list[Encoded]:
    """Each row's events, encoded."""
    encoder: Any = model.encoders[rows.modality]
    prepare = getattr(encoder, "prepare", lambda unit: unit)
    encoded: list[Encoded] = []
    for start in range(0, len(rows.units), _ROWS_PER_CALL):
        chunk = rows.units[start : start + _ROWS_PER_CALL]
        events = encoder.encode([prepare(unit) for units in chunk for unit in units])
        sizes = [len(units) for units in chunk]
        parts = zip(events.embedding.split(sizes), events.weight.split(sizes), strict=True)
        encoded += [Encoded(embedding, weight) for embedding, weight in parts]
    return encoded


def _posterior(model: AffectModel, rows: Rows, encoded: list[Encoded]) -> Floats:
    """(rows, labels), for labels equally likely beforehand."""
    if rows.task == "expression":
        return _expressions(model, encoded)
    posterior: list[tuple[float, ...]] = []
    for start in range(0, len(encoded), _ROWS_PER_CALL):
        windows = [WindowFeatures({rows.modality: row}) for row in encoded[start : start + _ROWS_PER_CALL]]
        for scores in model.fuse(windows):
            risk = scores.risk.categories.get(rows.task)
            posterior.append(scores.emotion if risk is None else (1 - risk, risk))
    return np.array(posterior, dtype=np.float64)


def _expressions(model: AffectModel, encoded: list[Encoded]) -> Floats:
    """FER+'s eight expressions: contempt, which the service has no label for, is calibrated as the others are."""
    encoder, calibration = model.encoders["video"], model.manifest.calibration["video"]
    if not isinstance(encoder, FaceEncoder):
        raise EvaluationError(f"{model.name}: its part for video does not tell expressions")
    logits = encoder.expressions(torch.cat([row.embedding for row in encoded])).double().cpu()
    bias = torch.tensor([*calibration.bias, 0.0], dtype=torch.float64)
    return np.asarray((logits / calibration.temperature + bias).softmax(dim=-1).numpy())


def _log_prior(model: AffectModel, corpus: str, rows: Rows) -> Floats:
    """(labels,): 0 where labels are taken as equally likely, minus infinity for those that the corpus does not use."""
    known = model.manifest.metrics.get("log_prior", {}).get(corpus)
    if known is not None and (rows.task == "expression" or (rows.task, rows.modality) == ("emotion", "text")):
        return np.array([-np.inf if value is None else value for value in known], dtype=np.float64)
    unused = _UNUSED.get(corpus, ())
    return np.array([-np.inf if label in unused else 0.0 for label in rows.labels])


def _under(posterior: Floats, log_prior: Floats) -> Floats:
    weighted = posterior * np.exp(log_prior - log_prior.max())
    under: Floats = weighted / weighted.sum(axis=1, keepdims=True)
    return under


def _notes(
    model: AffectModel, corpus: str, split: str, rows: Rows, encoded: list[Encoded], posterior: Floats
) -> list[str]:
    notes = []
    known, log_prior = rows.truth >= 0, _log_prior(model, corpus, rows)
    usable = np.isfinite(log_prior)
    if np.ptp(log_prior[usable]) > 0:
        flat = np.where(usable, 0.0, -np.inf)
        equal = classification_figures(_under(posterior[known], flat), rows.truth[known], rows.labels)
        notes.append(
            "Under the label frequencies of the corpus's training part; "
            f"for labels equally likely: accuracy {equal['accuracy']:.4f}, UAR {equal['uar']:.4f}."
        )
    if not usable.all():
        unused = ", ".join(label for label, used in zip(rows.labels, usable, strict=True) if not used)
        notes.append(f"Labels that the corpus does not use and that cannot be chosen: {unused}.")
    if (several := int((~known).sum())) > 0:
        notes.append(f"{several} rows with several labels are left out.")
    notes += _multi_label(model, corpus, rows, encoded)
    if rows.modality == "audio" and (silent := sum(float(row.weight.sum()) == 0 for row in encoded)):
        notes.append(f"In {silent} clips no voice was found; their answer is flat.")
    return notes + _contamination(model, corpus, split)


def _multi_label(model: AffectModel, corpus: str, rows: Rows, encoded: list[Encoded]) -> list[str]:
    """The literature's figure for lines that may have several labels, with thresholds chosen on validation lines."""
    thresholds = model.manifest.metrics.get("thresholds", {}).get(corpus)
    if thresholds is None or rows.shares is None:
        return []
    logits = torch.cat([row.embedding for row in encoded])[:, : len(EMOTIONS)].numpy()
    prior = np.array(model.manifest.metrics["log_prior"][corpus], dtype=np.float32)
    f1 = multi_label_f1(
        label_scores(logits, prior), rows.shares.astype(np.float32), np.array(thresholds, dtype=np.float32)
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
