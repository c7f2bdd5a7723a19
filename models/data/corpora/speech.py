"""The acted-speech corpora RAVDESS and EMO-DB.

A clip has one emotion and one speaker.

Problem: the two corpora name their emotions and speakers in their own ways. Rule: every clip gets the state it
shows (`models.speech.states.STATES`) and a speaker name that no other corpus has.
Left out: RAVDESS's song, intensity and statement; splits other than by speaker.
Sources: RAVDESS, Livingstone and Russo (2018), folds by actor as in Luna-Jiménez et al. (2022); EMO-DB, Burkhardt
et al. (2005).
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from models.speech.states import EMOTION_OF, STATES
from models.speech.whisper import SAMPLE_RATE_HZ

_RAVDESS_STATES = {
    "neutral": "neutral",
    "calm": "calm",
    "happy": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "fearful": "fear",
    "disgust": "disgust",
    "surprised": "surprise",
}
_EMODB_STATES = {state: state for state in STATES if state not in ("surprise", "calm")}


@dataclass(frozen=True, slots=True)
class Clip:
    """One utterance.

    speaker: unique over the corpora, such as `ravdess-01`. state: one of `STATES`. fold: the corpus's own fold of its
    speakers, from 0, or None where it has none.
    """

    path: Path
    corpus: str
    speaker: str
    state: str
    fold: int | None = None

    @property
    def emotion(self) -> str:
        """One of `models.labels.EMOTIONS`."""
        return EMOTION_OF[self.state]


def read_ravdess(data: Path) -> list[Clip]:
    """Returns RAVDESS's clips in the order of its table.

    data: the folder that holds `speech/`.

    Raises FileNotFoundError without the table, ValueError for a row that cannot be read.
    """
    return [
        Clip(path, "ravdess", f"ravdess-{row['actor']}", _state(_RAVDESS_STATES, row, table), int(row["fold"]))
        for table, path, row in _rows(data, "ravdess.csv")
    ]


def read_emodb(data: Path) -> list[Clip]:
    """Returns EMO-DB's clips in the order of its table.

    Arguments and errors as in `read_ravdess`.
    """
    return [
        Clip(path, "emodb", f"emodb-{row['speaker']}", _state(_EMODB_STATES, row, table))
        for table, path, row in _rows(data, "emodb.csv")
    ]


def read_pcm(clip: Clip) -> npt.NDArray[np.float32]:
    """Returns the clip's sound, (samples,) float32 in -1..1 at 16 kHz mono.

    Raises ValueError for another format.
    """
    pcm, rate_hz = soundfile.read(clip.path, dtype="float32")
    if rate_hz != SAMPLE_RATE_HZ or pcm.ndim != 1:
        raise ValueError(f"{clip.path}: wanted {SAMPLE_RATE_HZ} Hz mono, is {rate_hz} Hz with shape {pcm.shape}")
    return np.asarray(pcm, dtype=np.float32)


def _rows(data: Path, name: str) -> Iterator[tuple[str, Path, dict[str, str]]]:
    table = data / "speech" / name
    with table.open(newline="", encoding="utf-8") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            if "file" not in row or "emotion" not in row:
                raise ValueError(f"{table}:{number}: wanted the columns file and emotion, has {sorted(row)}")
            yield f"{table}:{number}", table.parent / row["file"], row


def _state(states: dict[str, str], row: dict[str, str], where: str) -> str:
    if row["emotion"] not in states:
        raise ValueError(f"{where}: unknown emotion {row['emotion']!r}; known: {', '.join(states)}")
    return states[row["emotion"]]
