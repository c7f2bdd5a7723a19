"""The service's answers to each corpus, from the answers that the parts left for data they were not trained on.

Of lines, these are answers on the corpus's own terms, as `models.evaluation.predictions` asks for them.
Speech has clips alone here, not changed sound, and labels stay equally likely, since what is acted says nothing of how
often it occurs. Faces and lines start from their corpus's frequencies in training.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.artifact import Manifest
from models.labels import EMOTIONS, MODALITIES, RISKS
from models.training.calibration.corpus_calibration import HeldOut
from models.training.calibration.scaling import Floats

Arrays = Mapping[str, NDArray[Any]]
Prior = Sequence[float | None]


def held_out_corpora(
    manifest: Manifest, files: Mapping[str, Arrays], priors: Mapping[str, Prior]
) -> dict[str, HeldOut]:
    """By "corpus/task". files: by modality. priors: logarithms of label frequencies, by "corpus/task"."""
    speech, text = files["audio"], files["text"]
    found = {"ferplus/emotion": _emotion(manifest, "video", files["video"], priors["ferplus/emotion"])}
    clips = speech["question"] == "clips"
    for corpus in np.unique(speech["corpus"]):
        rows = clips & (speech["corpus"] == corpus)
        asked = {"group": speech["speaker"][rows], **{name: speech[name][rows] for name in ("logits7", "label7")}}
        found[f"{corpus}/emotion"] = _emotion(manifest, "audio", asked, None)
    for corpus in np.unique(text["corpus"]):
        rows = text["corpus"] == corpus
        asked = {"logits7": text["own_logits7"][rows], **{name: text[name][rows] for name in ("label7", "group")}}
        found[f"{corpus}/emotion"] = _emotion(manifest, "text", asked, priors[f"{corpus}/emotion"])
    return found | _risks(manifest, text, priors)


def _emotion(manifest: Manifest, modality: str, asked: Arrays, prior: Prior | None) -> HeldOut:
    """prior: None for labels that stay equally likely."""
    known = asked["label7"] >= 0
    posterior = _service_posterior(manifest, modality, asked["logits7"][known])
    truth = asked["label7"][known].astype(np.int64)
    group = asked.get("group", np.arange(len(known)).astype(str))[known]
    shown = np.isin(np.arange(len(EMOTIONS)), truth)
    start = np.where(shown, 0.0, -np.inf) if prior is None else _start(prior, shown)
    return HeldOut(EMOTIONS, posterior, truth, group, start, fit_bias=prior is not None)


def _risks(manifest: Manifest, text: Arrays, priors: Mapping[str, Prior]) -> dict[str, HeldOut]:
    """Of the corpora that have lines with and without a risk."""
    found = {}
    for risk in RISKS:
        logits, labels, corpora = (text[f"risk_{risk}_{name}"] for name in ("own_logits", "labels", "corpus"))
        for corpus in np.unique(corpora):
            rows = corpora == corpus
            truth = (labels[rows] > 0.5).astype(np.int64)
            if truth.min() == truth.max():
                continue
            probability = manifest.risk.heads[risk].probability(torch.from_numpy(logits[rows])).numpy()
            posterior = np.stack([1 - probability, probability], axis=1)
            each = np.arange(len(truth)).astype(str)
            start = _start(priors[f"{corpus}/{risk}"], np.array([True, True]))
            found[f"{corpus}/{risk}"] = HeldOut((f"no {risk}", risk), posterior, truth, each, start)
    return found


def _service_posterior(manifest: Manifest, modality: str, logits: NDArray[np.float32]) -> Floats:
    """What the service answers where only this modality is present."""
    alone = manifest.calibration[modality].log_posterior(torch.from_numpy(logits))
    every = torch.zeros(len(MODALITIES), *alone.shape, dtype=torch.float64)
    amount = torch.zeros(every.shape[:2], dtype=torch.float64)
    index = MODALITIES.index(modality)
    every[index], amount[index] = alone, manifest.fusion.full_amount.get(modality, 1.0)
    posterior: Floats = manifest.fusion.fuse(every, amount).posterior.numpy()
    return posterior


def _start(prior: Prior, shown: NDArray[np.bool_]) -> Floats:
    """shown: labels that occur here; one that did not in training gets the least of the others' frequencies."""
    known = np.array([-np.inf if value is None else value for value in prior])
    return np.where(shown & np.isinf(known), known[np.isfinite(known)].min(), known)
