"""The service's posteriors on each corpus, from held-out logits.

Logits are those on the corpus's own terms, as `models.evaluation.predictions` asks for them. Speech has clean clips
alone here, and labels stay equally likely: acted emotions tell nothing of how often an emotion occurs. Faces and lines
start from their corpus's frequencies in training.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.artifact import Manifest
from models.labels import EMOTIONS, MODALITIES
from models.training.calibration.corpus_calibration import CorpusPosteriors
from models.training.calibration.scaling import Floats
from models.training.part.held_out import CLEAN, HeldOutLogits

Prior = Sequence[float | None]


def corpus_posteriors(
    manifest: Manifest, held_out: Mapping[str, HeldOutLogits], priors: Mapping[str, Prior]
) -> dict[str, CorpusPosteriors]:
    """By "corpus/task". held_out: by modality. priors: logarithms of label frequencies, by "corpus/task"."""
    speech, text = held_out["audio"], held_out["text"]
    posteriors = {"ferplus/emotion": _emotion(manifest, held_out["video"], priors["ferplus/emotion"])}
    for corpus in np.unique(speech.emotion.corpus):
        clean = (speech.condition == CLEAN) & (speech.emotion.corpus == corpus)
        posteriors[f"{corpus}/emotion"] = _emotion(manifest, speech.rows(clean), None)
    for corpus in np.unique(text.emotion.corpus):
        rows = text.rows(text.emotion.corpus == corpus)
        posteriors[f"{corpus}/emotion"] = _emotion(manifest, rows, priors[f"{corpus}/emotion"])
    return posteriors | _risks(manifest, text, priors)


def _emotion(manifest: Manifest, held_out: HeldOutLogits, prior: Prior | None) -> CorpusPosteriors:
    """prior: None for labels that stay equally likely."""
    posterior = _service_posterior(manifest, held_out.modality, held_out.corpus_logits)
    truth = held_out.emotion.labels
    occurring = np.isin(np.arange(len(EMOTIONS)), truth)
    start = np.where(occurring, 0.0, -np.inf) if prior is None else _start(prior, occurring)
    return CorpusPosteriors(EMOTIONS, posterior, truth, held_out.emotion.group, start, fit_bias=prior is not None)


def _risks(manifest: Manifest, text: HeldOutLogits, priors: Mapping[str, Prior]) -> dict[str, CorpusPosteriors]:
    """Of corpora of known frequencies with and without a risk."""
    posteriors = {}
    for risk, held_out in text.risks.items():
        for corpus in np.unique(held_out.corpus):
            rows = held_out.corpus == corpus
            truth = held_out.labels[rows].astype(np.int64)
            if truth.min() == truth.max() or f"{corpus}/{risk}" not in priors:
                continue
            logits = torch.from_numpy(held_out.corpus_logits[rows])
            probability = manifest.risk.heads[risk].probability(logits).numpy()
            posterior = np.stack([1 - probability, probability], axis=1)
            each = np.arange(len(truth)).astype(str)
            start = _start(priors[f"{corpus}/{risk}"], np.array([True, True]))
            posteriors[f"{corpus}/{risk}"] = CorpusPosteriors((f"no {risk}", risk), posterior, truth, each, start)
    return posteriors


def _service_posterior(manifest: Manifest, modality: str, logits: NDArray[np.float32]) -> Floats:
    """What the service answers where only this modality is present."""
    alone = manifest.calibration[modality].log_posterior(torch.from_numpy(logits))
    every = torch.zeros(len(MODALITIES), *alone.shape, dtype=torch.float64)
    amount = torch.zeros(every.shape[:2], dtype=torch.float64)
    index = MODALITIES.index(modality)
    every[index], amount[index] = alone, manifest.fusion.full_amount.get(modality, 1.0)
    posterior: Floats = manifest.fusion.fuse(every, amount).posterior.numpy()
    return posterior


def _start(prior: Prior, occurring: NDArray[np.bool_]) -> Floats:
    """occurring: labels that occur here.

    One that did not in training gets the least of the others' frequencies.
    """
    known = np.array([-np.inf if value is None else value for value in prior])
    return np.where(occurring & np.isinf(known), known[np.isfinite(known)].min(), known)
