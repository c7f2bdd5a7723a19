"""Trains the expression networks on FER+ (Barsoum et al., 2016).

Members of a committee are trained one after the other, each from its own random start. Balance: pictures are drawn
with weight 1/sqrt(frequency of their class), and the loss adds the log of the drawn prior to the logits (Menon et al.,
2021), so that the network's own logits are those of equally likely classes. No picture of the validation split, not
even a copy of one, is trained on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.artifact import SHIPPED, read_model_folder
from models.data.corpora.ferplus import Faces, read_ferplus, with_repeats_merged, without_images_of
from models.data.sampling import draw_weights
from models.data.user.faces import read_user_faces
from models.data.user.manifest import USER_CORPUS, has_manifest
from models.face.expressions import EXPRESSIONS
from models.face.network import ExpressionCommittee, ExpressionNet, NetworkConfig, build_network
from models.precision import mixed_precision
from models.training.face.augment import augment_faces, mix_faces
from models.training.face.face_part import write_face_part
from models.training.face.figures import (
    expression_figures,
    expression_logits,
)
from models.training.loop.distributed import rank, split_rows
from models.training.loop.fit import FitConfig, FitResult, Metrics, fit
from models.training.loop.losses import balanced_class_weights, distribution_loss, focal_loss
from models.training.loop.progress import save_learning_curves
from models.training.part.folder import PartFolder

_BATCH = 128
_BALANCE = 0.5  # half way between drawing pictures alike and drawing classes alike
_LEAST_PRIOR = 1e-6  # of an expression that nobody voted for

Batch = tuple[Tensor, Tensor]
"""crops (batch, 48, 48) float32 in 0..255, votes (batch, 8) summing to 1."""


@dataclass(frozen=True, slots=True)
class FaceTraining:
    """How to train.

    networks: one, or a committee's members: a residual and a plain network of a million parameters each are 0.2 points
    of accuracy better together than the residual one alone, and cost twice as much. from_shipped: goes on from the
    shipped networks instead, which a few hundred faces are enough for. loss: of the votes, or of the majority with
    focus on hard faces. class_weight_power: of the loss's weights by class, beside the drawing; 0 for none.
    mixup_alpha: 0 for none. bf16: bfloat16 where it is faster than float32 (`models.precision`).
    """

    networks: Sequence[NetworkConfig] = field(default_factory=lambda: (NetworkConfig(),))
    from_shipped: bool = False
    epochs: int = 44
    loss: Literal["distribution", "focal"] = "distribution"
    class_weight_power: float = 0.0
    mixup_alpha: float = 0.0
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    ema_decay: float = 0.998
    seed: int = 1
    bf16: bool = True

    def __post_init__(self) -> None:
        """Raises ValueError for a loss that there is not."""
        if self.loss not in ("distribution", "focal"):
            raise ValueError(f"loss is distribution or focal, not {self.loss!r}")


class DrawnFaces:
    """Batches of an epoch, drawn by class, augmented, the same every time.

    prior: (8,) share of the votes that each expression has among the faces drawn. steps: batches in an epoch.
    """

    def __init__(self, faces: Faces, seed: int, mixup_alpha: float = 0.0) -> None:
        self._mixup_alpha = mixup_alpha
        self._images = torch.from_numpy(faces.images)
        self._votes = torch.from_numpy(faces.votes)
        self._seed = seed
        self._weights = torch.from_numpy(draw_weights(faces.labels, _BALANCE))
        drawn = self._weights / self._weights.sum()
        self.prior = (drawn[:, None] * self._votes).sum(0).to(torch.float32).clamp_min(_LEAST_PRIOR)
        self.steps = max(1, len(faces) // _BATCH)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + epoch)
        rows = torch.multinomial(self._weights, self.steps * _BATCH, replacement=True, generator=generator)
        for chosen in rows.view(-1, _BATCH):
            crops, votes = augment_faces(self._images[chosen], generator), self._votes[chosen]
            if self._mixup_alpha > 0:
                crops, votes = mix_faces(crops, votes, self._mixup_alpha, generator)
            yield crops, votes


def train_face(
    data_dir: Path,
    out_dir: Path,
    training: FaceTraining | None = None,
    progress: Callable[[int, Metrics], None] | None = None,
) -> dict[str, Any]:
    """Trains on a manifest or FER+, and writes the part's folder.

    data_dir: holds `manifest.csv`, or FER+ under `faces/`. out_dir: the folder, as `PartFolder` describes it. progress:
    called after every epoch of every network. A run that was killed goes on from its checkpoints. Under `torchrun` the
    first process writes; the others return {}. Returns the figures. Raises FileNotFoundError or ValueError for data
    that is not there or not as it should be.
    """
    training, folder = training or FaceTraining(), PartFolder(out_dir, "face")
    train, valid, facts = _read_faces(data_dir, folder)
    log_prior = torch.from_numpy(train.votes.mean(0)).clamp_min(_LEAST_PRIOR).log()
    members = _started(training)
    best_epochs = []
    for number, member in enumerate(members):
        seeded = replace(training, seed=training.seed + number)
        result = _fit(member, train, valid, log_prior, seeded, folder, f"member_{number}", progress)
        best_epochs.append(result.best_epoch)
    if rank() > 0:
        return {}
    network = members[0] if len(members) == 1 else ExpressionCommittee(members)
    facts |= {"from_shipped": training.from_shipped, "best_epochs": best_epochs}
    return write_face_part(folder, network, valid, log_prior, facts)


def _read_faces(data_dir: Path, folder: PartFolder) -> tuple[Faces, Faces, dict[str, Any]]:
    if has_manifest(data_dir):
        train, valid, left_out = read_user_faces(data_dir)
        left_out.write(folder.left_out)
        name, dropped = USER_CORPUS, left_out.counts()
    else:
        valid = read_ferplus(data_dir, "valid")
        train = with_repeats_merged(without_images_of(read_ferplus(data_dir, "train"), valid))
        name, dropped = "FER+", {"train": train.dropped, "valid": valid.dropped}
    return train, valid, {"data": name, "rows": {"train": len(train), "valid": len(valid)}, "dropped": dropped}


def _started(training: FaceTraining) -> list[ExpressionNet]:
    """The members before training."""
    if training.from_shipped:
        folder = read_model_folder(SHIPPED)
        shipped = build_network(folder.manifest.parts["face"])
        shipped.load_state_dict(folder.tensors["face"])
        return [shipped] if isinstance(shipped, ExpressionNet) else shipped.networks()
    members = []
    for number, config in enumerate(training.networks):
        torch.manual_seed(training.seed + number)
        members.append(ExpressionNet(config))
    return members


def _fit(
    network: ExpressionNet,
    train: Faces,
    valid: Faces,
    log_prior: Tensor,
    training: FaceTraining,
    folder: PartFolder,
    name: str,
    progress: Callable[[int, Metrics], None] | None,
) -> FitResult:
    draw = DrawnFaces(train, training.seed, training.mixup_alpha)
    log_drawn = draw.prior.log()
    weights = balanced_class_weights(train.labels, len(EXPRESSIONS), training.class_weight_power)

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        crops, votes = batch
        logits = net(crops).float() + log_drawn
        if training.loss == "focal":
            return focal_loss(logits, votes.argmax(dim=1), class_weights=weights)
        return distribution_loss(logits, votes, weights)

    def validate(net: nn.Module) -> Metrics:
        with mixed_precision("cpu", training.bf16):
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
        checkpoint=folder.checkpoint(name),
    )
    result = fit(network, draw, loss, validate, config, progress, _share)
    if rank() == 0:
        save_learning_curves(folder.curves(name), result.history, result.best_epoch)
    return result


def _share(batch: Batch) -> Batch:
    crops, votes = split_rows(batch)
    return crops, votes
