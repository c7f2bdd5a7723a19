"""Encodes the speech corpora the way the daemon will hear them, once, for training to draw from.

Problem: Whisper is frozen and is most of the work, but a changed waveform must be encoded anew. Rule: the clips of one
speaker in one state follow each other with short pauses at a random phase of the 1 s grid (a *stream*), each clip
changed on its own; every voiced segment is encoded alone and its frames are kept on disk, a file per pass.
Left out: unvoiced segments (they weigh nothing), and streams of several speakers or states.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.data.speech_corpora import Clip, read_pcm
from models.speech import whisper
from models.speech.activity import VoiceActivity
from models.speech.encoder import SEGMENT_SAMPLES, prepare_segment
from models.speech.network import STATES
from models.training.augment_speech import Pcm, SpeechAugmentation, augment

_PAUSE_S = 0.4
_ROOM = 1e-4  # amplitude of the noise under everything, -80 dBFS
_BATCH = 16
_SEED = 7


@dataclass(frozen=True, slots=True)
class Segments:
    """The voiced segments of many streams, in order of stream and time.

    frames: (n, 50, 512) float16. voiced: (n, 50) bool. weight: (n,) float32, the voiced fraction.
    stream: (n,) int, index of the stream. position: (n,) int, second of the stream.
    Of each stream: speaker: (streams,) str; state: (streams,) int, index in `STATES`.
    """

    frames: npt.NDArray[np.float16]
    voiced: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float32]
    stream: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    speaker: npt.NDArray[np.str_]
    state: npt.NDArray[np.int64]


def encoded_passes(clips: Sequence[Clip], folder: Path, whisper_layers: int, changed: int) -> Iterator[Segments]:
    """Yields a pass over the clips as they are, then `changed` augmented ones; made once, then read from the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    change = SpeechAugmentation()
    for number in range(changed + 1):
        path = folder / f"speech-{whisper_layers}-{number}.npz"
        if not path.exists():
            rng = np.random.default_rng([_SEED, number])
            streams = streams_of(clips, rng)
            as_heard = partial(augment, change=change, rng=rng) if number else np.asarray
            save_segments(path, encode_streams(streams, whisper.load_whisper(whisper_layers), as_heard, rng))
        yield load_segments(path)


def streams_of(clips: Sequence[Clip], rng: np.random.Generator) -> list[list[Clip]]:
    """Returns the clips of each speaker and state together, in random order."""
    together: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in clips:
        together[clip.speaker, clip.state].append(clip)
    return [[stream[index] for index in rng.permutation(len(stream))] for stream in together.values()]


def encode_streams(
    streams: Sequence[Sequence[Clip]],
    encoder: whisper.WhisperEncoder,
    change: Callable[[Pcm], Pcm],
    rng: np.random.Generator,
) -> Segments:
    """Lays out and encodes streams of at least one clip each, whose clips share speaker and state."""
    voice_activity = VoiceActivity()
    frames, voiced, weight, index, position = [], [], [], [], []
    for number, stream in enumerate(streams):
        sound = laid_out([change(read_pcm(clip)) for clip in stream], rng)
        prepared = [prepare_segment(pcm, voice_activity) for pcm in sound]
        kept = [second for second, segment in enumerate(prepared) if segment.voiced.any()]
        for start in range(0, len(kept), _BATCH):
            mel = torch.from_numpy(np.stack([prepared[second].mel for second in kept[start : start + _BATCH]]))
            with torch.inference_mode():
                frames.append(encoder(mel).numpy().astype(np.float16))
        voiced += [prepared[second].voiced for second in kept]
        weight += [prepared[second].voiced_fraction for second in kept]
        index += [number] * len(kept)
        position += kept
    return Segments(
        np.concatenate(frames),
        np.stack(voiced),
        np.array(weight, np.float32),
        np.array(index),
        np.array(position),
        np.array([stream[0].speaker for stream in streams]),
        np.array([STATES.index(stream[0].state) for stream in streams]),
    )


def laid_out(clips: Sequence[Pcm], rng: np.random.Generator) -> Pcm:
    """Returns (seconds, 16000): the clips with pauses between them, beginning at a random phase of the 1 s grid."""
    pause = np.zeros(int(_PAUSE_S * whisper.SAMPLE_RATE_HZ), np.float32)
    parts = [np.zeros(int(rng.integers(SEGMENT_SAMPLES)), np.float32)]
    for clip in clips:
        parts += [clip, pause]
    sound = np.concatenate(parts)
    sound = np.pad(sound, (0, -sound.size % SEGMENT_SAMPLES))
    sound += rng.normal(0, _ROOM, sound.size).astype(np.float32)
    return np.clip(sound, -1, 1).reshape(-1, SEGMENT_SAMPLES)


def save_segments(path: Path, segments: Segments) -> None:
    """Writes the segments; the file appears whole or not at all."""
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez(unfinished, **{name: getattr(segments, name) for name in Segments.__slots__})
    unfinished.rename(path)


def load_segments(path: Path) -> Segments:
    """Reads what `save_segments` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return Segments(**{name: stored[name] for name in Segments.__slots__})
