"""A model folder with parts trained on a user's own data, and everything else as the shipped model has it.

A part is calibrated on the answers that it gave to the user's validation rows, as `affectd calibrate` would, and a risk
head where there are enough labelled lines. The fusion's weights, the levels of risk and the other parts stay, so the
folder is whole and the daemon runs it as it is. What was measured of the shipped part is said of no other: figures
of its corpora, of fusions that it took part in, and sets, whose thresholds are those of its answers, are left out.
"""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.artifact import Manifest, ModelFolder
from models.components import COMPONENTS
from models.data.user.manifest import USER_CORPUS
from models.labels import EMOTIONS, MODALITIES, RISKS
from models.risk import RiskRule
from models.training.assemble.provenance import Provenance
from models.training.assemble.trained_part import read_part
from models.training.calibration.scaling import equal_label_weight, fit_platt
from models.training.calibration.trust import trusted
from models.training.calibration.user_calibration import FusionCalibration, UserEvidence, fit_user_calibration

log = logging.getLogger(__name__)

USER_LICENCE = "the user's own"

LEAST_OF_RISK = 25
"""Lines with a risk, and lines without it, below which the head's curve is kept."""

_OF_CORPORA = ("calibration", "corpora", "thresholds")  # metrics by corpus, or by "corpus/task", of the shipped answers
_MODALITY = {part.name: modality for modality, part in COMPONENTS.items()}

Arrays = Mapping[str, NDArray[Any]]


def with_user_parts(folder: ModelFolder, runs: Path, parts: Sequence[str], name: str = "own") -> ModelFolder:
    """The shipped model's folder with the parts that training on a manifest left in `runs`/PART; not written yet.

    Raises FileNotFoundError for a run that is not whole.
    """
    shipped = folder.manifest
    read = {part: read_part(runs / part / f"{part}.safetensors", part) for part in parts}
    figures = {part: json.loads((runs / part / "metrics.json").read_text(encoding="utf-8")) for part in parts}
    answers = {part: _answers(runs / part / "valid_logits.npz") for part in parts}
    sure = {_MODALITY[part]: trusted(a, shipped.reliability.get(_MODALITY[part])) for part, a in answers.items()}
    fitted = fit_user_calibration(FusionCalibration(shipped.calibration, shipped.fusion), _user_evidence(sure))
    risk, kept = _risk(shipped.risk, answers["text"]) if "text" in parts else (shipped.risk, [])
    kept += [sentence for sentence in fitted.kept if sentence.partition(":")[0] in sure]
    for sentence in kept:
        log.info("calibration: %s", sentence)
    manifest = shipped.model_copy(
        update={
            "name": name,
            "parts": {**shipped.parts, **{part: sizes for part, (_, sizes) in read.items()}},
            "calibration": fitted.calibration,
            "risk": risk,
            "conformal": None,
            "metrics": {**_metrics(shipped, parts), **figures, "own": {"parts": list(parts), "kept": kept}},
            "data": _data(shipped, figures),
        }
    )
    tensors = {**folder.tensors, **{part: weights for part, (weights, _) in read.items()}}
    return ModelFolder(runs, manifest, tensors)


def _answers(path: Path) -> dict[str, NDArray[Any]]:
    """The rows that show one of the seven emotions, but risks as they are."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    known = arrays["label7"] >= 0
    return {name: values if name.startswith("risk_") else values[known] for name, values in arrays.items()}


def _user_evidence(answers: Mapping[str, Arrays]) -> UserEvidence:
    """answers: by modality. Each row is one modality's alone."""
    rows = sum(len(arrays["label7"]) for arrays in answers.values())
    logits = torch.zeros(len(MODALITIES), rows, len(EMOTIONS), dtype=torch.float64)
    amount = torch.zeros(len(MODALITIES), rows, dtype=torch.float64)
    truth, start = np.zeros(rows, np.int64), 0
    for modality, arrays in answers.items():
        end = start + len(arrays["label7"])
        logits[MODALITIES.index(modality), start:end] = torch.from_numpy(arrays["logits7"]).double()
        amount[MODALITIES.index(modality), start:end] = 1
        truth[start:end], start = arrays["label7"], end
    return UserEvidence(logits, amount, truth, np.arange(rows).astype(str))


def _risk(before: RiskRule, answers: Arrays) -> tuple[RiskRule, list[str]]:
    """The rule with the curves that there are lines for, and a sentence for each other one."""
    heads, kept = dict(before.heads), []
    for risk in RISKS:
        labels = answers[f"risk_{risk}_labels"] > 0.5
        with_it, without = int(labels.sum()), int((~labels).sum())
        if min(with_it, without) < LEAST_OF_RISK:
            kept.append(
                f"{risk}: the curve is kept; {LEAST_OF_RISK} lines with it and as many without are needed "
                f"(there are {with_it} and {without})"
            )
            continue
        heads[risk] = fit_platt(answers[f"risk_{risk}_logits"], labels, equal_label_weight(labels.astype(np.int64)))
    return before.model_copy(update={"heads": heads}), kept


def _metrics(shipped: Manifest, parts: Collection[str]) -> dict[str, Any]:
    """Those that the parts had nothing to do with."""
    gone = {str(entry["corpus"]) for entry in shipped.data if entry["part"] in parts}
    metrics = dict(shipped.metrics)
    for name in _OF_CORPORA:
        found = metrics.get(name, {})
        metrics[name] = {corpus: figures for corpus, figures in found.items() if corpus.partition("/")[0] not in gone}
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
    return metrics


def _data(shipped: Manifest, figures: Mapping[str, Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """What the parts were trained on, and what the shipped model was, but for corpora of a part begun anew."""
    own = [asdict(Provenance(USER_CORPUS, part, "train", USER_LICENCE, "")) for part in figures]
    anew = {part for part, found in figures.items() if not found.get("from_shipped", True)}
    measured = {name.partition("/")[0] for name in shipped.metrics.get("corpora", {})}
    others = [entry for entry in shipped.data if not (entry["part"] in anew and entry["corpus"] in measured)]
    return (*own, *others)
