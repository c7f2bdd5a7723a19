"""Trains and cross-validates the recurrent speech network, without pretrained parts.

Problem: what a pretrained encoder brings can be told only by a network without one under the same protocol. Rule:
speakers are held out as in `models.training.speech.cross_validation`, and their clips, laid on the grid of seconds at a
random phase, are asked about whole. Training draws runs of at most two seconds from clips as they are and as changed
sound (`models.training.speech.augment`), both corpora with their shares and every emotion as often, and hides bands and
stretches of them. Left out: choosing an epoch by a validation score, as there is no speaker to spare.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from models.data.corpora.speech import read_emodb, read_ravdess
from models.speech.recurrent import RecurrentSpeechConfig, RecurrentSpeechNetwork, save_recurrent
from models.speech.states import STATES
from models.training.loop.fit import FitConfig, fit
from models.training.part.folder import PartFolder
from models.training.part.held_out import CLEAN
from models.training.speech.augment import Masks, Pcm, masked
from models.training.speech.cross_validation import (
    clips_without_voice,
    conditions_of,
    figures,
    held_out_speakers,
)
from models.training.speech.mel_passes import Voices, padded, voice_passes
from models.training.speech.state_logits import EMOTION_OF_STATE, StateLogits, joined_states
from models.training.speech.train import of_emodb

_CLIPS_PER_CALL = 32

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Log-mel frames (voices, 80, 4 * time), which are voiced (voices, 2 * time), and the state of each (voices,)."""


@dataclass(frozen=True, slots=True)
class RecurrentSpeechTraining:
    """How to train.

    augmented_passes: passes over the corpora beside the clean one. emodb_share: of the voices drawn, 0..1.
    longest_run: of log-mel frames that are learnt from at once, a multiple of 4.
    """

    network: RecurrentSpeechConfig = field(default_factory=RecurrentSpeechConfig)
    masks: Masks = field(default_factory=Masks)
    augmented_passes: int = 1
    epochs: int = 30
    voices_per_epoch: int = 1792
    batch_voices: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    emodb_share: float = 0.25
    longest_run: int = 200
    ema_decay: float = 0.99


