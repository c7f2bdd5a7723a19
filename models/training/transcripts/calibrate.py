"""Calibrates a model for transcripts of synthesised lines.

Lines are said, recognised, read by the text part, and its answers fitted to their labels.

Figures of the calibrated transcripts are cross-validated: a line is answered under what lines of other folds fitted,
and what different recognisers read in one line is in one fold.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiwer
import numpy as np
import torch
from numpy.typing import NDArray

from models.artifact import Manifest
from models.data.sampling import group_folds
from models.evaluation.progress import OnRows, no_progress
from models.labels import EMOTIONS
from models.model import AffectModel
from models.text.encoder import ChatLine, TextEncoder
from models.training.transcripts.figures import DrawnLines, transcript_figures
from models.training.transcripts.fit import LabelledLogits, fit_transcripts
from models.training.transcripts.lines import EMOTION, SpokenLine, spoken_lines
from models.training.transcripts.recognised import Reading, recognised

READ_LINES = {"tiny": 240, "base": 120}
"""By recogniser, how many lines it reads."""

WRITTEN, PLAIN, BEFORE, AFTER = "as written", "plain letters", "transcript", "transcript, calibrated"
"""Forms of a line that figures are given of."""

_FOLDS = 5
_LINES_PER_CALL = 64
_PROTOCOL = (
    "Validation lines that can be said in one breath (posts: their first sentences) are said by espeak-ng in five "
    "English voices and recognised. The calibration is fitted on four folds of the lines and measured on the fifth; "
    "what is shipped is fitted on all of them. Risks of which there are too few lines are left as they are read. "
    "Only lines that the recogniser believes are measured, in every form the "
    "same ones."
)
_NO_WORD = re.compile(r"[^\w\s']")


@dataclass(frozen=True, slots=True)
class _Heard:
    """One line as one recogniser read it."""

    line: SpokenLine
    condition: str
    reading: Reading


def calibrated_for_transcripts(model: AffectModel, data: Path, work: Path, progress: OnRows = no_progress) -> Manifest:
    """The manifest with the calibration of transcripts and its figures.

    data: holds `text/`. work: keeps what was read. Raises models.data.corpora.text.CorpusError or
    models.artifact.ModelError.
    """
    encoder = model.encoders["text"]
    if not isinstance(encoder, TextEncoder):
        raise TypeError(f"transcripts are read by a TextEncoder, this is a {type(encoder).__name__}")
    heard: list[_Heard] = []
    recognition = {}
    lines = spoken_lines(data)
    for name, most in READ_LINES.items():
        asked = lines[:most]
        readings = recognised(asked, name, work / f"{name}.jsonl", progress)
        believed = [_Heard(line, name, read) for line, read in zip(asked, readings, strict=True) if read and read.text]
        recognition[name] = _recognition(believed, len(asked))
        heard += believed
    drawn, forms = _read(encoder, heard)
    forms[AFTER] = _cross_validated(drawn, model.manifest)
    figures = {
        "protocol": _PROTOCOL,
        "forms": list(forms),
        "recognition": recognition,
        "figures": transcript_figures(drawn, forms, model.manifest),
    }
    return model.manifest.model_copy(
        update={
            "transcripts": fit_transcripts(drawn.read, model.manifest.calibration["text"], model.manifest.risk),
            "metrics": {**model.manifest.metrics, "transcripts": figures},
        }
    )


def plain_letters(text: str) -> str:
    """In lower case, without punctuation."""
    return " ".join(_NO_WORD.sub(" ", text).lower().split())


def encoded(encoder: TextEncoder, lines: Sequence[str]) -> NDArray[np.float32]:
    """(lines, 10) logits of lines of chat."""
    prepared = [encoder.prepare(ChatLine(line)) for line in lines]
    order = np.argsort([len(line) for line in prepared], kind="stable")
    logits = np.empty((len(prepared), encoder.width), np.float32)
    for start in range(0, len(prepared), _LINES_PER_CALL):
        rows = order[start : start + _LINES_PER_CALL]
        logits[rows] = encoder.encode([prepared[row] for row in rows]).embedding.numpy()
    return logits


def _read(encoder: TextEncoder, heard: Sequence[_Heard]) -> tuple[DrawnLines, dict[str, NDArray[np.float32]]]:
    """Logits of the lines as written, and of transcripts before calibration."""
    forms = {
        WRITTEN: encoded(encoder, [each.line.sample.text for each in heard]),
        PLAIN: encoded(encoder, [plain_letters(each.line.said) for each in heard]),
        BEFORE: encoded(encoder, [each.reading.text for each in heard]),
    }
    read = LabelledLogits(
        forms[BEFORE],
        np.array([_emotion(each.line) for each in heard], np.int64),
        np.array([each.line.sample.risk for each in heard], np.float32),
        np.array([each.condition for each in heard]),
        np.array([f"{each.line.corpus}/{each.line.sample.group}" for each in heard]),
    )
    corpus = np.array([each.line.corpus for each in heard])
    return DrawnLines(read, corpus, np.array([each.line.drawn_for for each in heard])), forms


def _cross_validated(drawn: DrawnLines, manifest: Manifest) -> NDArray[np.float32]:
    """Calibrated logits of each transcript, fitted to other folds."""
    read, calibrated = drawn.read, np.empty_like(drawn.read.logits)
    alike = np.where(read.emotion >= 0, read.emotion, len(EMOTIONS))
    for fitted, held_out in group_folds(alike, read.group, _FOLDS):
        scaling = fit_transcripts(read.rows(fitted), manifest.calibration["text"], manifest.risk)
        calibrated[held_out] = scaling.scaled(torch.from_numpy(read.logits[held_out])).numpy()
    return calibrated


def _recognition(believed: Sequence[_Heard], asked: int) -> dict[str, Any]:
    """How well the lines were recognised."""
    said = [plain_letters(each.line.said) for each in believed]
    read = [plain_letters(each.reading.text) for each in believed]
    errors = jiwer.wer(said, read)
    return {"lines": asked, "believed": round(len(believed) / asked, 4), "word_error_rate": round(float(errors), 4)}


def _emotion(line: SpokenLine) -> int:
    """Index of its emotion; -1 of a line drawn otherwise."""
    if line.drawn_for != EMOTION or line.sample.emotion is None:
        return -1
    return int(np.argmax(line.sample.emotion))
