"""The rows of a corpus as the model's windows: what each shows, and what its corpus says it is.

A row is a window of its own: a face, a whole clip, a line. Clips are cut into segments of the encoder's length, the
last one filled with silence. Left out: sessions, in which windows overlap and modalities meet.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from models.data.ferplus import read_ferplus
from models.data.speech_corpora import Clip, read_emodb, read_pcm, read_ravdess
from models.data.text_corpora import CORPORA, TextSample, read_corpus
from models.face.crop import given_face
from models.face.expressions import EXPRESSIONS
from models.labels import EMOTIONS, RISKS
from models.speech.encoder import SEGMENT_SAMPLES

SPEECH_CORPORA = ("ravdess", "emodb")
KNOWN = ("ferplus", *SPEECH_CORPORA, *CORPORA)
"""Corpora that can be evaluated."""

EMODB_TRAINED_ON = ("03", "08", "09", "10", "11", "13")
"""Speakers of EMO-DB's training part; the others are its test part."""


class EvaluationError(ValueError):
    """A corpus, split, task or modality that cannot be measured; the message says what there is."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What is to be measured.

    task: "emotion", "expression" or a risk. labels: names, in the order of the answer. units: per row, its modality's
    events before `prepare`. truth: (rows,) index of the label, -1 for a row that has several. shares: (rows, 7) labels
    of rows that may have several, else None.
    """

    task: str
    modality: Literal["video", "audio", "text"]
    labels: tuple[str, ...]
    units: Sequence[Any]
    truth: NDArray[np.int64]
    shares: NDArray[np.float64] | None = None


def read_rows(corpus: str, data: Path, split: str, task: str | None) -> Rows:
    """Raises EvaluationError for what is not there or cannot be read, naming the file."""
    try:
        if corpus == "ferplus":
            return _faces(data, split, _task(corpus, task, ("expression", "emotion")))
        if corpus in SPEECH_CORPORA:
            return _clips(corpus, data, split, _task(corpus, task, ("emotion",)))
        if corpus in CORPORA:
            return _lines(corpus, data, split, task)
    except EvaluationError:
        raise
    except (OSError, ValueError) as wrong:
        raise EvaluationError(str(wrong)) from wrong
    raise EvaluationError(f"corpus {corpus!r} is not known; known are {', '.join(KNOWN)}")


def _task(corpus: str, asked: str | None, there: Sequence[str]) -> str:
    if asked is not None and asked not in there:
        raise EvaluationError(f"{corpus} has no task {asked!r}; it has {', '.join(there)}")
    return asked or there[0]


def _faces(data: Path, split: str, task: str) -> Rows:
    faces = read_ferplus(data, split)
    labels = EXPRESSIONS if task == "expression" else EMOTIONS
    kept = np.flatnonzero(faces.labels < len(labels))
    return Rows(task, "video", labels, [[given_face(image)] for image in faces.images[kept]], faces.labels[kept])


def _clips(corpus: str, data: Path, split: str, task: str) -> Rows:
    clips = _ravdess(data, split) if corpus == "ravdess" else _emodb(data, split)
    truth = np.array([EMOTIONS.index(clip.emotion) for clip in clips], dtype=np.int64)
    return Rows(task, "audio", EMOTIONS, [list(_segments(clip)) for clip in clips], truth)


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


def _segments(clip: Clip) -> Iterator[NDArray[np.float32]]:
    pcm = read_pcm(clip)
    whole = np.pad(pcm, (0, -len(pcm) % SEGMENT_SAMPLES))
    yield from whole.reshape(-1, SEGMENT_SAMPLES)


def _lines(corpus: str, data: Path, split: str, asked: str | None) -> Rows:
    known = cast(Literal["train", "valid", "test"], split)
    samples = read_corpus(corpus, data, known)
    tasks = [*(["emotion"] if samples and samples[0].emotion else []), *_risks(samples)]
    task = _task(corpus, asked, tasks)
    if task == "emotion":
        shares = np.array([sample.emotion for sample in samples], dtype=np.float64)
        truth = np.where(shares.max(axis=1) == 1, shares.argmax(axis=1), -1)
        return Rows(task, "text", EMOTIONS, [[sample.text] for sample in samples], truth, shares)
    head = RISKS.index(task)
    labelled = [(sample.text, risk) for sample in samples if (risk := sample.risk[head]) is not None]
    truth = np.array([risk > 0.5 for _, risk in labelled], dtype=np.int64)
    return Rows(task, "text", (f"no {task}", task), [[text] for text, _ in labelled], truth)


def _risks(samples: Sequence[TextSample]) -> list[str]:
    """The risks that some lines have and others have not."""
    found = []
    for head, name in enumerate(RISKS):
        values = {sample.risk[head] for sample in samples}
        if {0.0, 1.0} <= values:
            found.append(name)
    return found