class DrawnVoices:
    """Batches of an epoch, the same for the same seed and epoch."""

    def __init__(
        self, passes: Sequence[Voices], held_out: set[str], training: RecurrentSpeechTraining, seed: int
    ) -> None:
        """Draws from every pass alike, of speakers that are not held out."""
        self._training = training
        self._seed = seed
        self._voices = [voice for voices in passes for voice in voices.each()]
        self._state = np.concatenate([voices.state for voices in passes])
        speaker = np.concatenate([voices.speaker for voices in passes])
        trained = ~np.isin(speaker, sorted(held_out))
        self._share = np.zeros(len(speaker))
        emotion, emodb = EMOTION_OF_STATE[self._state], of_emodb(speaker)
        for corpus, wanted in ((emodb, training.emodb_share), (~emodb, 1 - training.emodb_share)):
            shown = np.unique(emotion[corpus & trained])
            for index in shown:
                rows = corpus & trained & (emotion == index)
                self._share[rows] = wanted / len(shown) / rows.sum()
        self._share /= self._share.sum()

    def __call__(self, epoch: int) -> Iterator[Batch]:
        rng = np.random.default_rng([self._seed, epoch])
        size = self._training.batch_voices
        for _ in range(self._training.voices_per_epoch // size):
            chosen = rng.choice(len(self._share), size, p=self._share)
            mel, voiced = padded([self._seen(index, rng) for index in chosen])
            yield mel, voiced, torch.from_numpy(self._state[chosen])

    def _seen(self, index: int, rng: np.random.Generator) -> tuple[Pcm, npt.NDArray[np.bool_]]:
        """A crop of a clip around a voiced frame, parts masked."""
        mel, voiced = self._voices[index]
        longest = self._training.longest_run // 4
        around = int(rng.choice(np.flatnonzero(voiced))) // 2
        first = int(np.clip(around - rng.integers(longest), 0, max(0, len(voiced) // 2 - longest)))
        run = slice(4 * first, 4 * (first + longest)), slice(2 * first, 2 * (first + longest))
        return masked(mel[:, run[0]].astype(np.float32), self._training.masks, rng), voiced[run[1]]


def train_recurrent(
    passes: Sequence[Voices], held_out: set[str], training: RecurrentSpeechTraining, seed: int = 0
) -> RecurrentSpeechNetwork:
    """Trains a network on every speaker that is not held out.

    It is in evaluation mode.
    """
    torch.manual_seed(seed)
    network = RecurrentSpeechNetwork(training.network)
    finished = iter(range(training.epochs))

    def loss(net: nn.Module, batch: Batch) -> torch.Tensor:
        mel, voiced, state = batch
        return functional.cross_entropy(net(mel, voiced), state, label_smoothing=training.label_smoothing)

    fit(
        network,
        DrawnVoices(passes, held_out, training, seed),
        loss,
        lambda _: {"epoch": next(finished)},  # the last epoch is kept
        FitConfig(
            epochs=training.epochs,
            steps_per_epoch=training.voices_per_epoch // training.batch_voices,
            metric="epoch",
            learning_rate=training.learning_rate,
            weight_decay=training.weight_decay,
            warmup_epochs=1.0,
            ema_decay=training.ema_decay,
            seed=seed,
            bf16=True,
        ),
    )
    return network


@torch.inference_mode()
def state_logits(network: RecurrentSpeechNetwork, voices: Voices, speakers: set[str]) -> StateLogits:
    """Logits for every whole clip of these speakers that has a voice."""
    chosen = np.flatnonzero(np.isin(voices.speaker, sorted(speakers)))
    chosen = chosen[np.argsort(voices.length[chosen], kind="stable")]
    each = voices.each()
    calls = [chosen[start : start + _CLIPS_PER_CALL] for start in range(0, len(chosen), _CLIPS_PER_CALL)]
    logits = [network(*padded([each[index] for index in call])) for call in calls]
    every = torch.cat([torch.empty(0, len(STATES)), *logits]).numpy()
    return StateLogits(
        every, voices.state[chosen], voices.speaker[chosen], chosen, np.full(len(chosen), np.nan, np.float32)
    )


def measure_recurrent(
    data: Path, out: Path, training: RecurrentSpeechTraining | None = None, seed: int = 0
) -> dict[str, Any]:
    """Cross-validates, trains on all speakers, and writes figures and weights.

    Returns the figures.

    data: holds `speech/`. out: a folder, which also keeps the passes; they are read again if there.
    """
    training, folder = training or RecurrentSpeechTraining(), PartFolder(out, "speech-recurrent")
    clips = read_ravdess(data) + read_emodb(data)
    passes = list(voice_passes(clips, folder.passes(), training.augmented_passes))
    folds, measured = held_out_speakers(clips), conditions_of(passes)
    of_folds: dict[str, list[StateLogits]] = {condition: [] for condition in measured}
    for held_out in folds:
        network = train_recurrent(passes, held_out, training, seed)
        for condition, voices in measured.items():
            of_folds[condition].append(state_logits(network, voices, held_out))
    states = {condition: joined_states(parts) for condition, parts in of_folds.items()}
    metrics = {
        "what": "as in the metrics.json of the speech part",
        "questions": {"clips": "whole clip at random grid phase", "augmented": "changed sound, whole clips"},
        "results": figures(states, folds),
        "unanswered_clips": clips_without_voice(clips, states[CLEAN]),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "settings": asdict(training),
    }
    folder.write_metrics(metrics)
    save_recurrent(folder.weights, train_recurrent(passes, set(), training, seed))
    return metrics


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), metavar="DIR")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR")
@click.option("--seed", default=0, show_default=True)
def main(data: Path, out: Path, seed: int) -> None:
    """Trains and cross-validates the recurrent speech network.

    Figures go to stdout and into OUT.
    """
    click.echo(json.dumps(measure_recurrent(data, out, seed=seed)["results"]))


if __name__ == "__main__":
    main()
