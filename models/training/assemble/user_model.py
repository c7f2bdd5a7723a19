"""A model with parts trained on a user's data, otherwise as shipped.

A part is calibrated on the answers that it gave to the user's validation rows, as `affectd calibrate` would, and a risk
head where there are enough labelled lines. The fusion's weights, the levels of risk and the other parts stay, so the
folder is whole and the daemon runs it as it is. What was measured of the shipped part is said of no other: figures
of its corpora, of fusions that it took part in, and sets, whose thresholds are those of its answers, are left out. So
is the calibration of transcripts where the text part is the user's: spoken lines are then read as chat.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.artifact import Manifest, ModelFolder
from models.components import COMPONENTS
from models.data.user.manifest import USER_CORPUS
from models.labels import EMOTIONS, MODALITIES
from models.risk import RiskRule
from models.training.assemble.provenance import Provenance
from models.training.calibration.scaling import equal_label_weight, fit_platt
from models.training.calibration.trust import trusted
from models.training.calibration.user_calibration import FusionCalibration, UserEvidence, fit_user_calibration
from models.training.part.folder import PartFolder
from models.training.part.held_out import EmotionLogits, RiskLogits

log = logging.getLogger(__name__)

USER_LICENCE = "the user's own"

LEAST_OF_RISK = 25
"""Lines with a risk, and lines without it, below which the head's curve is kept."""

_OF_CORPORA = ("calibration", "corpora", "thresholds")  # metrics by corpus, or by "corpus/task", of the shipped answers
_MODALITY = {part.name: modality for modality, part in COMPONENTS.items()}


def with_user_parts(folder: ModelFolder, runs: Path, parts: Sequence[str], name: str = "own") -> ModelFolder:
    """The shipped model's folder with the user's parts; not written yet.

    runs: holds a `PartFolder` for each part.

    Raises FileNotFoundError for a run that is not whole.
    """
    shipped = folder.manifest
    folders = {part: PartFolder.under(runs, part) for part in parts}
    weights = {part: each.read_weights() for part, each in folders.items()}
    figures = {part: each.read_metrics() for part, each in folders.items()}
    held_out = {part: each.read_held_out() for part, each in folders.items()}
    sure = {each.modality: trusted(each, shipped.reliability.get(each.modality)) for each in held_out.values()}
    evidence = _user_evidence({modality: each.emotion for modality, each in sure.items()})
    fitted = fit_user_calibration(FusionCalibration(shipped.calibration, shipped.fusion), evidence)
    risk, unfitted = _risk(shipped.risk, held_out["text"].risks) if "text" in parts else (shipped.risk, [])
    unfitted += [sentence for sentence in fitted.unfitted if sentence.partition(":")[0] in sure]
    for sentence in unfitted:
        log.info("calibration: %s", sentence)
    manifest = shipped.model_copy(
        update={
            "name": name,
            "parts": {**shipped.parts, **{part: sizes for part, (_, sizes) in weights.items()}},
            "calibration": fitted.calibration,
            "risk": risk,
            "conformal": None,
            "transcripts": None if "text" in parts else shipped.transcripts,
            "metrics": {**_metrics(shipped, parts), **figures, "own": {"parts": list(parts), "kept": unfitted}},
            "data": _data(shipped, figures),
        }
    )
    tensors = {**folder.tensors, **{part: tensors for part, (tensors, _) in weights.items()}}
    return ModelFolder(runs, manifest, tensors)


def _user_evidence(held_out: Mapping[str, EmotionLogits]) -> UserEvidence:
    """held_out: by modality. Each row is one modality's alone."""
    rows = sum(map(len, held_out.values()))
    logits = torch.zeros(len(MODALITIES), rows, len(EMOTIONS), dtype=torch.float64)
    amount = torch.zeros(len(MODALITIES), rows, dtype=torch.float64)
    truth, start = np.zeros(rows, np.int64), 0
    for modality, emotion in held_out.items():
        end = start + len(emotion)
        logits[MODALITIES.index(modality), start:end] = torch.from_numpy(emotion.logits).double()
        amount[MODALITIES.index(modality), start:end] = 1
        truth[start:end], start = emotion.labels, end
    return UserEvidence(logits, amount, truth, np.arange(rows).astype(str))


def _risk(before: RiskRule, held_out: Mapping[str, RiskLogits]) -> tuple[RiskRule, list[str]]:
    """The risk rule with the curves that there are lines for.

    And a sentence for each other one.
    """
    heads, unfitted = dict(before.heads), []
    for risk, logits in held_out.items():
        with_it, without = int(logits.labels.sum()), int((~logits.labels).sum())
        if min(with_it, without) < LEAST_OF_RISK:
            unfitted.append(
                f"{risk}: the curve is kept; {LEAST_OF_RISK} lines with it and as many without are needed "
                f"(there are {with_it} and {without})"
            )
            continue
        heads[risk] = fit_platt(logits.logits, logits.labels, equal_label_weight(logits.labels.astype(np.int64)))
    return before.model_copy(update={"heads": heads}), unfitted


def _metrics(shipped: Manifest, parts: Collection[str]) -> dict[str, Any]:
    """Those that the parts had nothing to do with."""
    gone = {str(entry["corpus"]) for entry in shipped.data if entry["part"] in parts}
    metrics = dict(shipped.metrics)
    for name in _OF_CORPORA:
        by_corpus = metrics.get(name, {})
        metrics[name] = {
            corpus: figures for corpus, figures in by_corpus.items() if corpus.partition("/")[0] not in gone
        }
    replaced = {_MODALITY[part] for part in parts}
    fusion = metrics.pop("fusion", {})
    subsets = {
        subset: figures
        for subset, figures in fusion.get("subsets", {}).items()
        if replaced.isdisjoint(subset.split("+"))
    }
    if subsets:
        metrics["fusion"] = {"protocol": fusion["protocol"], "folds": fusion["folds"], "subsets": subsets}
    if "text" in parts:
        metrics.pop("risk", None)
        metrics.pop("transcripts", None)
    return metrics


def _data(shipped: Manifest, figures: Mapping[str, Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """What the parts were trained on, and what the shipped model was.

    Corpora of a part that was trained from nothing are left out.
    """
    own = [asdict(Provenance(USER_CORPUS, part, "train", USER_LICENCE, "")) for part in figures]
    restarted = {part for part, of_part in figures.items() if not of_part.get("from_shipped", True)}
    measured = {name.partition("/")[0] for name in shipped.metrics.get("corpora", {})}
    others = [entry for entry in shipped.data if not (entry["part"] in restarted and entry["corpus"] in measured)]
    return (*own, *others)
