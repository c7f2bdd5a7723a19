"""Notes beside the figures of a corpus, needed to judge them.

They state label frequencies, rows left out, clips without a voice, and contamination: what of the corpus the model has
been trained on or chosen by. Left out: the figures themselves (`models.metrics.classification`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from models.encoder import Encoder
from models.evaluation.corpus_rows import SPEECH_CORPORA
from models.evaluation.predictions import Predictions
from models.labels import EMOTIONS
from models.metrics.classification import classification_figures
from models.metrics.text import label_scores, multi_label_f1
from models.model import AffectModel
from models.text.encoder import ChatLine

_SURELY_READ = 100  # characters of a line, whatever they are


def evaluation_notes(model: AffectModel, corpus: str, split: str, predictions: Predictions) -> list[str]:
    """The notes on one split, a sentence or two each."""
    rows, known, calibration = predictions.rows, predictions.known, predictions.calibration
    notes = list(rows.notes)
    if calibration != calibration.equal():
        equal = classification_figures(predictions.equal_probabilities, predictions.truth, rows.labels)
        notes.append(
            f"On the corpus's terms: temperature {calibration.temperature:.2f} and a bias for each label, as fitted to "
            "its validation part or the frequencies of its training part; on the service's, all labels equally likely: "
            f"accuracy {equal['accuracy']:.4f}, UAR {equal['uar']:.4f}, ECE {equal['ece']:.4f}."
        )
    if calibration.unused:
        unused = ", ".join(rows.labels[index] for index in calibration.unused)
        notes.append(f"Labels that the corpus does not use and that cannot be chosen: {unused}.")
    if (several := int((~known).sum())) > 0:
        notes.append(f"{several} rows with several labels are left out.")
    notes += _multi_label(model, corpus, predictions)
    clips = [row for row in predictions.encoded.get("audio", ()) if row is not None]
    if silent := sum(float(row.weight.sum()) == 0 for row in clips):
        notes.append(f"In {silent} clips no voice was found; their answer is flat.")
    if "text" in model.encoders:
        notes += unread_lines(model.encoders["text"], [line for lines in rows.units.get("text", ()) for line in lines])
    return notes + _contamination(model, corpus, split)


def unread_lines(encoder: Encoder, lines: Sequence[ChatLine]) -> list[str]:
    """Says how many lines were not read to their end."""
    long = [encoder.prepare(line) for line in lines if len(line.text) > _SURELY_READ]
    shares = [encoder.quality([line]).get("read", 1.0) for line in long]
    if cut := [share for share in shares if share < 1]:
        return [f"{len(cut)} lines are longer than is read; the least that was read of one is {min(cut):.0%}."]
    return []


def _multi_label(model: AffectModel, corpus: str, predictions: Predictions) -> list[str]:
    """Macro-F1 of lines that may have several labels, as in the literature.

    Thresholds were chosen on validation lines.
    """
    thresholds = model.manifest.metrics.get("thresholds", {}).get(corpus)
    if thresholds is None or predictions.rows.shares is None:
        return []
    embeddings = [row.embedding for row in predictions.encoded["text"] if row is not None]
    logits = torch.cat(embeddings)[:, : len(EMOTIONS)].numpy()
    prior = np.array(model.manifest.metrics["log_prior"][corpus], dtype=np.float32)
    f1 = multi_label_f1(
        label_scores(logits, prior), predictions.rows.shares.astype(np.float32), np.array(thresholds, dtype=np.float32)
    )
    return [f"Over all {len(logits)} rows, several labels allowed: macro-F1 {f1['macro']:.4f}."]


def _contamination(model: AffectModel, corpus: str, split: str) -> list[str]:
    """The part that the corpus had in training."""
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
