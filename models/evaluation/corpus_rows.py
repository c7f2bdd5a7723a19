"""Reads a known corpus, or a user's manifest, as labelled rows.

A row is one window: a face, a whole clip, or a line. A row of a manifest may be all of them together
(`models.evaluation.user_rows`). Clips are cut into segments of the encoder's length, the last one filled with silence.
Left out: sessions, in which windows overlap.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from models.data.corpora.ferplus import read_ferplus
from models.data.corpora.speech import Clip, read_emodb, read_pcm, read_ravdess
from models.data.corpora.text import CORPORA, TextSample, read_corpus
from models.data.fusion.studied_corpora import STUDIED
from models.evaluation.progress import OnRows, no_progress
from models.evaluation.user_rows import read_user_rows
from models.face.crop import given_face
from models.face.expressions import EXPRESSIONS
from models.labels import EMOTIONS, RISKS
from models.metrics.labelled_rows import EvaluationError as EvaluationError
from models.metrics.labelled_rows import LabelledRows
from models.speech.segment import cut_segments
from models.text.encoder import ChatLine

SPEECH_CORPORA = ("ravdess", "emodb")
KNOWN = ("manifest", "ferplus", *SPEECH_CORPORA, *CORPORA)
"""Corpora that can be evaluated; `manifest` is the user's data."""

EMODB_TRAINED_ON = ("03", "08", "09", "10", "11", "13")
"""Speakers of EMO-DB's training part; the others are its test part."""


def read_rows(corpus: str, data: Path, split: str, task: str | None, progress: OnRows = no_progress) -> LabelledRows:
    """Reads the labelled rows of one split.

    Raises EvaluationError for an unknown corpus, split or task, and for files that cannot be read, naming them.
    """
    try:
        if corpus == "manifest":
            return read_user_rows(data, split, task or "emotion", progress)
        if corpus == "ferplus":
            return _faces(data, split, _task(corpus, task, ("expression", "emotion")))
        if corpus in SPEECH_CORPORA:
            return _clips(corpus, data, split, _task(corpus, task, ("emotion",)), progress)
        if corpus in CORPORA:
            return _lines(corpus, data, split, task)
    except EvaluationError:
        raise
    except (OSError, ValueError) as wrong:
        raise EvaluationError(str(wrong)) from wrong
    raise EvaluationError(f"corpus {corpus!r} is not known; known are {', '.join((*KNOWN, *STUDIED))}")


def _task(corpus: str, requested: str | None, tasks: Sequence[str]) -> str:
    if requested is not None and requested not in tasks:
        raise EvaluationError(f"{corpus} has no task {requested!r}; it has {', '.join(tasks)}")
    return requested or tasks[0]


def _faces(data: Path, split: str, task: str) -> LabelledRows:
    faces = read_ferplus(data, split)
    labels = EXPRESSIONS if task == "expression" else EMOTIONS
    rows = np.flatnonzero(faces.labels < len(labels))
    units = {"video": [[given_face(image)] for image in faces.images[rows]]}
    return LabelledRows(task, labels, units, faces.labels[rows], groups=faces.names[rows])


def _clips(corpus: str, data: Path, split: str, task: str, progress: OnRows) -> LabelledRows:
    clips = _ravdess(data, split) if corpus == "ravdess" else _emodb(data, split)
    truth = np.array([EMOTIONS.index(clip.emotion) for clip in clips], dtype=np.int64)
    segments = []
    for done, clip in enumerate(clips, start=1):
        segments.append(cut_segments(read_pcm(clip)))
        progress("reading", done, len(clips))
    units = {"audio": segments}
    speakers = np.array([clip.speaker for clip in clips])
    return LabelledRows(
        task, EMOTIONS, units, truth, groups=speakers, slices=_slices(clips, data / "speech" / f"{corpus}.csv")
    )


def _slices(clips: Sequence[Clip], table: Path) -> dict[str, NDArray[np.str_]]:
    """Columns of the corpus's table that figures are sliced by."""
    with table.open(newline="", encoding="utf-8") as lines:
        by_path = {table.parent / row["file"]: row for row in csv.DictReader(lines)}
    columns = [name for name in ("gender", "intensity", "statement") if name in next(iter(by_path.values()))]
    return {name: np.array([by_path[clip.path][name] for clip in clips]) for name in columns}


def _ravdess(data: Path, split: str) -> list[Clip]:
    clips = read_ravdess(data)
    folds = {f"fold{clip.fold}": clip.fold for clip in clips}
    if split == "all":
        return clips
    if split not in folds:
        raise EvaluationError(f"ravdess has no split {split!r}; it has all, {', '.join(sorted(folds))}")
    return [clip for clip in clips if clip.fold == folds[split]]


def _emodb(data: Path, split: str) -> list[Clip]:
    if split not in ("train", "test", "all"):
        raise EvaluationError(f"emodb has no split {split!r}; it has train, test and all")
    trained_on = {f"emodb-{speaker}" for speaker in EMODB_TRAINED_ON}
    every = read_emodb(data)
    clips = [clip for clip in every if split == "all" or (clip.speaker in trained_on) == (split == "train")]
    if not clips:
        speakers = ", ".join(sorted({clip.speaker for clip in every}))
        raise EvaluationError(f"{data / 'speech' / 'emodb.csv'}: no speaker of the split {split!r}, only {speakers}")
    return clips


def _lines(corpus: str, data: Path, split: str, requested: str | None) -> LabelledRows:
    known = cast(Literal["train", "valid", "test"], split)
    samples = read_corpus(corpus, data, known)
    tasks = [*(["emotion"] if samples and samples[0].emotion else []), *_risks(samples)]
    task = _task(corpus, requested, tasks)
    if task == "emotion":
        shares = np.array([sample.emotion for sample in samples], dtype=np.float64)
        truth = np.where(shares.max(axis=1) == 1, shares.argmax(axis=1), -1)
        return LabelledRows(
            task, EMOTIONS, {"text": _chat_lines(samples)}, truth, shares, **_groups_and_slices(samples)
        )
    head = RISKS.index(task)
    labelled = [(sample, risk) for sample in samples if (risk := sample.risk[head]) is not None]
    truth = np.array([risk > 0.5 for _, risk in labelled], dtype=np.int64)
    lines = [sample for sample, _ in labelled]
    units = {"text": _chat_lines(lines)}
    return LabelledRows(task, (f"no {task}", task), units, truth, **_groups_and_slices(lines))


def _chat_lines(samples: Sequence[TextSample]) -> list[list[ChatLine]]:
    return [[ChatLine(sample.text, sample.before)] for sample in samples]


def _groups_and_slices(samples: Sequence[TextSample]) -> dict[str, Any]:
    words = np.array([len(sample.text.split()) for sample in samples])
    length = np.array(["up to 8 words", "9 to 20 words", "more than 20 words"])[np.digitize(words, (9, 21))]
    languages = np.array([sample.lang for sample in samples])
    return {
        "groups": np.array([sample.group for sample in samples]),
        "slices": {"language": languages} | ({} if (languages == "zh").any() else {"length": length}),
    }


def _risks(samples: Sequence[TextSample]) -> list[str]:
    """Risks that are labelled both present and absent."""
    risks = []
    for head, name in enumerate(RISKS):
        values = {sample.risk[head] for sample in samples}
        if {0.0, 1.0} <= values:
            risks.append(name)
    return risks
