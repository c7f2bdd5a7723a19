"""Chooses, part by part, between the shipped model and the user's.

Problem: a few dozen rows can make a part worse, and nothing in its training tells. Rule: both are asked about the rows
held out; a part is taken where its UAR, over the tasks that these rows label, is higher in nine of ten draws of their
groups, and the shipped one stays elsewhere. Then the model is calibrated to the validation rows, where there are enough
and calibration predicts rows of other groups better. Held out are the rows of the test split and, where these are few,
those of the validation split too, by which the epoch was chosen.
Left out: choosing by accuracy, which common labels make.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.artifact import SHIPPED, Manifest, ModelFolder, read_model_folder
from models.components import COMPONENTS
from models.data.user.manifest import USER_CORPUS, Sample, read_manifest
from models.device import choose_device
from models.evaluation.predictions import EncodedRows, Floats, encoded_rows, posteriors
from models.evaluation.progress import OnRows, no_progress
from models.evaluation.user_rows import has_label, user_rows
from models.labels import MODALITIES, RISKS
from models.metrics.comparison import Paired, compare
from models.metrics.labelled_rows import EvaluationError, LabelledRows
from models.model import AffectModel
from models.training.assemble.user_model import with_user_parts
from models.training.calibration.command import CROSS_VALIDATED, calibrated

LEAST_HELD_OUT = 20
"""Rows of the test split, below which the validation rows are asked about too."""

_SURE = 0.9  # share of draws in which a part has to be better
_MODALITY = {part.name: modality for modality, part in COMPONENTS.items()}


@dataclass(frozen=True, slots=True, eq=False)
class _TaskRows:
    """One task's held-out rows, and their events as both models encode them."""

    rows: LabelledRows
    shipped: EncodedRows
    trained: EncodedRows


def better_model(data: Path, runs: Path, parts: Sequence[str], progress: OnRows = no_progress) -> ModelFolder:
    """The model of the better parts, calibrated; not written yet.

    `metrics["own"]` has how the parts compare.

    runs: holds a folder for each part that was trained. Raises ManifestError, and FileNotFoundError for a run that is
    not whole.
    """
    folder, device = read_model_folder(SHIPPED), choose_device("auto")
    shipped = AffectModel.from_folder(folder, device)
    trained = AffectModel.from_folder(with_user_parts(folder, runs, parts), device)
    held, splits = _held_out(read_manifest(data), parts)
    task_rows = _encode_tasks(held, parts, shipped, trained, progress)
    compared = {part: _compare_part(part, task_rows, shipped, trained) for part in parts}
    taken = [part for part in parts if _is_better(compared[part])]
    chosen = with_user_parts(folder, runs, taken) if taken else folder
    encoders = {
        modality: (trained if COMPONENTS[modality].name in taken else shipped).encoders[modality]
        for modality in COMPONENTS
    }
    manifest, calibration = calibrated_if_better(AffectModel(chosen.manifest, encoders, device), data, progress)
    if "emotion" in task_rows:
        fused = _fused(task_rows["emotion"], taken, shipped, AffectModel(manifest, encoders, device))
        compared["fused"] = {"emotion": asdict(compare([fused]))}
    own = {
        "parts": taken,
        "kept": [],
        **manifest.metrics.get("own", {}),
        "held_out": {"splits": splits, "rows": len(held)},
        "compared": compared,
        "calibration": calibration,
    }
    metrics = {**manifest.metrics, "own": own}
    return replace(chosen, manifest=manifest.model_copy(update={"metrics": metrics}))


def _held_out(samples: Sequence[Sample], parts: Sequence[str]) -> tuple[list[Sample], list[str]]:
    """The labelled samples that a part can predict, and their splits."""
    usable = [sample for sample in samples if any(_shows(sample, part) for part in parts)]
    tests = [sample for sample in usable if sample.split == "test"]
    few = any(sum(_shows(sample, part) for sample in tests) < LEAST_HELD_OUT for part in parts)
    splits = ["test", "valid"] if few else ["test"]
    return [sample for sample in usable if sample.split in splits], splits


def _shows(sample: Sample, part: str) -> bool:
    there = getattr(sample, _MODALITY[part]) is not None
    return there and (has_label(sample, "emotion") or (part == "text" and bool(sample.risk)))


