"""Trains the network of eyes, on eyelids drawn over FER+.

`python -m models.training.face.eyes --data FOLDER --out eyes.safetensors` makes the weights and prints their figures.

The rule. Faces of FER+ train give the samples (`models.training.face.eye_samples`), faces of FER+ valid the figures.
How open an eye is counts in the loss only where it can be told. Left out: choosing an epoch by the figures; the last is
taken.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from models.data.corpora.ferplus import read_ferplus
from models.face.drowsiness import CLOSED_BELOW
from models.training.face.eye_samples import EyeSamples, make_eye_samples

_BATCH = 256
_RATE = 6e-3
_OPEN, _CLOSED = 0.87, 0.13  # what is drawn further open or closed than that counts as such in the figures


class EyeNet(nn.Module):
    """The network that `models.face.eyes` reads eyes with.

    patches: (eyes, 12, 18) float32 grey levels. Returns (eyes, 2) logits: open, and told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 16, 5, 2, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 24, 3, 1, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d((2, 3))),
        )
        self.answer = nn.Sequential(nn.Flatten(), nn.Dropout(0.25), nn.Linear(216, 24), nn.ReLU(), nn.Linear(24, 2))

    def forward(self, patches: Tensor) -> Tensor:
        # Light and contrast say nothing.
        deviation, mean = torch.std_mean(patches, dim=(1, 2), keepdim=True, correction=0)
        logits: Tensor = self.answer(self.features(((patches - mean) / deviation.clamp_min(1.0)).unsqueeze(1)))
        return logits


def main() -> None:
    """Trains, writes the weights and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder with faces/ferplus_train.npz")
    parser.add_argument("--out", type=Path, required=True, help="the file of weights to write")
    parser.add_argument(
        "--faces", type=int, default=1300, help="how many faces to draw on, and a fifth of it to measure"
    )
    parser.add_argument("--epochs", type=int, default=12)
    given = parser.parse_args()
    train, valid = (_samples(given.data, split, count) for split, count in _counts(given.faces))
    network = train_eyes(train, given.epochs)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, given.out)
    print(json.dumps(eye_figures(network, valid)))


def _counts(faces: int) -> tuple[tuple[str, int], tuple[str, int]]:
    return ("train", faces), ("valid", faces // 5)


def _samples(data: Path, split: str, count: int) -> EyeSamples:
    images = read_ferplus(data, split).images
    return make_eye_samples(images[np.random.default_rng(0).permutation(len(images))[:count]], seed=0)


def train_eyes(samples: EyeSamples, epochs: int, seed: int = 0) -> EyeNet:
    """Trains a network. The same samples and seed give the same."""
    torch.manual_seed(seed)
    network, generator = EyeNet().train(), torch.Generator().manual_seed(seed)
    patches, openness, told = map(torch.from_numpy, (samples.patches, samples.openness, samples.told))
    batches = max(1, len(patches) // _BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, epochs * batches)
    for _ in range(epochs):
        for rows in torch.randperm(len(patches), generator=generator).chunk(batches):
            logits = network(_shifted(patches[rows], generator))
            loss = _loss(logits, openness[rows], told[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return network.eval()


def _loss(logits: Tensor, openness: Tensor, told: Tensor) -> Tensor:
    each = binary_cross_entropy_with_logits(logits[:, 0], openness, reduction="none")
    return (each * told).sum() / told.sum().clamp_min(1) + 0.5 * binary_cross_entropy_with_logits(logits[:, 1], told)


def _shifted(patches: Tensor, generator: torch.Generator) -> Tensor:
    """Patches moved by up to a pixel down and two across."""
    down, across = (int(torch.randint(-far, far + 1, (1,), generator=generator)) for far in (1, 2))
    return torch.roll(patches, (down, across), (1, 2))


@torch.inference_mode()
def eye_figures(network: EyeNet, samples: EyeSamples) -> dict[str, float]:
    """Figures of single eyes.

    "told", "told_hidden": shares said to be told of those that are and are not. "closed_found": of closed eyes that are
    told, "open_missed": of open ones, those read as closed.
    """
    openness, told = torch.sigmoid(network(torch.from_numpy(samples.patches))).numpy().T
    said, can_be = told >= 0.5, samples.told > 0
    closed, is_open = can_be & said & (samples.openness <= _CLOSED), can_be & said & (samples.openness >= _OPEN)
    return {
        "eyes": float(can_be.sum()),
        "told": float(said[can_be].mean()),
        "told_hidden": float(said[~can_be].mean()),
        "closed_found": float((openness[closed] < CLOSED_BELOW).mean()),
        "open_missed": float((openness[is_open] < CLOSED_BELOW).mean()),
    }


if __name__ == "__main__":
    main()
