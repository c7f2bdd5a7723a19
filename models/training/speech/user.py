"""Trains the shipped speech network further on a user's voices.

Problem: a few dozen recordings cannot teach a network from nothing. Rule: the shipped network, with the centre and
scale that it has, learns from windows of the training recordings as they are and as changed sound, every emotion as
often; the epoch is kept whose answers to the validation recordings, never changed, have the best mean recall. A
recording whose windows have no voice gets no answer. Left out: Whisper itself.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from models.artifact import SHIPPED, read_model_folder
from models.data.corpora.speech import Clip
from models.data.user.manifest import USER_CORPUS
from models.data.user.media import sound_of
from models.data.user.voices import read_user_voices
from models.labels import EMOTIONS
from models.metrics.classification import classification_figures
from models.speech.encoder import build_network, save_network
from models.speech.states import emotion_logits
from models.speech.window_network import WindowNetwork
from models.training.loop.fit import Metrics
from models.training.part.folder import PartFolder
from models.training.part.held_out import CLEAN, EmotionLogits, HeldOutLogits
from models.training.speech.state_logits import EMOTION_OF_STATE
from models.training.speech.train import SpeechTraining, fit_network
from models.training.speech.window_passes import Windows, joined_windows, window_passes

_FIGURES = ("accuracy", "uar", "macro_f1")


def train_user_speech(
    data: Path, out: Path, training: SpeechTraining, progress: Callable[[int, Metrics], None] | None = None
) -> dict[str, Any]:
    """Trains on a manifest's recordings and writes the part's folder.

    Returns the figures.

    A run that was killed goes on from the passes and the checkpoint in `out`.
    Raises ManifestError, ModelError for a shipped model that cannot be read, and as `fit` does.
    """
    folder = PartFolder(out, "speech")
    train, valid, left_out = read_user_voices(data)
    left_out.write(folder.left_out)
    network = shipped_network()
    training = replace(training, network=network.config)
    learnt = joined_windows(_passes(train, folder.passes("train"), training, training.augmented_passes))
    (measured,) = _passes(valid, folder.passes("valid"), training, 0)
    truth = EMOTION_OF_STATE[measured.state]

    def validate(net: nn.Module) -> Metrics:
        figures = classification_figures(_probabilities(_logits(net, measured)), truth, EMOTIONS)
        return {name: figures[name] for name in _FIGURES}

    result = fit_network(network, learnt, training, validate, "uar", checkpoint=folder.checkpoint(), progress=progress)
    save_network(folder.weights, network)
    _held_out(_logits(network, measured), measured).save(folder.held_out)
    metrics = {
        "data": USER_CORPUS,
        "rows": {"train": len(train), "valid": len(valid)},
        "dropped": left_out.counts(),
        "unanswered": len(valid) - len(measured.state),
        "best_epoch": result.best_epoch,
        "valid": result.best,
        "settings": asdict(training),
    }
    folder.write_metrics(metrics)
    return metrics


def _held_out(logits: npt.NDArray[np.float32], windows: Windows) -> HeldOutLogits:
    rows = len(logits)
    emotion = EmotionLogits(logits, EMOTION_OF_STATE[windows.state], np.full(rows, USER_CORPUS), windows.speaker)
    qualities = {"snr_db": windows.snr_db.astype(np.float64)}
    return HeldOutLogits("audio", emotion, logits, np.full(rows, CLEAN), qualities)


def shipped_network() -> WindowNetwork:
    """The shipped model's, to go on from. Raises ModelError."""
    shipped = read_model_folder(SHIPPED)
    return build_network(shipped.tensors["speech"], shipped.manifest.parts["speech"])


def _passes(clips: list[Clip], folder: Path, training: SpeechTraining, changed: int) -> list[Windows]:
    return list(window_passes(clips, folder, training.network.streams, changed, lambda clip: sound_of(clip.path)))


@torch.no_grad()
def _logits(network: nn.Module, windows: Windows) -> npt.NDArray[np.float32]:
    """(windows, 7)"""
    logits: npt.NDArray[np.float32] = emotion_logits(network(torch.from_numpy(windows.statistics).float())).numpy()
    return logits


def _probabilities(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    shares: npt.NDArray[np.float64] = torch.from_numpy(logits).double().softmax(dim=1).numpy()
    return shares