def _encode_tasks(
    held: Sequence[Sample], parts: Sequence[str], shipped: AffectModel, trained: AffectModel, progress: OnRows
) -> dict[str, _TaskRows]:
    """Encodes the held-out rows by task.

    Risks are predicted of lines alone, and only where both labels occur.
    """
    modalities = {"emotion": MODALITIES} | (dict.fromkeys(RISKS, ("text",)) if "text" in parts else {})
    task_rows = {}
    for task, read in modalities.items():
        rows = user_rows(held, task, progress, read)
        if not len(rows.truth) or (task != "emotion" and len(np.unique(rows.truth)) < 2):
            continue
        of_parts = {name: units for name, units in rows.units.items() if COMPONENTS[name].name in parts}
        before, _ = encoded_rows(shipped, USER_CORPUS, rows, progress)
        after, _ = encoded_rows(trained, USER_CORPUS, replace(rows, units=of_parts), progress)
        task_rows[task] = _TaskRows(rows, before, after)
    return task_rows


def _compare_part(
    part: str, task_rows: Mapping[str, _TaskRows], shipped: AffectModel, trained: AffectModel
) -> dict[str, dict[str, Any]]:
    """Compares a part with the shipped one, by task.

    Over "all tasks" where there are several; empty where no held-out row shows the part's modality.
    """
    paired = {}
    for task, of_task in task_rows.items():
        if (alone := _alone(_MODALITY[part], task, of_task, shipped, trained)) is not None:
            paired[task] = alone
    compared = {task: asdict(compare([alone])) for task, alone in paired.items()}
    return compared if len(paired) < 2 else compared | {"all tasks": asdict(compare([*paired.values()]))}


def _alone(modality: str, task: str, task_rows: _TaskRows, shipped: AffectModel, trained: AffectModel) -> Paired | None:
    """Answers of one modality by itself."""
    if modality not in task_rows.trained:
        return None
    present = [row for row, events in enumerate(task_rows.shipped[modality]) if events is not None]
    before, after = (
        posteriors(model, task, {modality: [encoded[modality][row] for row in present]})
        for model, encoded in ((shipped, task_rows.shipped), (trained, task_rows.trained))
    )
    return _paired(task_rows.rows, present, before, after)


def _fused(task_rows: _TaskRows, taken: Sequence[str], shipped: AffectModel, final: AffectModel) -> Paired:
    """Answers of all modalities together."""
    chosen = {
        modality: task_rows.trained[modality] if COMPONENTS[modality].name in taken else events
        for modality, events in task_rows.shipped.items()
    }
    before, after = posteriors(shipped, "emotion", task_rows.shipped), posteriors(final, "emotion", chosen)
    return _paired(task_rows.rows, range(len(task_rows.rows.truth)), before, after)


def _paired(rows: LabelledRows, present: Sequence[int], before: Floats, after: Floats) -> Paired:
    chosen = np.array(present, np.int64)
    groups = np.arange(len(rows.truth)).astype(str) if rows.groups is None else rows.groups
    return Paired(rows.truth[chosen], before.argmax(axis=1), after.argmax(axis=1), groups[chosen], len(rows.labels))


def _is_better(compared: Mapping[str, Mapping[str, Any]]) -> bool:
    return bool(compared) and [*compared.values()][-1]["better_in"] >= _SURE


def calibrated_if_better(model: AffectModel, data: Path, progress: OnRows = no_progress) -> tuple[Manifest, list[str]]:
    """The manifest, calibrated where that is better, and notes on it."""
    try:
        manifest, figures = calibrated(model, data, progress)
    except EvaluationError as few:
        return model.manifest, [str(few)]
    before, after = (figures[when]["label_nll"] for when in ("before", "after"))
    if figures["after_is_of"] != CROSS_VALIDATED or after >= before:
        return model.manifest, [
            f"calibration: kept as it was; fitted to {figures['n']} validation rows it predicts others no better "
            f"(negative log-likelihood {before:.3f} before, {after:.3f} after)"
        ]
    note = f"calibration: fitted to {figures['n']} validation rows; negative log-likelihood {before:.3f} to {after:.3f}"
    return manifest, [note, *figures["kept"]]
