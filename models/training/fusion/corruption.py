"""What fusing is worth when one modality is spoilt, with its answers as sure as ever and as sure as they deserve.

The same folds and windows put together as in `models.training.fusion.pool`, but that the answers of one modality are
those to spoilt events. Calibration and weights are those of unspoilt answers, as in the service.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from models.calibration.trust import TrustCurve
from models.data.corpora.text import TextSample
from models.labels import EMOTIONS, MODALITIES
from models.metrics.classification import classification_figures
from models.metrics.corruptions import CORRUPTIONS
from models.text.encoder import ChatLine, TextEncoder
from models.training.calibration.trust import Arrays, fit_reliability, trusted
from models.training.fusion.pool import SUBSETS, Answers, fit_answers, fold_answers, put_together

_FOLDS = 5
_LINES = 300  # of each emotion, misspelt
_FIGURES = ("uar", "nll", "ece")


def measure_spoilt(
    answers: Mapping[str, Answers], spoilt: Mapping[str, Mapping[str, Answers]], seed: int = 0
) -> dict[str, dict[str, dict[str, float]]]:
    """answers: trusted as they deserve. spoilt: by what is measured ("video, as sure as ever"), the answers of the
    modality it begins with. Returns by what is measured and subset, the mean over the folds of each figure; "nothing
    spoilt" is measured too.
    """
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for fold in range(_FOLDS):
        trained, held_out = fold_answers(answers, fold, seed)
        calibration, pool, _ = fit_answers(trained, seed)
        asked: dict[str, Mapping[str, Answers]] = {"nothing spoilt": held_out}
        for name, replaced in spoilt.items():
            asked[name] = {**held_out, **{m: _of_groups(a, held_out[m]) for m, a in replaced.items()}}
        for name, kept in asked.items():
            windows = put_together(kept, calibration, np.random.default_rng((seed, fold, 2)))
            for subset in SUBSETS:
                present = torch.tensor([m in subset for m in MODALITIES])[:, None].expand(-1, len(windows.labels))
                posterior = pool.fuse(windows.log_posterior, present.double()).posterior.numpy()
                figures = classification_figures(posterior, windows.labels, EMOTIONS)
                of_subset = found.setdefault(name, {}).setdefault("+".join(subset), [])
                of_subset.append({key: figures[key] for key in _FIGURES})
    return {
        name: {subset: _mean(each) for subset, each in subsets.items() if _concerns(name, subset)}
        for name, subsets in found.items()
    }


def _of_groups(spoilt: Answers, held_out: Answers) -> Answers:
    """Those of the groups held out; corpora weigh the same, whatever way they were spoilt.

    Of an emotion that no such answer shows, those to events as they came.
    """
    rows = np.flatnonzero(np.isin(spoilt.group, held_out.group))
    others = np.flatnonzero(~np.isin(held_out.labels, spoilt.labels[rows]))
    found, kept = spoilt.rows(rows), held_out.rows(others)
    return Answers(
        np.concatenate([found.logits, kept.logits]),
        np.concatenate([found.labels, kept.labels]),
        np.full(len(rows) + len(others), "spoilt"),
        np.concatenate([found.group, kept.group]),
    )


def _concerns(name: str, subset: str) -> bool:
    """Whether the subset has the modality that is spoilt."""
    return name == "nothing spoilt" or name.split(",")[0] in subset.split("+")


def _mean(folds: list[dict[str, float]]) -> dict[str, Any]:
    return {key: round(float(np.mean([fold[key] for fold in folds])), 4) for key in folds[0]}


def reliability_of_faces(spoilt: Arrays) -> TrustCurve:
    """spoilt: as `models.training.face.corrupted_logits.spoilt_answers` gives them."""
    fitted = ~spoilt["measured"]
    qualities = {name: spoilt[name][fitted] for name in ("log_sharpness", "log_brightness")}
    return fit_reliability(spoilt["logits7"][fitted], spoilt["label7"][fitted], qualities, spoilt["way"][fitted])


def reliability_of_voices(answered: Arrays) -> TrustCurve:
    """answered: speech's answers to speakers held out, whose questions are sound as it was recorded and changed."""
    return fit_reliability(
        answered["logits7"], answered["label7"], {"snr_db": answered["snr_db"]}, answered["question"]
    )


def spoilt_faces(spoilt: Arrays, reliability: TrustCurve) -> dict[str, dict[str, Answers]]:
    """What is measured of faces: under each change apart, and as sure as ever."""
    found = {}
    for way in np.unique(spoilt["way"][spoilt["measured"]]):
        rows = spoilt["measured"] & (spoilt["way"] == way)
        plain = {name: values[rows] for name, values in spoilt.items()}
        for how, arrays in ((f"video, {way}", trusted(plain, reliability)), (f"video, {way}, as sure as ever", plain)):
            group = arrays["row"].astype(str)
            answers = Answers(arrays["logits7"], arrays["label7"], np.full(len(group), "spoilt"), group)
            found[how] = {"video": answers}
    return found


def spoilt_voices(answered: Arrays, reliability: TrustCurve) -> dict[str, dict[str, Answers]]:
    """What is measured of voices: changed sound. Their trust is not taken away again, as calibration stands on it."""
    rows = answered["question"] != "clips"
    arrays = trusted({name: values[rows] for name, values in answered.items()}, reliability)
    return {
        "audio, changed": {"audio": Answers(arrays["logits7"], arrays["label7"], arrays["corpus"], arrays["speaker"])}
    }


def misspelt_lines(encoder: TextEncoder, samples: Sequence[TextSample]) -> Answers:
    """Answers to lines of one label, misspelt."""
    rng = np.random.default_rng(0)
    change = CORRUPTIONS["text"]["typos"]
    every = [
        (sample, sample.emotion.index(1)) for sample in samples if sample.emotion is not None and 1 in sample.emotion
    ]
    known = [pair for label in range(len(EMOTIONS)) for pair in [pair for pair in every if pair[1] == label][:_LINES]]
    lines = [encoder.prepare(change(ChatLine(sample.text, sample.before), rng)) for sample, _ in known]
    logits = encoder.encode(lines).embedding[:, : len(EMOTIONS)].numpy()
    group = np.array([sample.group for sample, _ in known])
    return Answers(logits, np.array([label for _, label in known]), np.full(len(known), "spoilt"), group)
