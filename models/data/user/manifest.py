"""A user's data set: a folder with `manifest.csv`, one row a sample.

Any cell may be blank.

Columns: `id, split, group, video, audio, text`, and the labels `emotion, valence, arousal, distress, self_harm, abuse`;
only `id` has to be there. `video` and `audio` are paths in the folder, `text` is the text itself or the path of a .txt
file. A blank split is drawn by a hash of the group, a tenth each for validation and test, so that it never depends on
the order of rows; a blank group is the row's own id. All that is wrong with a file is told at once, with its line. A
group in two splits is wrong: what is learned from a person must not be measured on the same person. Valence and arousal
are read, and nothing learns from them or is measured on them: the model's follow from its emotions.
"""

import hashlib
import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

from models.data.user.manifest_table import ManifestError as ManifestError
from models.data.user.manifest_table import names_like, read_table, suggestion
from models.labels import EMOTIONS, RISKS

log = logging.getLogger(__name__)

Split = Literal["train", "valid", "test"]

SPLITS: tuple[Split, ...] = get_args(Split)

USER_CORPUS = "manifest"
"""What such a data set is called among the corpora."""

_FILE = "manifest.csv"
_MOST_PROBLEMS = 50  # lines that are wrong; more say nothing new
_UNUSED = ("valence", "arousal")

PICTURES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
"""Endings of files that hold one picture."""

_SOUNDS = {".wav", ".flac", ".mp3", ".m4a", ".aac", ".opus", ".oga", ".aif", ".aiff", ".wma"}
_COLUMNS = ("id", "split", "group", "video", "audio", "text", "emotion", "valence", "arousal", *RISKS)
_RANGES = {"valence": (-1.0, 1.0), "arousal": (-1.0, 1.0), **dict.fromkeys(RISKS, (0.0, 1.0))}
_TRUTH = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}
_MISSING = ("nan", "na", "n/a", "none", "null", "-", "?")
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


class TooFewRowsError(ManifestError):
    """A part of the model cannot be trained on so few rows.

    The message names the file and what is missing.
    """


@dataclass(frozen=True, slots=True)
class Sample:
    """One row.

    Paths exist; emotion is one of EMOTIONS; risk holds those of RISKS that are labelled, in 0..1.
    """

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
    """Whether the folder holds a manifest, rather than public corpora."""
    return (folder / _FILE).is_file()


def read_manifest(folder: Path) -> list[Sample]:
    """Reads `folder/manifest.csv`, and logs what of it is not used, once.

    Raises ManifestError.
    """
    path = folder / _FILE
    if not path.is_file():
        raise ManifestError(no_manifest(folder))
    table = read_table(path, _COLUMNS)
    samples, wrong = [], list(table.wrong)
    for line, row in table.rows:
        try:
            samples.append((line, _sample(folder, row)))
        except ValueError as problem:
            wrong.append(f"{path}:{line}: {problem}")
    wrong += [f"{path}:{line}: {problem}" for line, problem in _contradictions(samples)]
    if not samples and not wrong:
        wrong.append(f"{path}: holds no row")
    if wrong:
        more = [f"{path}: {len(wrong) - _MOST_PROBLEMS} lines more are wrong"] if len(wrong) > _MOST_PROBLEMS else []
        raise ManifestError("\n".join([*wrong[:_MOST_PROBLEMS], *more]))
    for sentence in table.ignored:
        _warn_once(sentence)
    for column in _UNUSED:
        if any(row[column] for _, row in table.rows):
            _warn_once(f"{path}: column {column!r} is not used: the model's {column} follows from its emotions")
    return [sample for _, sample in samples]


def no_manifest(folder: Path) -> str:
    """A message that a folder has no manifest, with likely names."""
    if not folder.is_dir():
        return f"{folder}: no such folder"
    like = names_like(folder, _FILE)
    return f"{folder}: holds no {_FILE}" + (f"; there is {', '.join(like)}, which has another name" if like else "")


@cache
def _warn_once(sentence: str) -> None:
    log.warning("%s", sentence)


