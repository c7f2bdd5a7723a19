"""Held-out logits: what a part hands over to calibration and fusion.

Problem: training takes hours and assembly reads its logits afterwards; a wrong name or shape must not be noticed then.
Rule: the logits are one typed value, checked when it is made and again when it is read. Every row is a recording, face
or line that the part was not trained on. Rows of all parts have the same fields; what only some modalities have
(qualities, risks) is empty elsewhere. Left out: weights and figures (`models.training.part.folder`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.calibration.trust import QUALITIES
from models.labels import EMOTIONS, MODALITIES, RISKS
from models.training.part.arrays import Arrays, arrays_of, check_array, load_arrays, record_of, save_arrays

CLEAN = "clean"
"""Condition of a row that was not changed."""


@dataclass(frozen=True, slots=True, eq=False)
class EmotionLogits:
    """Emotion logits with their labels.

    logits: (rows, 7) float32, uncalibrated, in the order of EMOTIONS.
    labels: (rows,) int64, index in EMOTIONS.
    corpus: (rows,) str, weighed alike within each label.
    group: (rows,) str, such as a speaker; a group is never on both sides of a fold.
    Raises ValueError naming the field.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    corpus: NDArray[np.str_]
    group: NDArray[np.str_]

    def __post_init__(self) -> None:
        rows = len(self.labels)
        check_array("logits", self.logits, (rows, len(EMOTIONS)), np.float32)
        check_array("labels", self.labels, (rows,), np.int64)
        check_array("corpus", self.corpus, (rows,), str)
        check_array("group", self.group, (rows,), str)
        if rows and not (self.labels.min() >= 0 and self.labels.max() < len(EMOTIONS)):
            raise ValueError(f"labels: must be indices of {len(EMOTIONS)} emotions (are {np.unique(self.labels)})")

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> "EmotionLogits":
        """The chosen rows: (n,) indices or (rows,) bool."""
        return EmotionLogits(self.logits[chosen], self.labels[chosen], self.corpus[chosen], self.group[chosen])


@dataclass(frozen=True, slots=True, eq=False)
class RiskLogits:
    """One risk head's logits with their labels.

    logits, corpus_logits: (rows,) float32, uncalibrated, as the service asks and on the terms of the line's corpus.
    labels: (rows,) bool, whether the line has the risk.
    corpus: (rows,) str.
    Raises ValueError naming the field.
    """

    logits: NDArray[np.float32]
    corpus_logits: NDArray[np.float32]
    labels: NDArray[np.bool_]
    corpus: NDArray[np.str_]

    def __post_init__(self) -> None:
        rows = (len(self.labels),)
        check_array("logits", self.logits, rows, np.float32)
        check_array("corpus_logits", self.corpus_logits, rows, np.float32)
        check_array("labels", self.labels, rows, np.bool_)
        check_array("corpus", self.corpus, rows, str)


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutLogits:
    """Logits of one part for rows that it was not trained on.

    modality: one of MODALITIES.
    emotion: (rows,) as the service asks.
    corpus_logits: (rows, 7) float32, on the terms of each row's corpus; the same as `emotion.logits` where a part has
    no such terms.
    condition: (rows,) str, how the row was changed before it was encoded; CLEAN where it was not.
    qualities: by name, (rows,) float64, each of `QUALITIES` of the modality: `snr_db` in dB, the others as logarithms.
    risks: by risk, of text alone; their rows are not those of `emotion`.
    Raises ValueError naming the field.
    """

    modality: str
    emotion: EmotionLogits
    corpus_logits: NDArray[np.float32]
    condition: NDArray[np.str_]
    qualities: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    risks: Mapping[str, RiskLogits] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.modality not in MODALITIES:
            raise ValueError(f"modality: must be one of {', '.join(MODALITIES)} (is {self.modality})")
        rows = len(self.emotion)
        check_array("corpus_logits", self.corpus_logits, (rows, len(EMOTIONS)), np.float32)
        check_array("condition", self.condition, (rows,), str)
        _check_names("qualities", self.qualities, QUALITIES.get(self.modality, ()))
        for name, values in self.qualities.items():
            check_array(f"qualities.{name}", values, (rows,), np.float64)
        _check_names("risks", self.risks, RISKS if self.modality == "text" else ())

    def rows(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> "HeldOutLogits":
        """The chosen rows of emotion: (n,) indices or (rows,) bool.

        Risks stay as they are.
        """
        return HeldOutLogits(
            self.modality,
            self.emotion.rows(chosen),
            self.corpus_logits[chosen],
            self.condition[chosen],
            {name: values[chosen] for name, values in self.qualities.items()},
            self.risks,
        )

    def by_condition(self) -> EmotionLogits:
        """Emotion logits, each condition of a corpus as its own corpus.

        Conditions then weigh alike.
        """
        corpus = np.char.add(np.char.add(self.emotion.corpus, "/"), self.condition)
        return EmotionLogits(self.emotion.logits, self.emotion.labels, corpus, self.emotion.group)

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        arrays = arrays_of(self.emotion, "emotion.")
        arrays |= {name: np.asarray(getattr(self, name)) for name in _ROOT_ARRAYS}
        arrays |= {f"qualities.{name}": values for name, values in self.qualities.items()}
        for risk, logits in self.risks.items():
            arrays |= arrays_of(logits, f"risks.{risk}.")
        save_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path) -> "HeldOutLogits":
        """Reads what `save` wrote. Raises FileNotFoundError, or ValueError naming file and field."""
        arrays = load_arrays(path)
        try:
            if missing := [name for name in _ROOT_ARRAYS if name not in arrays]:
                raise ValueError(f"{', '.join(missing)}: missing; there are {', '.join(arrays)}")
            return cls(
                str(arrays["modality"]),
                record_of(EmotionLogits, arrays, "emotion."),
                arrays["corpus_logits"],
                arrays["condition"],
                {name: arrays[f"qualities.{name}"] for name in _names_under("qualities", arrays)},
                {risk: record_of(RiskLogits, arrays, f"risks.{risk}.") for risk in _names_under("risks", arrays)},
            )
        except ValueError as wrong:
            raise ValueError(f"{path}: {wrong}") from wrong


_ROOT_ARRAYS = ("modality", "corpus_logits", "condition")  # beside those of emotion, qualities and risks


def _names_under(prefix: str, arrays: Arrays) -> list[str]:
    """NAME of each array called `prefix.NAME` or `prefix.NAME.FIELD`.

    In the order of the file.
    """
    names = (name.split(".")[1] for name in arrays if name.startswith(f"{prefix}."))
    return list(dict.fromkeys(names))


def joined(parts: Sequence[EmotionLogits]) -> EmotionLogits:
    """Rows of several parts, one part after another."""
    columns = [arrays_of(part) for part in parts]
    return EmotionLogits(**{name: np.concatenate([each[name] for each in columns]) for name in columns[0]})


def _check_names(field_name: str, given: Mapping[str, object], wanted: Sequence[str]) -> None:
    """Raises ValueError where names are missing or unknown."""
    if missing := [name for name in wanted if name not in given]:
        raise ValueError(f"{field_name}: {', '.join(missing)} missing")
    if unknown := [name for name in given if name not in wanted]:
        raise ValueError(f"{field_name}: {', '.join(unknown)} unknown; known are {', '.join(wanted) or 'none'}")
