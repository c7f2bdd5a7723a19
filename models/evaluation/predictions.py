"""A model's answers to the rows of a corpus, under the label frequencies that the corpus's figures assume.

Answers are on the corpus's terms, because that is what the literature's figures assume: lines are read as its labels
are meant where the text part has learned that, and answers are brought to its label frequencies and to how sure one can
be on it where the model knows them (`models.training.calibration.corpus_calibration`). The service takes labels as
equally likely, and knows nothing of the corpus. Labels that a corpus does not use cannot be chosen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.calibration.scaling import CorpusCalibration
from models.encoder import Encoded, Encoder
from models.evaluation.progress import OnRows, no_progress
from models.face.encoder import FaceEncoder
from models.metrics.labelled_rows import EvaluationError, LabelledRows
from models.model import AffectModel, WindowFeatures
from models.text.encoder import ChatLine

_ROWS_PER_CALL = 64
_UNUSED = {"emodb": ("surprise",)}

Floats = NDArray[np.float64]

EncodedRows = Mapping[str, Sequence[Encoded | None]]
"""By modality, each row's events, None where it has none."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model says of each row.

    encoded: on the corpus's terms. posterior, of_service: (rows, labels), for labels equally likely beforehand, on the
    corpus's terms and on the service's. calibration: what the former is brought to on the corpus.
    """

    rows: LabelledRows
    encoded: EncodedRows
    posterior: Floats
    of_service: Floats
    calibration: CorpusCalibration
    rows_per_second: float

    @property
    def known(self) -> NDArray[np.bool_]:
        """(rows,) those with one label."""
        return self.rows.truth >= 0

    @property
    def truth(self) -> NDArray[np.int64]:
        """(known rows,)"""
        return self.rows.truth[self.known]

    @property
    def probabilities(self) -> Floats:
        """(known rows, labels) on the corpus's terms."""
        return self.calibration.probabilities(self.posterior[self.known])

    @property
    def equal_probabilities(self) -> Floats:
        """(known rows, labels) on the service's terms, of the labels that the corpus uses."""
        return self.calibration.equal().probabilities(self.of_service[self.known])


def predict(model: AffectModel, corpus: str, rows: LabelledRows, progress: OnRows = no_progress) -> Predictions:
    """Asks the model. Raises EvaluationError for rows of no modality that the model has, or without one label."""
    if not (rows.truth >= 0).any():
        raise EvaluationError(f"{corpus}: there are no rows with one label")
    if not set(rows.units) & set(model.encoders):
        raise EvaluationError(f"{model.name} has no part for {', '.join(rows.units)}, which is all that {corpus} has")
    began_s = perf_counter()
    served, encoded = encoded_rows(model, corpus, rows, progress)
    of_service = posteriors(model, rows.task, served)
    known_terms = any(encoded[modality] is not served[modality] for modality in served)
    posterior = posteriors(model, rows.task, encoded) if known_terms else of_service
    rows_per_second = len(rows.truth) / (perf_counter() - began_s)
    return Predictions(rows, encoded, posterior, of_service, _calibration(model, corpus, rows), rows_per_second)


def encoded_rows(
    model: AffectModel, corpus: str, rows: LabelledRows, progress: OnRows = no_progress
) -> tuple[EncodedRows, EncodedRows]:
    """Every row's events, encoded once: for the service, and on the corpus's terms, the same where there are none."""
    served: dict[str, list[Encoded | None]] = {}
    own: dict[str, list[Encoded | None]] = {}
    for modality, units in rows.units.items():
        if modality not in model.encoders:
            continue
        served[modality], own[modality] = _encoded(model.encoders[modality], corpus, units, partial(progress, modality))
    return served, own


def _encoded(
    encoder: Encoder, corpus: str, units: Sequence[Sequence[Any]], done: Callable[[int, int], None]
) -> tuple[list[Encoded | None], list[Encoded | None]]:
    """In calls of rows of like length, since a batch takes as long as its longest lines."""
    both = encoder.has_corpus_head(corpus)
    served: list[Encoded | None] = [None] * len(units)
    own = list(served) if both else served
    order = sorted(range(len(units)), key=lambda row: sum(map(_length, units[row])))
    for start in range(0, len(order), _ROWS_PER_CALL):
        chunk = order[start : start + _ROWS_PER_CALL]
        prepared = [encoder.prepare(unit) for row in chunk for unit in units[row]]
        if prepared:
            sizes = [len(units[row]) for row in chunk]
            read = encoder.encode_for_corpus(prepared, corpus) if both else (encoder.encode(prepared),)
            for lists, events in zip((served, own), read, strict=False):
                for row, *part in zip(
                    chunk, torch.split(events.embedding, sizes), torch.split(events.weight, sizes), strict=True
                ):
                    lists[row] = Encoded(*part) if units[row] else None
        done(min(start + _ROWS_PER_CALL, len(order)), len(order))
    return served, own


def _length(unit: Any) -> int:
    """Of a line, its characters; of what is always as long as another, nothing."""
    return len(unit.text) if isinstance(unit, ChatLine) else 0


def posteriors(model: AffectModel, task: str, encoded: EncodedRows) -> Floats:
    """(rows, labels) of the task's labels, from all modalities that are encoded. Labels are equally likely."""
    if task == "expression":
        return _expressions(model, encoded["video"])
    posterior: list[tuple[float, ...]] = []
    windows = [
        WindowFeatures({name: row for name, row in zip(encoded, events, strict=True) if row is not None})
        for events in zip(*encoded.values(), strict=True)
    ]
    for start in range(0, len(windows), _ROWS_PER_CALL):
        for scores in model.fuse(windows[start : start + _ROWS_PER_CALL]):
            risk = scores.risk.categories.get(task)
            posterior.append(scores.emotion if risk is None else (1 - risk, risk))
    return np.array(posterior, dtype=np.float64)


def _expressions(model: AffectModel, encoded: Sequence[Encoded | None]) -> Floats:
    """FER+'s eight expressions: contempt, which the service has no label for, is calibrated as the others are."""
    encoder, calibration = model.encoders["video"], model.manifest.calibration["video"]
    if not isinstance(encoder, FaceEncoder):
        raise EvaluationError(f"{model.name}: its part for video does not tell expressions")
    logits = encoder.expressions(torch.cat([row.embedding for row in encoded if row is not None])).double().cpu()
    bias = torch.tensor([*calibration.bias, 0.0], dtype=torch.float64)
    return np.asarray((logits / calibration.temperature + bias).softmax(dim=-1).numpy())


def _calibration(model: AffectModel, corpus: str, rows: LabelledRows) -> CorpusCalibration:
    fitted = model.manifest.metrics.get("calibration", {}).get(f"{corpus}/{rows.task}")
    if fitted is not None:
        known = CorpusCalibration.model_validate(fitted)
        if len(known.bias) != len(rows.labels):
            key = f"metrics.calibration.{corpus}/{rows.task}.bias"
            raise EvaluationError(f"{model.name}: {key} has {len(known.bias)} numbers for {len(rows.labels)} labels")
        return known
    log_prior = model.manifest.metrics.get("log_prior", {}).get(corpus)
    if log_prior is not None and len(log_prior) == len(rows.labels):
        return CorpusCalibration(bias=tuple(log_prior))
    unused = _UNUSED.get(corpus, ())
    return CorpusCalibration(bias=tuple(None if label in unused else 0.0 for label in rows.labels))
