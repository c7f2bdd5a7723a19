"""Measures fusion with one modality corrupted, with and without trust.

The same folds and synthetic windows as in `models.training.fusion.pool`, but that the logits of one modality are those
for corrupted events. Calibration and weights are those of clean events, as in the service. Names of what is measured
are keys of `model.json`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from models.calibration.trust import TrustCurve
from models.data.corpora.text import TextSample
from models.labels import EMOTIONS, MODALITIES
from models.metrics.classification import classification_figures
from models.metrics.corruptions import CORRUPTIONS
from models.text.encoder import ChatLine, TextEncoder
from models.training.calibration.trust import trusted
from models.training.face.corrupted_logits import MEASURED
from models.training.fusion.pool import ByModality, fit_calibration_and_pool, folds_of
from models.training.fusion.synthetic_windows import SUBSETS, synthetic_windows
from models.training.part.held_out import CLEAN, EmotionLogits, HeldOutLogits, joined

UNCORRUPTED = "nothing spoilt"
"""Name of the clean windows among the figures."""

_LINES = 300  # of each emotion, misspelt
_FIGURES = ("uar", "nll", "ece")


def measure_corruption(
    held_out: ByModality, corrupted: Mapping[str, EmotionLogits], seed: int = 0
) -> dict[str, dict[str, dict[str, float]]]:
    """Figures by name and subset, means over the folds.

    UNCORRUPTED is measured too.

    held_out: by modality, trusted by their quality. corrupted: by name ("video, as sure as ever"), logits of the
    modality that the name begins with.
    """
    of_folds: dict[str, dict[str, list[dict[str, float]]]] = {}
    for number, fold in enumerate(folds_of(held_out, seed)):
        calibration, pool, _ = fit_calibration_and_pool(fold.fitted, seed)
        measured: dict[str, ByModality] = {UNCORRUPTED: fold.measured}
        for name, rows in corrupted.items():
            modality = _modality(name)
            measured[name] = {**fold.measured, modality: _of_groups(rows, fold.measured[modality])}
        for name, by_modality in measured.items():
            windows = synthetic_windows(by_modality, calibration, np.random.default_rng((seed, number, 2)))
            for subset in SUBSETS:
                present = torch.tensor([m in subset for m in MODALITIES])[:, None].expand(-1, len(windows.labels))
                posterior = pool.fuse(windows.log_posterior, present.double()).posterior.numpy()
                figures = classification_figures(posterior, windows.labels, EMOTIONS)
                of_subset = of_folds.setdefault(name, {}).setdefault("+".join(subset), [])
                of_subset.append({key: figures[key] for key in _FIGURES})
    return {
        name: {subset: _mean(each) for subset, each in subsets.items() if _concerns(name, subset)}
        for name, subsets in of_folds.items()
    }


def _modality(name: str) -> str:
    return name.split(",")[0]


def _of_groups(corrupted: EmotionLogits, clean: EmotionLogits) -> EmotionLogits:
    """Rows of the groups that `clean` has.

    All weigh the same, however they were corrupted.

    An emotion that no such row shows keeps its clean rows.
    """
    rows = corrupted.rows(np.isin(corrupted.group, clean.group))
    others = clean.rows(~np.isin(clean.labels, rows.labels))
    together = joined([rows, others])
    return replace(together, corpus=np.full(len(together), "corrupted"))


def _concerns(name: str, subset: str) -> bool:
    """Whether the subset has the modality that is corrupted."""
    return name == UNCORRUPTED or _modality(name) in subset.split("+")


def _mean(folds: list[dict[str, float]]) -> dict[str, Any]:
    return {key: round(float(np.mean([fold[key] for fold in folds])), 4) for key in folds[0]}


def corrupted_faces(corrupted: HeldOutLogits, reliability: TrustCurve) -> dict[str, EmotionLogits]:
    """Faces under each measured corruption, with and without trust."""
    measured = {}
    for condition in np.unique(corrupted.condition[np.isin(corrupted.condition, MEASURED)]):
        rows = corrupted.rows(corrupted.condition == condition)
        measured[f"video, {condition}"] = trusted(rows, reliability).emotion
        measured[f"video, {condition}, as sure as ever"] = rows.emotion
    return measured


def changed_voices(held_out: HeldOutLogits, reliability: TrustCurve) -> dict[str, EmotionLogits]:
    """Changed sound.

    Its trust is not taken away again, as calibration stands on it.
    """
    return {"audio, changed": trusted(held_out.rows(held_out.condition != CLEAN), reliability).emotion}


def misspelt_lines(encoder: TextEncoder, samples: Sequence[TextSample]) -> EmotionLogits:
    """Lines of one label, misspelt."""
    rng = np.random.default_rng(0)
    change = CORRUPTIONS["text"]["typos"]
    every = [
        (sample, sample.emotion.index(1)) for sample in samples if sample.emotion is not None and 1 in sample.emotion
    ]
    known = [pair for label in range(len(EMOTIONS)) for pair in [pair for pair in every if pair[1] == label][:_LINES]]
    lines = [encoder.prepare(change(ChatLine(sample.text, sample.before), rng)) for sample, _ in known]
    logits = encoder.encode(lines).embedding[:, : len(EMOTIONS)].numpy()
    labels = np.array([label for _, label in known], np.int64)
    return EmotionLogits(
        logits, labels, np.full(len(known), "corrupted"), np.array([s.group for s, _ in known], np.str_)
    )
