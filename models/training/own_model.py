"""A model folder with one part trained on a user's own data, and everything else as the shipped model has it.

The part is calibrated on the answers that it gave to the user's validation rows, every label weighing the same; the
fusion's weights, the risk rule and the other parts stay, so the folder is whole and the daemon runs it as it is.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from models.artifact import SHIPPED, Manifest, read_model_folder, write_model_folder
from models.training.calibration import equal_label_weight, fit_temperature
from models.training.card import model_card
from models.training.provenance import Provenance
from models.training.reliability import trusted

OWN_LICENCE = "the user's own"


def with_own_face(run: Path, out: Path, name: str = "own") -> Manifest:
    """Writes the model folder `out` with the face part that `models.training.face.train_face` left in `run`.

    Raises FileNotFoundError for a run that is not whole, ModelError for a shipped model that cannot be read.
    """
    shipped = read_model_folder(SHIPPED)
    with safe_open(run / "face.safetensors", framework="pt") as file:
        sizes = json.loads((file.metadata() or {})["face"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    metrics: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    with np.load(run / "valid_logits.npz", allow_pickle=False) as file:
        answers = trusted(dict(file), shipped.manifest.reliability.get("video"))
    logits, labels = answers["logits7"], answers["label7"]
    known = labels >= 0
    calibration = fit_temperature(logits[known], labels[known], equal_label_weight(labels[known]))
    others = [entry for entry in shipped.manifest.data if entry.get("part") != "face"]
    own = Provenance(metrics["data"], "face", "train", OWN_LICENCE, "")
    manifest = shipped.manifest.model_copy(
        update={
            "name": name,
            "parts": {**shipped.manifest.parts, "face": sizes},
            "calibration": {**shipped.manifest.calibration, "video": calibration},
            "metrics": {**shipped.manifest.metrics, **_without_ferplus(shipped.manifest.metrics), "face": metrics},
            "data": (asdict(own), *others),
        }
    )
    return write_model_folder(out, manifest, {**shipped.tensors, "face": tensors}, model_card(manifest))


def _without_ferplus(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What the shipped face part was measured on is no measure of another."""
    return {
        name: {corpus: found for corpus, found in metrics.get(name, {}).items() if not corpus.startswith("ferplus/")}
        for name in ("calibration", "corpora")
    }
