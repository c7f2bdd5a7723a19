"""A model's answers to the rows of a corpus, under the label frequencies that the corpus's figures assume.

Answers are on the corpus's terms, because that is what the literature's figures assume: lines are read as its labels
are meant where the text part has learned that, and answers are brought to its label frequencies and to how sure one can
be on it where the model knows them (`models.training.corpus_calibration`). The service takes labels as equally likely,
and knows nothing of the corpus. Labels that a corpus does not use cannot be chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.calibration import CorpusCalibration
from models.encoding import Encoded
from models.evaluation.row_types import EvaluationError, Rows
from models.face.encoder import FaceEncoder
from models.model import AffectModel, WindowFeatures
from models.text.encoder import TextEncoder

_ROWS_PER_CALL = 64
_UNUSED = {"emodb": ("surprise",)}

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a model says of each row.

    encoded: by modality, each row's events on the corpus's terms, None where it has none. posterior, of_service: (rows,
    labels), for labels equally likely beforehand, on the corpus's terms and on the service's. calibration: what the
    former is brought to on the corpus.
    """

    rows: Rows
    encoded: Mapping[str, Sequence[Encoded | None]]
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


def answers(model: AffectModel, corpus: str, rows: Rows) -> Answers:
    """Asks the model. Raises EvaluationError for rows of no modality that the model has, or without one label."""
    if not (rows.truth >= 0).any():
        raise EvaluationError(f"{corpus}: there are no rows with one label")
    if not set(rows.units) & set(model.encoders):
        raise EvaluationError(f"{model.name} has no part for {', '.join(rows.units)}, which is all that {corpus} has")
    began_s = perf_counter()
    served = encoded = {
        modality: _encoded(model.encoders[modality], units)
        for modality, units in rows.units.items()
        if modality in model.encoders
    }
    posterior = of_service = _posterior(model, rows, served)
    rows_per_second = len(rows.truth) / (perf_counter() - began_s)
    text = model.encoders.get("text")
    if "text" in served and isinstance(text, TextEncoder) and text.has_terms_of(corpus):
        encoded = {**served, "text": _encoded(text.on_terms_of(corpus), rows.units["text"])}
        posterior = _posterior(model, rows, encoded)
    return Answers(rows, encoded, posterior, of_service, _calibration(model, corpus, rows), rows_per_second)


def _encoded(encoder: Any, units: Sequence[Sequence[Any]]) -> list[Encoded | None]:
    """Each row's events, encoded."""
    prepare = getattr(encoder, "prepare", lambda unit: unit)
    encoded: list[Encoded | None] = []
    for start in range(0, len(units), _ROWS_PER_CALL):
        chunk = units[start : start + _ROWS_PER_CALL]
        sizes = [len(row) for row in chunk]
        if not sum(sizes):
            encoded += [None] * len(chunk)
            continue
        events = encoder.encode([prepare(unit) for row in chunk for unit in row])
        parts = zip(events.embedding.split(sizes), events.weight.split(sizes), strict=True)
        encoded += [Encoded(*part) if len(part[1]) else None for part in parts]
    return encoded


def _posterior(model: AffectModel, rows: Rows, encoded: Mapping[str, Sequence[Encoded | None]]) -> Floats:
    if rows.task == "expression":
        return _expressions(model, encoded["video"])
    posterior: list[tuple[float, ...]] = []
    for start in range(0, len(rows.truth), _ROWS_PER_CALL):
        chosen = range(start, min(start + _ROWS_PER_CALL, len(rows.truth)))
        found = [{name: row for name, events in encoded.items() if (row := events[i]) is not None} for i in chosen]
        for scores in model.fuse([WindowFeatures(events) for events in found]):
            risk = scores.risk.categories.get(rows.task)
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


def _calibration(model: AffectModel, corpus: str, rows: Rows) -> CorpusCalibration:
    fitted = model.manifest.metrics.get("calibration", {}).get(f"{corpus}/{rows.task}")
    if fitted is not None:
        return CorpusCalibration.model_validate(fitted)
    log_prior = model.manifest.metrics.get("log_prior", {}).get(corpus)
    if log_prior is not None and len(log_prior) == len(rows.labels):
        return CorpusCalibration(bias=tuple(log_prior))
    unused = _UNUSED.get(corpus, ())
    return CorpusCalibration(bias=tuple(None if label in unused else 0.0 for label in rows.labels))
