"""Trains the speech network on windows drawn from encoded streams of RAVDESS and EMO-DB.

Problem: thirty acting speakers, unequal states, and a daemon whose windows hold one segment or many. Rule: a window
is a run of 1 to 5 seconds of one stream of one pass, drawn so that the emotions are equally frequent and EMO-DB has its
share; the network is judged by speakers it never saw (`speech_protocols`), and the shipped one trains on all of them
for as many epochs. Left out: choosing an epoch by a validation score; there is no speaker to spare.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from models.data.speech_corpora import read_emodb, read_ravdess
from models.labels import EMOTIONS
from models.speech.encoder import save_network
from models.speech.network import EMOTION_OF, STATES, SpeechNetwork, SpeechNetworkConfig
from models.training.loop import FitConfig, fit
from models.training.speech_streams import Segments, encoded_passes

EMOTION_OF_STATE = np.array([EMOTIONS.index(EMOTION_OF[state]) for state in STATES])
"""Index in `EMOTIONS` of each of `STATES`."""

_LONGEST_S = 5


@dataclass(frozen=True, slots=True)
class SpeechTraining:
    """How to train.

    whisper_layers: Whisper's layers that are run. augmented_passes: passes over the corpora beside the clean one.
    emodb_share: of the windows drawn, 0..1. masked_frames: longest run of Whisper frames hidden in a segment.
    """

    network: SpeechNetworkConfig = field(default_factory=SpeechNetworkConfig)
    whisper_layers: int = 2
    augmented_passes: int = 3
    epochs: int = 14
    windows_per_epoch: int = 1536
    batch_windows: int = 32
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    emodb_share: float = 0.35
    masked_frames: int = 10
    ema_decay: float = 0.99


@dataclass(frozen=True, slots=True)
class Windows:
    """A batch of windows. frames, voiced, weight: of all their segments, one after the other, as in `Segments`.

    window, place: (segments,) int, which window each belongs to and its place there. state: (windows,) int.
    """

    frames: torch.Tensor
    voiced: torch.Tensor
    weight: torch.Tensor
    window: torch.Tensor
    place: torch.Tensor
    state: torch.Tensor


def window_batch(segments: Segments, rows: Sequence[npt.NDArray[np.int64]]) -> Windows:
    """rows: of each window, the indices of its segments, at least one."""
    flat = np.concatenate(rows)
    return Windows(
        torch.from_numpy(segments.frames[flat]).float(),
        torch.from_numpy(segments.voiced[flat]),
        torch.from_numpy(segments.weight[flat]),
        torch.from_numpy(np.repeat(np.arange(len(rows)), [len(row) for row in rows])),
        torch.from_numpy(np.concatenate([np.arange(len(row)) for row in rows])),
        torch.from_numpy(segments.state[segments.stream[[row[0] for row in rows]]]),
    )


def state_logits(network: SpeechNetwork, windows: Windows) -> torch.Tensor:
    """Returns (windows, 9) logits of `STATES`, by embedding every segment once and pooling each window's."""
    embedding = network.embed(windows.frames, windows.voiced).float()
    shape = (len(windows.state), int(windows.place.max()) + 1)
    padded = embedding.new_zeros(*shape, embedding.shape[-1])
    padded[windows.window, windows.place] = embedding
    weight = embedding.new_zeros(shape)
    weight[windows.window, windows.place] = windows.weight
    return network.pool(padded, weight)


