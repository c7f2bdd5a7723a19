"""`affectd calibrate`: calibrates a model on the validation rows of a manifest.

`models.training.calibration.user_calibration` fits; the least confidence for an answer is fitted here. Figures after
are cross-validated: each row is answered by what rows of other groups fitted; those of the rows by themselves would
flatter. Prediction sets are dropped, since their thresholds are those of other probabilities.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.artifact import CARD, SHIPPED, Manifest, ModelError, read_model_folder, write_model_folder
from models.calibration.scaling import TemperatureScaling
from models.data.user.manifest import USER_CORPUS
from models.device import choose_device
from models.encoder import Encoded
from models.evaluation.predictions import encoded_rows
from models.evaluation.progress import OnRows, no_progress
from models.evaluation.user_rows import read_user_rows
from models.labels import EMOTIONS, MODALITIES
from models.metrics.classification import classification_figures, expected_calibration_error
from models.metrics.curves import coverage_accuracy
from models.metrics.labelled_rows import EvaluationError
from models.model import AffectModel, WindowFeatures
from models.out_folder import check_out_folder
from models.training.assemble.provenance import Provenance
from models.training.assemble.user_model import USER_LICENCE
from models.training.calibration.scaling import equal_label_weight
from models.training.calibration.user_calibration import (
    LEAST_ROWS,
    Floats,
    FusionCalibration,
    UserEvidence,
    cross_validated,
    fit_user_calibration,
)

SPLIT = "valid"

CROSS_VALIDATED = "cross-validation by group"
"""What figures after are of, where there are rows enough to deal out."""

_ANSWERED = 0.95  # share of rows answered at least, as of the shipped model; the others are abstained from
_ROWS_PER_CALL = 64
_LEAST_FREE_BYTES = 60_000_000  # twice the shipped model
_LOCAL = "+own"  # of the version of a model calibrated here
_CARD_BEFORE = "\n\n---\n\nThe card of the model as it was before, whose figures are of its own calibration.\n\n"
_FIGURES = ("accuracy", "uar", "ece", "nll", "label_ece", "label_nll")
_OUTDATED = ("calibration", "corpora")  # metrics that bring answers of the calibration before to a corpus's terms


def calibrate(model: str, data: Path, out: Path, progress: OnRows = no_progress) -> dict[str, Any]:
    """Writes a calibrated model folder; returns figures before and after.

    The figures are ready for JSON.

    model: a folder, or "default". Raises EvaluationError for too few rows, models.data.user.manifest.ManifestError,
    ModelError, models.out_folder.OutFolderError, or models.device.DeviceUnavailableError.
    """
    folder = read_model_folder(SHIPPED if model == "default" else Path(model))
    if out.resolve() == folder.path.resolve():
        raise ModelError(f"{out}: is the folder of the model that is calibrated; name another")
    check_out_folder(out, _LEAST_FREE_BYTES)
    manifest, figures = calibrated(AffectModel.from_folder(folder, choose_device("auto")), data, progress)
    card = folder.path / CARD
    before = card.read_text(encoding="utf-8") if card.is_file() else ""
    written = write_model_folder(out, manifest, folder.tensors, calibrated_card(folder.manifest, manifest, before))
    named = {"name": written.name, "version": written.version, "digest": written.digest()}
    return {"model": named, "out": str(out), **figures}


def calibrated(loaded: AffectModel, data: Path, progress: OnRows = no_progress) -> tuple[Manifest, dict[str, Any]]:
    """The manifest of the calibrated model, and figures before and after.

    Raises as `calibrate`.
    """
    evidence, notes = _user_evidence(loaded, data, progress)
    before = FusionCalibration(loaded.manifest.calibration, loaded.manifest.fusion)
    after = fit_user_calibration(before, evidence)
    if (after.calibration, after.pool) == (before.calibration, before.pool):
        raise EvaluationError(f"{data / 'manifest.csv'}: nothing can be calibrated: {'; '.join(after.unfitted)}")
    validated = cross_validated(before, evidence)
    least, unfitted = _least_confidence(loaded.manifest, validated)
    figures = {
        "split": SPLIT,
        "n": len(evidence.truth),
        "after_is_of": "the rows that were fitted to" if validated is None else CROSS_VALIDATED,
        "before": _figures(before.posterior(evidence), evidence),
        "after": _figures(after.posterior(evidence) if validated is None else validated, evidence),
        "least_confidence": {"before": loaded.manifest.least_confidence, "after": least},
        "fitted": {name: _scaling(after.calibration[name]) for name in MODALITIES} | {"weights": after.pool.weights},
        "kept": [*after.unfitted, *unfitted],
        "notes": [*notes, *(["Sets are dropped: they were fitted to other probabilities."] * bool(loaded.coverages))],
    }
    return _manifest(loaded.manifest, after, least, figures), figures


def _user_evidence(model: AffectModel, data: Path, progress: OnRows) -> tuple[UserEvidence, list[str]]:
    """The model's predictions of the labelled rows.

    And what was left out of them.
    """
    rows = read_user_rows(data, SPLIT, "emotion", progress)
    encoded, _ = encoded_rows(model, USER_CORPUS, rows, progress)
    plain = TemperatureScaling(temperature=1.0, bias=(0.0,) * len(EMOTIONS))
    uncalibrated = model.manifest.model_copy(update={"calibration": dict.fromkeys(MODALITIES, plain)})
    plain_model = AffectModel(uncalibrated, model.encoders, model.device)
    windows = [
        {name: row for name, events in encoded.items() if (row := events[i]) is not None}
        for i in range(len(rows.truth))
    ]
    logits = torch.zeros(len(MODALITIES), len(windows), len(EMOTIONS), dtype=torch.float64)
    amount = torch.zeros(len(MODALITIES), len(windows), dtype=torch.float64)
    for start in range(0, len(windows), _ROWS_PER_CALL):
        chunk = windows[start : start + _ROWS_PER_CALL]
        for i, scores in enumerate(plain_model.fuse([WindowFeatures(events) for events in chunk]), start):
            for m, name in enumerate(MODALITIES):
                probabilities = scores.modality[name].probabilities
                if probabilities is not None:
                    logits[m, i] = (
                        torch.tensor(probabilities, dtype=torch.float64)
                        .clamp_min(torch.finfo(torch.float64).tiny)
                        .log()
                    )
                    amount[m, i] = _amount(windows[i][name])
    evident = np.flatnonzero((amount > 0).any(dim=0).numpy())
    if not len(evident):
        raise EvaluationError(f"{data / 'manifest.csv'}: no row of the split {SPLIT} shows a face, a voice or a line")
    notes = list(rows.notes)
    if silent := len(windows) - len(evident):
        notes.append(f"{silent} rows without evidence are left out.")
    groups = np.arange(len(windows)).astype(str) if rows.groups is None else rows.groups
    return UserEvidence(logits, amount, rows.truth, groups).rows(evident), notes


def _amount(events: Encoded) -> float:
    return float(events.weight.double().sum())


def _least_confidence(manifest: Manifest, validated: Floats | None) -> tuple[float, list[str]]:
    """The threshold, and a sentence where it is kept."""
    if validated is None or len(validated) < LEAST_ROWS:
        few = f"abstention: the threshold is kept; {LEAST_ROWS} rows of several groups are needed"
        return manifest.least_confidence, [few]
    least = float(np.quantile(validated.max(axis=1), 1 - _ANSWERED))
    return min(round(least, 3), 0.999), []


def _figures(posterior: Floats, evidence: UserEvidence) -> dict[str, Any]:
    """Figures of the rows, and ("label_") of equally weighted labels.

    Probabilities are meant for the latter.
    """
    figures = classification_figures(posterior, evidence.truth, EMOTIONS)
    confidence, correct = posterior.max(axis=1), posterior.argmax(axis=1) == evidence.truth
    weight = equal_label_weight(evidence.truth)
    of_truth = posterior[np.arange(len(evidence.truth)), evidence.truth].clip(np.finfo(np.float64).tiny)
    every = {
        **{name: figures[name] for name in ("accuracy", "uar", "ece", "nll")},
        "label_ece": expected_calibration_error(confidence, correct, weight),
        "label_nll": float(-(weight * np.log(of_truth)).sum()),
    }
    rounded: dict[str, Any] = {name: round(every[name], 4) for name in _FIGURES}
    return rounded | {"coverage_accuracy": coverage_accuracy(confidence, correct)}


def _scaling(fitted: TemperatureScaling) -> dict[str, Any]:
    bias = {label: round(value, 4) for label, value in zip(EMOTIONS, fitted.bias, strict=True)}
    return {"temperature": round(fitted.temperature, 4), "bias": bias}


def _manifest(before: Manifest, after: FusionCalibration, least: float, figures: Mapping[str, Any]) -> Manifest:
    used = Provenance(USER_CORPUS, "calibration", f"{SPLIT}, {figures['n']} rows", USER_LICENCE, "")
    metrics = {name: value for name, value in before.metrics.items() if name not in _OUTDATED}
    return before.model_copy(
        update={
            "version": before.version.removesuffix(_LOCAL) + _LOCAL,
            "calibration": after.calibration,
            "fusion": after.pool,
            "least_confidence": least,
            "conformal": None,
            "metrics": {**metrics, "calibrated": dict(figures)},
            "data": (*(entry for entry in before.data if entry.get("part") != "calibration"), asdict(used)),
        }
    )


def calibrated_card(before: Manifest, manifest: Manifest, card: str) -> str:
    """The card of a calibrated model: what changed, then the former card.

    before: manifest of the model as it was. card: its card.
    """
    figures = manifest.metrics["calibrated"]
    head = ("figure", "before", "after")
    rows = [head, ("---",) * 3, *((name, *(f"{figures[when][name]:.3f}" for when in head[1:])) for name in _FIGURES)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    notes = "\n".join(f"- {sentence}" for sentence in (*figures["kept"], *figures["notes"]))
    return (
        f"# {manifest.name} {manifest.version}\n\nThe weights of {before.name} {before.version}, "
        f"calibrated on {figures['n']} rows of a user's own ({SPLIT} split). After is of {figures['after_is_of']}; "
        "figures that begin with label_ are of labels that weigh the same, which is what probabilities are for. "
        f"A window whose best label is less probable than {manifest.least_confidence} gets no label.\n\n{table}\n\n"
        f"{notes}{_CARD_BEFORE}{card.split(_CARD_BEFORE)[-1]}"
    )