def check_enough(folder: Path, what: str, train: Collection[str], valid: Collection[str]) -> None:
    """Checks that both splits have rows, and training two emotions.

    train, valid: emotions of the splits' usable rows. what: one of the things that show them.

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
    """The split of a group, by a hash of its name.

    Eight in ten groups are for training.
    """
    place = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) % 10
    return ("test", "valid")[place] if place < 2 else "train"


def _sample(folder: Path, row: Mapping[str, str]) -> Sample:
    if not row["id"]:
        raise ValueError("id is blank")
    if not (row["video"] or row["audio"] or row["text"]):
        raise ValueError("video, audio and text are all blank")
    group = row["group"] or row["id"]
    return Sample(
        id=row["id"],
        split=_split(row["split"]) or split_of_group(group),
        group=group,
        video=_path(folder, row["video"], "video"),
        audio=_path(folder, row["audio"], "audio"),
        text=_text(folder, row["text"]),
        emotion=_emotion(row["emotion"]),
        valence=_number(row, "valence"),
        arousal=_number(row, "arousal"),
        risk={name: value for name in RISKS if (value := _number(row, name)) is not None},
    )


def _split(cell: str) -> Split | None:
    if not cell:
        return None
    split = next((known for known in SPLITS if known == cell.lower()), None)
    if split is None:
        meant = "valid" if cell.lower() in ("val", "dev", "validation") else suggestion(cell, SPLITS)
        raise ValueError(f"split is {cell!r}, not one of {', '.join(SPLITS)}{_perhaps(meant)}")
    return split


def _path(folder: Path, cell: str, column: str) -> Path | None:
    if not cell:
        return None
    named = folder / cell
    try:
        path = named.resolve()
        named.exists()
    except OSError as wrong:  # such as a text that stands in the column of a path
        raise ValueError(f"{column} is {cell[:40]!r}, which is no path: {wrong.strerror}") from wrong
    if not path.is_relative_to(folder.resolve()):
        linked = named.exists() and ".." not in Path(cell).parts and not Path(cell).is_absolute()
        why = f"a link to {path}, outside of {folder}; copy its files there" if linked else f"outside of {folder}"
        raise ValueError(f"{column} is {cell!r}, which is {why}")
    if not path.is_file():
        raise ValueError(f"{column} is {cell!r}, which is no file in {folder}{_perhaps(_file_like(named, cell))}")
    kind = path.suffix.lower()
    if column == "video" and kind in _SOUNDS:
        raise ValueError(f"video is {cell!r}, which is sound; it belongs in the column audio")
    if column == "audio" and kind in PICTURES:
        raise ValueError(f"audio is {cell!r}, which is a picture; it belongs in the column video")
    return path


def _file_like(named: Path, cell: str) -> str | None:
    """The closest file name to one that is not there."""
    if "\\" in cell:
        return cell.replace("\\", "/")
    there = [file.name for file in named.parent.iterdir()] if named.parent.is_dir() else []
    return next((name for name in there if name.lower() == named.name.lower()), None)


def _text(folder: Path, cell: str) -> str | None:
    if not cell.lower().endswith(".txt"):
        return cell or None
    path = _path(folder, cell, "text")
    try:
        return None if path is None else path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise ValueError(f"text is {cell!r}, which is not UTF-8") from wrong


def _emotion(cell: str) -> str | None:
    name = _SYNONYMS.get(cell.lower(), cell.lower())
    if not name:
        return None
    if name not in EMOTIONS:
        like = suggestion(name, [*EMOTIONS, *_SYNONYMS])
        meant = None if like is None else _SYNONYMS.get(like, like)
        raise ValueError(f"emotion is {cell!r}, not one of {', '.join(EMOTIONS)}{_perhaps(meant, cell)}")
    return name


def _number(row: Mapping[str, str], column: str) -> float | None:
    cell = row[column]
    if not cell:
        return None
    low, high = _RANGES[column]
    if column in RISKS and cell.lower() in _TRUTH:
        return _TRUTH[cell.lower()]
    try:
        value = float(cell.replace(",", "."))
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise ValueError(f"{column} is {cell!r}, not a number in {low:g}..{high:g}{_perhaps(None, cell)}")
    return value


def _perhaps(meant: str | None, cell: str = "") -> str:
    if cell.lower() in _MISSING:
        return "; leave the cell blank where there is none"
    return f"; perhaps {meant!r} is meant" if meant else ""


def _contradictions(samples: Sequence[tuple[int, Sample]]) -> list[tuple[int, str]]:
    """With the line that contradicts one before it."""
    problems: list[tuple[int, str]] = []
    lines: dict[str, int] = {}
    split: dict[str, Split] = {}
    named = set()
    for line, sample in samples:
        if (first := lines.setdefault(sample.id, line)) != line:
            problems.append((line, f"id {sample.id!r} is given twice (line {first} has it too)"))
        known = split.setdefault(sample.group, sample.split)
        if known != sample.split and sample.group not in named:
            named.add(sample.group)
            problems.append((line, f"group {sample.group!r} is in the splits {known} and {sample.split}"))
    return problems
