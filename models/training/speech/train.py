"""Trains the speech network on windows of RAVDESS and EMO-DB.

Problem: thirty acting speakers, unequal states, and a daemon whose windows hold one second of voice or many. Rule:
windows of all passes are drawn so that the emotions are equally frequent and EMO-DB has its share, and mixed in pairs
(mixup; Zhang et al., 2018); the network is judged by speakers it never saw (`cross_validation`), and the shipped one
trains on all of them for as many epochs. Left out: fine-tuning Whisper, and choosing an epoch by a validation score:
there is no speaker to spare.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.data.corpora.speech import read_emodb, read_ravdess
from models.speech.encoder import save_network
from models.speech.states import STATES
from models.speech.window_network import WindowNetwork, WindowNetworkConfig
from models.training.loop.fit import FitConfig, FitResult, Metrics, fit
from models.training.part.folder import PartFolder
from models.training.speech.state_logits import EMOTION_OF_STATE
from models.training.speech.window_passes import Windows, joined_windows, window_passes

Batch = tuple[torch.Tensor, torch.Tensor]
"""Statistics (windows, features) and the probability of each state that is to be answered (windows, 9)."""


@dataclass(frozen=True, slots=True)
class SpeechTraining:
    """How to train.

    network: of a new one; one that goes on from the shipped network has its sizes. augmented_passes: passes over the
    corpora beside the clean one. emodb_share: of the windows drawn, 0..1.
    mixup: both parameters of the beta distribution that shares are drawn from, 0 for none.
    """

    network: WindowNetworkConfig = field(default_factory=WindowNetworkConfig)
    augmented_passes: int = 2
    epochs: int = 14
    windows_per_epoch: int = 4096
    batch_windows: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    label_smoothing: float = 0.1
    emodb_share: float = 0.35
    mixup: float = 0.3
    ema_decay: float = 0.99


class DrawnWindows:
    """Batches of an epoch, the same for the same seed and epoch."""

    def __init__(self, windows: Windows, training: SpeechTraining, seed: int) -> None:
        self._windows = windows
        self._training = training
        self._seed = seed
        self._share = _shares(EMOTION_OF_STATE[windows.state], of_emodb(windows.speaker), training.emodb_share)

    def __call__(self, epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng([self._seed, epoch])
        size = self._training.batch_windows
        for _ in range(self._training.windows_per_epoch // size):
            chosen = rng.choice(len(self._share), size, p=self._share)
            statistics = torch.from_numpy(self._windows.statistics[chosen]).float()
            target = self._smoothed(torch.from_numpy(self._windows.state[chosen]))
            if self._training.mixup > 0:
                share = torch.from_numpy(rng.beta(self._training.mixup, self._training.mixup, (size, 1))).float()
                other = torch.from_numpy(rng.permutation(size))
                statistics = statistics.lerp(statistics[other], share)
                target = target.lerp(target[other], share)
            yield statistics, target

    def _smoothed(self, state: torch.Tensor) -> torch.Tensor:
        certain = nn.functional.one_hot(state, len(STATES)).float()
        return certain * (1 - self._training.label_smoothing) + self._training.label_smoothing / len(STATES)


def of_emodb(speaker: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Says of each speaker whether EMO-DB is theirs."""
    return np.char.startswith(speaker, "emodb-")


def _shares(
    emotion: npt.NDArray[np.int64], emodb: npt.NDArray[np.bool_], emodb_share: float
) -> npt.NDArray[np.float64]:
    """The share with which each window is drawn.

    A corpus as often as configured; inside it every emotion as often.
    """
    share = np.zeros(len(emotion))
    for corpus, wanted in ((emodb, emodb_share), (~emodb, 1 - emodb_share)):
        shown = np.unique(emotion[corpus])
        for index in shown:
            rows = corpus & (emotion == index)
            share[rows] = wanted / len(shown) / rows.sum()
    summed: npt.NDArray[np.float64] = share / share.sum()
    return summed


def train_network(windows: Windows, training: SpeechTraining, seed: int = 0) -> WindowNetwork:
    """Returns a network trained on at least one window, in evaluation mode.

    Its numbers are scaled by these windows.
    """
    torch.manual_seed(seed)
    network = WindowNetwork(training.network)
    centre, spread = windows.statistics.mean(0, np.float32), windows.statistics.std(0, np.float32)
    network.centre.copy_(torch.from_numpy(centre))
    network.scale.copy_(torch.from_numpy(spread + 0.01 * spread.mean()))
    finished = iter(range(training.epochs))
    fit_network(network, windows, training, lambda _: {"epoch": next(finished)}, "epoch", seed)  # keeps the last epoch
    return network


def fit_network(
    network: WindowNetwork,
    windows: Windows,
    training: SpeechTraining,
    validate: Callable[[nn.Module], Mapping[str, float]],
    metric: str,
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Callable[[int, Metrics], None] | None = None,
) -> FitResult:
    """Trains the network in place on at least one window.

    The rest as in `models.training.loop.fit`.
    """

    def loss(net: nn.Module, batch: Batch) -> torch.Tensor:
        if not isinstance(net, WindowNetwork):
            raise TypeError(f"wanted a WindowNetwork, got {type(net).__name__}")
        statistics, target = batch
        return -(target * net.each_member(statistics)).sum(dim=-1).mean(dim=-1).sum()

    return fit(
        network,
        DrawnWindows(windows, training, seed),
        loss,
        validate,
        FitConfig(
            epochs=training.epochs,
            steps_per_epoch=training.windows_per_epoch // training.batch_windows,
            metric=metric,
            learning_rate=training.learning_rate,
            weight_decay=training.weight_decay,
            warmup_epochs=1.0,
            clip_norm=0.0,  # the members' gradients are independent, and one norm over all would tie them
            ema_decay=training.ema_decay,
            seed=seed,
            bf16=True,
            checkpoint=checkpoint,
        ),
        progress,
    )


def train_speech(data: Path, out: Path, training: SpeechTraining | None = None, seed: int = 0) -> WindowNetwork:
    """Trains on every speaker of RAVDESS and EMO-DB, and writes the weights.

    Returns the network.

    data: holds `speech/`. out: the part's folder. It also keeps the passes (some 30 MB each), which are read if there.
    """
    training, folder = training or SpeechTraining(), PartFolder(out, "speech")
    clips = read_ravdess(data) + read_emodb(data)
    passes = window_passes(clips, folder.passes(), training.network.streams, training.augmented_passes)
    network = train_network(joined_windows(list(passes)), training, seed)
    save_network(folder.weights, network)
    return network
