"""Trains the expression network on FER+ (Barsoum et al., 2016): soft votes, balanced classes, an honest validation.

Balance: pictures are drawn with weight 1/sqrt(frequency of their class), and the loss adds the log of the drawn prior
to the logits (Menon et al., 2021), so that the network's own logits are those of equally likely classes. No picture of
the validation split, not even a copy of one, is trained on.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.data.ferplus import Faces, read_ferplus, with_repeats_merged, without_images_of
from models.face.crop import given_face
from models.face.encoder import FaceEncoder, save_network
from models.face.expressions import EXPRESSIONS
from models.face.network import ExpressionNet, NetworkConfig
from models.training.augment_face import augment_faces
from models.training.loop import FitConfig, FitResult, Metrics, fit
from models.training.measure_face import expression_figures, expression_logits

_BATCH = 128

Batch = tuple[Tensor, Tensor]
"""crops (batch, 48, 48) float32 in 0..255, votes (batch, 8) summing to 1."""


@dataclass(frozen=True, slots=True)
class FaceTraining:
    """How to train. bf16 autocast halves the time of an epoch on a CPU that has bfloat16 units."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    epochs: int = 44
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    ema_decay: float = 0.998
    seed: int = 1
    bf16: bool = True


class DrawnFaces:
    """An epoch's batches: drawn by class, augmented; the same for the same epoch.

    prior: (8,) share of the votes that each expression has among the faces drawn. steps: batches in an epoch.
    """

    def __init__(self, faces: Faces, seed: int) -> None:
        self._images = torch.from_numpy(faces.images)
        self._votes = torch.from_numpy(faces.votes)
        self._seed = seed
        counts = np.bincount(faces.labels, minlength=len(EXPRESSIONS)).clip(1)
        self._weights = torch.from_numpy(1 / np.sqrt(counts[faces.labels]))
        drawn = self._weights / self._weights.sum()
        self.prior = (drawn[:, None] * self._votes).sum(0).to(torch.float32)
        self.steps = max(1, len(faces) // _BATCH)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
        rows = torch.multinomial(self._weights, self.steps * _BATCH, replacement=True, generator=generator)
        for chosen in rows.view(-1, _BATCH):
            yield augment_faces(self._images[chosen], generator), self._votes[chosen]


def train_face(
    data_dir: Path,
    out_dir: Path,
    training: FaceTraining | None = None,
    progress: Callable[[int, Metrics], None] | None = None,
) -> dict[str, Any]:
    """Trains on FER+ of `data_dir`; writes `face.safetensors` and `metrics.json` to `out_dir`, and returns the latter.

    A run that was killed goes on from `out_dir/checkpoint.safetensors`.
    """
    training = training or FaceTraining()
    valid = read_ferplus(data_dir, "valid")
    train = with_repeats_merged(without_images_of(read_ferplus(data_dir, "train"), valid))
    torch.manual_seed(training.seed)
    network = ExpressionNet(training.network)
    log_prior = torch.from_numpy(train.votes.mean(0)).log()
    result = _fit(network, train, valid, log_prior, training, out_dir / "checkpoint.safetensors", progress)
    out_dir.mkdir(parents=True, exist_ok=True)
    save_network(out_dir / "face.safetensors", network)
    metrics = {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "best_epoch": result.best_epoch,
        "rows": {"train": len(train), "valid": len(valid)},
        "dropped": {"train": train.dropped, "valid": valid.dropped},
        "log_prior": log_prior.tolist(),
        "valid": valid_figures(network, valid, log_prior),
    }
    (out_dir / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    return metrics


def valid_figures(network: ExpressionNet, valid: Faces, log_prior: Tensor) -> dict[str, Any]:
    """As `expression_figures`, of the encoder that the daemon uses."""
    encoder = FaceEncoder(network)
    faces = [given_face(image) for image in valid.images]
    chunks = [encoder.encode(faces[start : start + _BATCH]).embedding for start in range(0, len(faces), _BATCH)]
    with torch.no_grad():
        return expression_figures(network.head(torch.cat(chunks)), valid.labels, log_prior)


def _fit(
    network: ExpressionNet,
    train: Faces,
    valid: Faces,
    log_prior: Tensor,
    training: FaceTraining,
    checkpoint: Path,
    progress: Callable[[int, Metrics], None] | None,
) -> FitResult:
    draw = DrawnFaces(train, training.seed)
    log_drawn = draw.prior.log()

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        crops, votes = batch
        return functional.cross_entropy(net(crops).float() + log_drawn, votes)

    def validate(net: nn.Module) -> Metrics:
        with torch.autocast("cpu", torch.bfloat16, enabled=training.bf16):
            figures = expression_figures(expression_logits(net, valid.images), valid.labels, log_prior)
        accuracy, uar = figures["fer8"]["accuracy"], figures["ekman7_equal"]["uar"]
        return {"accuracy8": accuracy, "uar7_equal": uar, "score": (accuracy + uar) / 2}

    config = FitConfig(
        epochs=training.epochs,
        steps_per_epoch=draw.steps,
        metric="score",
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        warmup_epochs=1.0,
        ema_decay=training.ema_decay,
        seed=training.seed,
        bf16=training.bf16,
        checkpoint=checkpoint,
    )
    return fit(network, draw, loss, validate, config, progress)
