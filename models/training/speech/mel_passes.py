"""Passes of log-mel frames over the speech corpora, made once.

Problem: finding the voice and changing the sound take longer than learning from the frames. Rule: in a *pass* every
clip, changed on its own, starts at a random phase of the grid of seconds, as the daemon would cut it, and its seconds
with a voice are kept on disk, a file per pass; what is drawn for a clip depends on its name and the pass alone. Left
out: clips without voice, and what Whisper says of the frames (`models.training.speech.window_passes`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.data.corpora.speech import Clip, read_pcm
from models.speech.activity import VoiceActivity
from models.speech.segment import prepare_segment
from models.speech.states import STATES
from models.training.part.arrays import arrays_of, load_record, save_arrays
from models.training.speech.augment import SpeechAugmentation, augment
from models.training.speech.window_passes import on_grid

_SEED = 11


@dataclass(frozen=True, slots=True)
class Voices:
    """The voiced seconds of many clips, one clip behind another.

    mel: (80, 4 * time) float16 log-mel frames. voiced: (2 * time,) bool. length: (n,) int, log-mel frames of each clip.
    speaker: (n,) str. state: (n,) int, index in `STATES`.
    """

    mel: npt.NDArray[np.float16]
    voiced: npt.NDArray[np.bool_]
    length: npt.NDArray[np.int64]
    speaker: npt.NDArray[np.str_]
    state: npt.NDArray[np.int64]

    def each(self) -> list[tuple[npt.NDArray[np.float16], npt.NDArray[np.bool_]]]:
        """Every clip's frames (80, its length) and which are voiced.

        The latter is (half its length,).
        """
        ends = self.length.cumsum()
        return [
            (self.mel[:, end - length : end], self.voiced[(end - length) // 2 : end // 2])
            for end, length in zip(ends, self.length, strict=True)
        ]


def voice_passes(clips: Sequence[Clip], folder: Path, changed: int) -> Iterator[Voices]:
    """Yields a clean pass over the clips, then `changed` augmented ones.

    A pass is made once, then read from the folder.
    """
    for number in range(changed + 1):
        path = folder / f"voices-{number}.npz"
        if not path.exists():
            voices = read_voices(clips, number, SpeechAugmentation() if number else None)
            save_arrays(path, arrays_of(voices))
        yield load_record(Voices, path)


def read_voices(clips: Sequence[Clip], number: int, change: SpeechAugmentation | None) -> Voices:
    """Log-mel frames of the clips' voiced seconds on the grid.

    change: the augmentation, or None.

    number: of the pass, on which, with the clip's name, depends what is drawn. Clips without a voice are left out; at
    least one must have one.
    """
    voice_activity = VoiceActivity()
    with_voice = []
    for clip in clips:
        rng = np.random.default_rng([_SEED, number, *clip.path.name.encode()])
        sound = read_pcm(clip) if change is None else augment(read_pcm(clip), change, rng)
        apart = on_grid(sound, rng)[::2]  # pairs of seconds that do not overlap
        pairs = [prepare_segment(pcm, voice_activity) for pcm in apart]
        if spoken := [pair for pair in pairs if pair.voiced.any()]:
            with_voice.append((clip, spoken))
    every = [pair for _, spoken in with_voice for pair in spoken]
    return Voices(
        np.concatenate([pair.mel for pair in every], axis=1).astype(np.float16),
        np.concatenate([pair.voiced for pair in every]),
        np.array([sum(pair.mel.shape[1] for pair in spoken) for _, spoken in with_voice]),
        np.array([clip.speaker for clip, _ in with_voice]),
        np.array([STATES.index(clip.state) for clip, _ in with_voice]),
    )


def padded(voices: Sequence[tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pads voices to one length.

    Returns frames (voices, 80, 4 * time) float32, and which are voiced.
    """
    longest = max(len(voiced) for _, voiced in voices)
    mel = np.zeros((len(voices), voices[0][0].shape[0], 2 * longest), np.float32)
    mask = np.zeros((len(voices), longest), bool)
    for row, (frames, voiced) in enumerate(voices):
        mel[row, :, : frames.shape[1]] = frames
        mask[row, : len(voiced)] = voiced
    return torch.from_numpy(mel), torch.from_numpy(mask)
