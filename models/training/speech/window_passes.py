"""Passes of Whisper statistics over the speech corpora, made once.

Problem: Whisper is frozen and is nearly all of the work, but a changed waveform must be read anew. Rule: in a *pass*
every clip, changed on its own, starts at a random phase of the 1 s grid and is cut into the segments that the daemon
would cut; they give the window of all that have a voice and, in changed passes, a shorter run of them too, so that
windows of few segments are known. Statistics are kept on disk, a file per pass. Left out: clips without voice, and
windows that reach over several clips.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.data.corpora.speech import Clip, read_pcm
from models.precision import mixed_precision
from models.speech import whisper
from models.speech.activity import VoiceActivity
from models.speech.segment import HOP_SAMPLES, SpeechSegment, prepare_segment
from models.speech.states import STATES
from models.speech.statistics import segment_statistics, window_statistics
from models.training.part.arrays import arrays_of, load_record, save_arrays
from models.training.speech.augment import Pcm, SpeechAugmentation, augment

_BATCH = 12
_LONGEST_PART = 2
_SEED = 7


@dataclass(frozen=True, slots=True)
class Windows:
    """What was read of many windows.

    statistics: (n, features) float16. whole: (n,) bool, all voiced segments of the clip or a run of them.
    clip: (n,) int, index of the clip. speaker: (n,) str. state: (n,) int, index in `STATES`. snr_db: (n,) of its voice.
    """

    statistics: npt.NDArray[np.float16]
    whole: npt.NDArray[np.bool_]
    clip: npt.NDArray[np.int64]
    speaker: npt.NDArray[np.str_]
    state: npt.NDArray[np.int64]
    snr_db: npt.NDArray[np.float32]

    def only(self, chosen: npt.NDArray[np.bool_]) -> "Windows":
        """Returns the windows that `kept`, (n,), marks."""
        return Windows(*(getattr(self, name)[chosen] for name in Windows.__slots__))


def joined_windows(parts: Sequence[Windows]) -> Windows:
    """Returns the windows of several passes as one."""
    return Windows(*(np.concatenate([getattr(part, name) for part in parts]) for name in Windows.__slots__))


def window_passes(
    clips: Sequence[Clip],
    folder: Path,
    streams: Sequence[int],
    changed: int,
    sound: Callable[[Clip], Pcm] = read_pcm,
) -> Iterator[Windows]:
    """Yields a clean pass over the clips, then `changed` augmented ones.

    A pass is made once, then read from the folder.

    sound: reads a clip's, (samples,) float32 in -1..1 at 16 kHz.
    """
    change = SpeechAugmentation()
    for number in range(changed + 1):
        path = folder / f"pairs-{'-'.join(map(str, streams))}-{number}.npz"
        if not path.exists():
            rng = np.random.default_rng([_SEED, number])
            as_heard = partial(augment, change=change, rng=rng) if number else np.asarray
            save_windows(path, read_windows(clips, streams, as_heard, rng, parts=number > 0, sound=sound))
        yield load_windows(path)


def read_windows(
    clips: Sequence[Clip],
    streams: Sequence[int],
    change: Callable[[Pcm], Pcm],
    rng: np.random.Generator,
    parts: bool,
    sound: Callable[[Clip], Pcm] = read_pcm,
) -> Windows:
    """Statistics of the clips' windows on the grid.

    At least one clip must have a voice.
    """
    voice_activity = VoiceActivity()
    windows: list[tuple[int, bool, list[SpeechSegment]]] = []
    for index, clip in enumerate(clips):
        segments = [prepare_segment(pcm, voice_activity) for pcm in on_grid(change(sound(clip)), rng)]
        if voiced := [segment for segment in segments if segment.voiced.any()]:
            windows.append((index, True, voiced))
        if parts and len(voiced) > 1:
            length = int(rng.integers(1, min(_LONGEST_PART, len(voiced) - 1) + 1))
            start = int(rng.integers(len(voiced) - length + 1))
            windows.append((index, False, voiced[start : start + length]))
    clip_of = np.array([index for index, _, _ in windows])
    return Windows(
        _statistics([segments for _, _, segments in windows], streams),
        np.array([whole for _, whole, _ in windows]),
        clip_of,
        np.array([clips[index].speaker for index in clip_of]),
        np.array([STATES.index(clips[index].state) for index in clip_of]),
        np.array([_snr_db(segments) for _, _, segments in windows], np.float32),
    )


def on_grid(clip: Pcm, rng: np.random.Generator) -> Pcm:
    """The clip as pairs of seconds from a random phase on.

    Returns (segments, 32000), with silence before and after the clip; each second is in both its pairs.
    """
    before = HOP_SAMPLES + int(rng.integers(HOP_SAMPLES))
    sound = np.pad(clip, (before, HOP_SAMPLES + -(before + clip.size) % HOP_SAMPLES)).reshape(-1, HOP_SAMPLES)
    return np.concatenate([sound[:-1], sound[1:]], axis=1)


def _snr_db(segments: Sequence[SpeechSegment]) -> float:
    return float(np.average([s.snr_db for s in segments], weights=[s.voiced_fraction for s in segments]))


def _statistics(windows: Sequence[Sequence[SpeechSegment]], streams: Sequence[int]) -> npt.NDArray[np.float16]:
    """Reads each segment once, whatever windows it is in."""
    encoder = whisper.load_whisper(max(streams))
    segments = list({id(segment): segment for window in windows for segment in window}.values())
    read: dict[int, torch.Tensor] = {}
    for start in range(0, len(segments), _BATCH):
        batch = segments[start : start + _BATCH]
        mel = torch.from_numpy(np.stack([segment.mel for segment in batch]))
        voiced = torch.from_numpy(np.stack([segment.voiced for segment in batch]))
        with torch.inference_mode(), mixed_precision("cpu"):
            statistics = segment_statistics(encoder, mel, voiced, streams)
        read.update(zip(map(id, batch), statistics, strict=True))
    of_windows = []
    for window in windows:
        weight = torch.tensor([[segment.voiced_fraction for segment in window]])
        of_windows.append(window_statistics(torch.stack([read[id(s)] for s in window])[None], weight)[0])
    return torch.stack(of_windows).numpy().astype(np.float16)


def save_windows(path: Path, windows: Windows) -> None:
    """Writes the windows; the file appears whole or not at all."""
    save_arrays(path, arrays_of(windows))


def load_windows(path: Path) -> Windows:
    """Reads what `save_windows` wrote. Raises ValueError naming file and array."""
    return load_record(Windows, path)