class DrawnWindows:
    """The batches of an epoch, which depend on nothing but the seed and the epoch."""

    def __init__(self, passes: Sequence[Segments], speakers: set[str], training: SpeechTraining, seed: int) -> None:
        """Draws from the streams of the given speakers. Raises ValueError when there is none."""
        self._passes = passes
        self._training = training
        self._seed = seed
        self._streams = [
            (number, stream, np.flatnonzero(segments.stream == stream))
            for number, segments in enumerate(passes)
            for stream in np.flatnonzero(np.isin(segments.speaker, sorted(speakers)))
        ]
        if not self._streams:
            raise ValueError(f"no stream of the speakers {', '.join(sorted(speakers))}")
        self._share = _shares(
            np.array([EMOTION_OF_STATE[passes[number].state[stream]] for number, stream, _ in self._streams]),
            np.array([passes[number].speaker[stream].startswith("emodb") for number, stream, _ in self._streams]),
            np.array([len(rows) for _, _, rows in self._streams]),
            training.emodb_share,
        )

    def __call__(self, epoch: int) -> Iterator[Windows]:
        """Yields batches of windows, each batch of one pass."""
        rng = np.random.default_rng([self._seed, epoch])
        number_of = np.array([number for number, _, _ in self._streams])
        for _ in range(self._training.windows_per_epoch // self._training.batch_windows):
            number = int(rng.integers(len(self._passes)))
            share = np.where(number_of == number, self._share, 0)
            chosen = rng.choice(len(share), self._training.batch_windows, p=share / share.sum())
            segments = self._passes[number]
            windows = window_batch(segments, [_run(segments, self._streams[index][2], rng) for index in chosen])
            _mask_frames(windows.voiced, self._training.masked_frames, rng)
            yield windows


def _shares(
    emotion: npt.NDArray[np.int64], emodb: npt.NDArray[np.bool_], segments: npt.NDArray[np.int64], emodb_share: float
) -> npt.NDArray[np.float64]:
    """How often each stream is drawn: inside a corpus every emotion as often, inside an emotion by length."""
    share = segments.astype(np.float64)
    for corpus, wanted in ((emodb, emodb_share), (~emodb, 1 - emodb_share)):
        for index in np.unique(emotion[corpus]):
            share[corpus & (emotion == index)] /= share[corpus & (emotion == index)].sum()
        share[corpus] *= wanted / max(share[corpus].sum(), 1e-12)
    return share


def _run(segments: Segments, rows: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Returns the segments of a stream within a random span of 1 to 5 s that holds at least one."""
    length_s = int(rng.integers(1, _LONGEST_S + 1))
    start = segments.position[rng.choice(rows)] - int(rng.integers(length_s))
    position = segments.position[rows]
    run: npt.NDArray[np.int64] = rows[(position >= start) & (position < start + length_s)]
    return run


def _mask_frames(voiced: torch.Tensor, longest: int, rng: np.random.Generator) -> None:
    """Hides a random run of frames of every segment, unless nothing voiced would be left (after Park et al., 2019)."""
    for row in voiced:
        start, length = int(rng.integers(len(row))), int(rng.integers(longest + 1))
        if row[:start].any() or row[start + length :].any():
            row[start : start + length] = False


def train_speech(data_dir: Path, out_dir: Path, training: SpeechTraining | None = None, seed: int = 0) -> SpeechNetwork:
    """Trains on every speaker of RAVDESS and EMO-DB and writes `speech.safetensors`; returns the network.

    data_dir: the folder that holds `speech/`. out_dir: also keeps the encoded passes (some 200 MB each).
    """
    training = training or SpeechTraining()
    clips = read_ravdess(data_dir) + read_emodb(data_dir)
    passes = list(encoded_passes(clips, out_dir / "passes", training.whisper_layers, training.augmented_passes))
    network = train_network(passes, {clip.speaker for clip in clips}, training, seed)
    save_network(out_dir / "speech.safetensors", network, training.whisper_layers)
    return network


def train_network(
    passes: Sequence[Segments], speakers: set[str], training: SpeechTraining, seed: int = 0
) -> SpeechNetwork:
    """Returns a network trained on the passes' streams of the given speakers, in evaluation mode."""
    torch.manual_seed(seed)
    network = SpeechNetwork(training.network)
    draw = DrawnWindows(passes, speakers, training, seed)
    finished = iter(range(training.epochs))

    def loss(net: nn.Module, windows: Windows) -> torch.Tensor:
        if not isinstance(net, SpeechNetwork):
            raise TypeError(f"wanted a SpeechNetwork, got {type(net).__name__}")
        return functional.cross_entropy(
            state_logits(net, windows), windows.state, label_smoothing=training.label_smoothing
        )

    fit(
        network,
        draw,
        loss,
        lambda _: {"epoch": next(finished)},  # the last epoch is kept
        FitConfig(
            epochs=training.epochs,
            steps_per_epoch=training.windows_per_epoch // training.batch_windows,
            metric="epoch",
            learning_rate=training.learning_rate,
            weight_decay=training.weight_decay,
            warmup_epochs=1.0,
            ema_decay=training.ema_decay,
            seed=seed,
        ),
    )
    return network
