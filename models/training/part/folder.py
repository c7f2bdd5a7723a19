"""The folder of one part's training, and the names of its files.

    OUT/PART/  training.json           what is trained, and whether it is finished
               PART.safetensors        weights, with the network's sizes in the header
               metrics.json            figures
               held_out_logits.npz     logits for rows not trained on
               corrupted_logits.npz    the same for corrupted faces (face alone)
               state_logits.npz        logits of the corpora's own states (speech alone)
               left_out.csv            rows of a manifest that were not used, and why
               [NETWORK/]checkpoint.safetensors, curves.png, events/
               passes/                 inputs of the networks, computed once

No file name is written anywhere else. Left out: the model folder, which `models.artifact` writes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from models.artifact import Tensors
from models.training.part.held_out import HeldOutLogits


@dataclass(frozen=True, slots=True)
class PartFolder:
    """path: OUT/PART, which need not exist. part: "face", "speech" or "text"."""

    path: Path
    part: str

    @classmethod
    def under(cls, out: Path, part: str) -> "PartFolder":
        """The part's folder in the folder OUT of a whole training."""
        return cls(out / part, part)

    @property
    def weights(self) -> Path:
        """Safetensors of the trained network."""
        return self.path / f"{self.part}.safetensors"

    @property
    def metrics(self) -> Path:
        """JSON of the part's figures."""
        return self.path / "metrics.json"

    @property
    def held_out(self) -> Path:
        """`HeldOutLogits` of the rows that the part was not trained on."""
        return self.path / "held_out_logits.npz"

    @property
    def corrupted(self) -> Path:
        """`HeldOutLogits` of faces as they came and corrupted."""
        return self.path / "corrupted_logits.npz"

    @property
    def state_logits(self) -> Path:
        """`StateLogits` of clips whose speaker was held out."""
        return self.path / "state_logits.npz"

    @property
    def left_out(self) -> Path:
        """CSV of a manifest's rows that were not used."""
        return self.path / "left_out.csv"

    @property
    def record(self) -> Path:
        """JSON of the training's data and settings, and whether it is finished."""
        return self.path / "training.json"

    def checkpoint(self, network: str = "") -> Path:
        """Where a network's training goes on after a kill.

        network: one of several that the part is made of.
        """
        return self.path / network / "checkpoint.safetensors"

    def curves(self, network: str = "") -> Path:
        """PNG of a network's learning curves."""
        return self.path / network / "curves.png"

    def events(self, network: str = "") -> Path:
        """Folder of a network's TensorBoard events."""
        return self.path / network / "events"

    def passes(self, split: str = "") -> Path:
        """Folder of inputs that are computed once."""
        return self.path / "passes" / split

    def is_trained(self) -> bool:
        """Whether there are figures and logits to assemble a model of."""
        return self.metrics.is_file() and self.held_out.is_file()

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Writes the figures as JSON."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.metrics.write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")

    def read_metrics(self) -> dict[str, Any]:
        """The figures. Raises FileNotFoundError, or ValueError naming the file."""
        try:
            metrics: dict[str, Any] = json.loads(self.metrics.read_text(encoding="utf-8"))
        except ValueError as wrong:
            raise ValueError(f"{self.metrics}: {wrong}") from wrong
        return metrics

    def read_weights(self) -> tuple[Tensors, Mapping[str, Any]]:
        """Tensors, and the network's sizes in the header.

        Sizes are empty for a part of fixed sizes. Raises FileNotFoundError.
        """
        with safe_open(self.weights, framework="pt") as file:
            sizes = json.loads((file.metadata() or {}).get(self.part, "{}"))
            return {key: file.get_tensor(key) for key in file.keys()}, sizes  # noqa: SIM118 (not a mapping)

    def read_held_out(self) -> HeldOutLogits:
        """Raises FileNotFoundError, or ValueError naming file and field."""
        return HeldOutLogits.load(self.held_out)
