"""A data set of the user's own: a folder with `manifest.csv`, one row a sample, any of its cells left blank.

Columns: `id, split, group, video, audio, text`, and the labels `emotion, valence, arousal, distress, self_harm, abuse`;
only `id` has to be there. `video` and `audio` are paths in the folder, `text` is the text itself or the path of a .txt
file. A blank split is drawn by a hash of the group, a tenth each for validation and test, so that it never depends on
the order of rows; a blank group is the row's own id. All that is wrong with a file is told at once, with its line. A
group in two splits is wrong: what is learned from a person must not be measured on the same person.
"""

import csv
import hashlib
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from models.labels import EMOTIONS, RISKS

Split = Literal["train", "valid", "test"]

SPLITS: tuple[Split, ...] = get_args(Split)

OWN_CORPUS = "manifest"
"""What such a data set is called among the corpora."""

_COLUMNS = ("id", "split", "group", "video", "audio", "text", "emotion", "valence", "arousal", *RISKS)
_RANGES = {"valence": (-1.0, 1.0), "arousal": (-1.0, 1.0), **dict.fromkeys(RISKS, (0.0, 1.0))}
_SYNONYMS = {
    "joy": "happiness",
    "happy": "happiness",
    "sad": "sadness",
    "angry": "anger",
    "surprised": "surprise",
    "fearful": "fear",
    "afraid": "fear",
    "disgusted": "disgust",
    "calm": "neutral",
}


class ManifestError(ValueError):
    """A manifest cannot be used; the message names the file, and every line that is wrong."""


class TooFewRowsError(ManifestError):
    """A part of the model cannot be trained on the rows there are; the message names the file and what is missing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One row. Paths exist; emotion is one of EMOTIONS; risk holds those of RISKS that are labelled, in 0..1."""

    id: str
    split: Split
    group: str
    video: Path | None
    audio: Path | None
    text: str | None
    emotion: str | None
    valence: float | None
    arousal: float | None
    risk: Mapping[str, float]


def has_manifest(folder: Path) -> bool:
    """Whether the folder is a data set of the user's own, rather than one of known corpora."""
    return (folder / "manifest.csv").is_file()


def read_manifest(folder: Path) -> list[Sample]:
    """Reads `folder/manifest.csv`. Raises ManifestError."""
    path = folder / "manifest.csv"
    if not path.is_file():
        raise ManifestError(f"{path}: no such file")
    samples, wrong = [], []
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            columns = reader.fieldnames or []
            if "id" not in columns or not set(columns) <= set(_COLUMNS):
                raise ManifestError(f"{path}:1: columns are id and any of {', '.join(_COLUMNS[1:])} (are {columns})")
            for row in reader:
                try:
                    samples.append(_sample(folder, {name: (row.get(name) or "").strip() for name in _COLUMNS}))
                except ValueError as problem:
                    wrong.append(f"{path}:{reader.line_num}: {problem}")
    except (UnicodeDecodeError, csv.Error) as problem:
        raise ManifestError(f"{path}: not a table in UTF-8: {problem}") from problem
    wrong += [f"{path}: {problem}" for problem in _contradictions(samples)]
    if not samples and not wrong:
        wrong.append(f"{path}: holds no row")
    if wrong:
        raise ManifestError("\n".join(wrong))
    return samples


def check_enough(folder: Path, what: str, train: Collection[str], valid: Collection[str]) -> None:
    """train, valid: emotions of the splits' usable rows. what: one of the things that show them.

    Raises TooFewRowsError where a split has none, or there is nothing to tell an emotion from.
    """
    missing = [
        f"the split {split} has no {what} with an emotion"
        for split, emotions in (("train", train), ("valid", valid))
        if not emotions
    ]
    if len(shown := set(train)) == 1:
        missing.append(f"the split train shows one emotion alone ({shown.pop()}), and two are needed")
    if missing:
        raise TooFewRowsError(f"{folder / 'manifest.csv'}: {'; '.join(missing)}")


def split_of_group(group: str) -> Split:
    """Eight in ten groups are for training, by a hash of the name."""
    place = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) % 10
    return ("test", "valid")[place] if place < 2 else "train"


def _sample(folder: Path, row: Mapping[str, str]) -> Sample:
    if not row["id"]:
        raise ValueError("id is blank")
    if row["split"] and row["split"] not in SPLITS:
        raise ValueError(f"split is {row['split']!r}, not one of {', '.join(SPLITS)}")
    if not (row["video"] or row["audio"] or row["text"]):
        raise ValueError("video, audio and text are all blank")
    group = row["group"] or row["id"]
    return Sample(
        id=row["id"],
        split=next((split for split in SPLITS if split == row["split"]), split_of_group(group)),
        group=group,
        video=_path(folder, row["video"], "video"),
        audio=_path(folder, row["audio"], "audio"),
        text=_text(folder, row["text"]),
        emotion=_emotion(row["emotion"]),
        valence=_number(row, "valence"),
        arousal=_number(row, "arousal"),
        risk={name: value for name in RISKS if (value := _number(row, name)) is not None},
    )


def _path(folder: Path, cell: str, column: str) -> Path | None:
    if not cell:
        return None
    path = (folder / cell).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ValueError(f"{column} is {cell!r}, which is no file in {folder}")
    return path


def _text(folder: Path, cell: str) -> str | None:
    if not cell.endswith(".txt"):
        return cell or None
    path = _path(folder, cell, "text")
    return None if path is None else path.read_text(encoding="utf-8-sig")


def _emotion(cell: str) -> str | None:
    name = _SYNONYMS.get(cell.lower(), cell.lower())
    if name and name not in EMOTIONS:
        raise ValueError(f"emotion is {cell!r}, not one of {', '.join(EMOTIONS)}")
    return name or None


def _number(row: Mapping[str, str], column: str) -> float | None:
    if not row[column]:
        return None
    low, high = _RANGES[column]
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ValueError(f"{column} is {row[column]!r}, not a number in {low:g}..{high:g}")
    return value


def _contradictions(samples: Iterable[Sample]) -> list[str]:
    found, seen = [], set()
    split: dict[str, Split] = {}
    for sample in samples:
        if sample.id in seen:
            found.append(f"id {sample.id!r} is given twice")
        seen.add(sample.id)
        if split.setdefault(sample.group, sample.split) != sample.split:
            found.append(f"group {sample.group!r} is in the splits {split[sample.group]} and {sample.split}")
    return list(dict.fromkeys(found))
