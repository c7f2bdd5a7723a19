"""Held-out logits of the speech corpora's states.

The corpora label more than the seven emotions: calm and boredom count as neutral among these. What calibration and
fusion read follows from the states (`held_out_logits`); the fusion study reads the states themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models.labels import EMOTIONS
from models.speech.states import EMOTION_OF, STATES, emotion_logits
from models.training.part.arrays import arrays_of, check_array, load_record, save_arrays
from models.training.part.held_out import EmotionLogits, HeldOutLogits

EMOTION_OF_STATE = np.array([EMOTIONS.index(EMOTION_OF[state]) for state in STATES])
"""Index in `EMOTIONS` of each of `STATES`."""


@dataclass(frozen=True, slots=True, eq=False)
class StateLogits:
    """State logits with their labels.

    logits: (rows, 9) float32, in the order of `STATES`. state: (rows,) int64, the label. speaker: (rows,) str, such as
    `ravdess-01`. clip: (rows,) int64, index of the clip in RAVDESS, then EMO-DB. snr_db: (rows,) float32, in dB, NaN
    where it was not measured. Raises ValueError naming the field.
    """

    logits: npt.NDArray[np.float32]
    state: npt.NDArray[np.int64]
    speaker: npt.NDArray[np.str_]
    clip: npt.NDArray[np.int64]
    snr_db: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        rows = len(self.state)
        check_array("logits", self.logits, (rows, len(STATES)), np.float32)
        check_array("state", self.state, (rows,), np.int64)
        check_array("speaker", self.speaker, (rows,), str)
        check_array("clip", self.clip, (rows,), np.int64)
        check_array("snr_db", self.snr_db, (rows,), np.float32, finite=False)

    def rows(self, chosen: npt.NDArray[np.bool_]) -> "StateLogits":
        """The rows that `chosen`, (rows,), marks."""
        return StateLogits(**{name: values[chosen] for name, values in arrays_of(self).items()})

    def only(self, corpus: str) -> "StateLogits":
        """The rows of one corpus, such as `ravdess`."""
        return self.rows(np.char.startswith(self.speaker, f"{corpus}-"))

    def emotion_logits(self) -> npt.NDArray[np.float32]:
        """(rows, 7) float32, in the order of `models.labels.EMOTIONS`."""
        logits: npt.NDArray[np.float32] = emotion_logits(torch.from_numpy(self.logits)).numpy()
        return logits

    def emotion(self) -> npt.NDArray[np.int64]:
        """(rows,) the labels as indices in `models.labels.EMOTIONS`."""
        return EMOTION_OF_STATE[self.state]

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        save_arrays(path, arrays_of(self))

    @classmethod
    def load(cls, path: Path) -> "StateLogits":
        """Reads what `save` wrote. Raises FileNotFoundError, or ValueError naming file and field."""
        return load_record(cls, path)


def joined_states(parts: Sequence[StateLogits]) -> StateLogits:
    """Rows of several folds, one fold after another."""
    columns = [arrays_of(part) for part in parts]
    return StateLogits(**{name: np.concatenate([each[name] for each in columns]) for name in columns[0]})


def held_out_logits(by_condition: Mapping[str, StateLogits]) -> HeldOutLogits:
    """Held-out emotion logits from those of states.

    by_condition: logits for sound as it was recorded (CLEAN), and for changed sound. A speaker is a group.
    """
    states = joined_states(list(by_condition.values()))
    emotion = EmotionLogits(
        states.emotion_logits(),
        states.emotion(),
        np.array([name.partition("-")[0] for name in states.speaker], dtype=np.str_),
        states.speaker,
    )
    condition = np.repeat(list(by_condition), [len(each.state) for each in by_condition.values()])
    return HeldOutLogits("audio", emotion, emotion.logits, condition, {"snr_db": states.snr_db.astype(np.float64)})
