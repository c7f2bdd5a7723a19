"""A model's predictions for labelled rows, on the terms of their corpus.

Figures in the literature assume a corpus's own terms, so predictions are made on these. Lines are read by the corpus
head where the text networks have one. Probabilities are scaled to the corpus's label frequencies and to how sure a
prediction can be there, where the model knows them (`models.training.calibration.corpus_calibration`). The service's
own terms differ: to it all labels are equally likely, and it knows nothing of the corpus. Labels that a corpus does not
use cannot be predicted.
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
    """A model's predictions for labelled rows.

    encoded: the rows' events, on the corpus's terms. corpus_posterior, service_posterior: (rows, labels), for labels
    equally likely beforehand, on the corpus's terms and on the service's. calibration: scales the former to the corpus.
    """

    rows: LabelledRows
    encoded: EncodedRows
    corpus_posterior: Floats
    service_posterior: Floats
    calibration: CorpusCalibration
    rows_per_second: float

    @property
    def known(self) -> NDArray[np.bool_]:
        """(rows,) those with one label."""
        return self.rows.truth >= 0

    @property
    def truth(self) -> NDArray[np.int64]:
        """(known rows,) their label."""
        return self.rows.truth[self.known]

    @property
    def probabilities(self) -> Floats:
        """(known rows, labels) on the corpus's terms."""
        return self.calibration.probabilities(self.corpus_posterior[self.known])

    @property
    def equal_probabilities(self) -> Floats:
        """(known rows, labels) on the service's terms, of the labels in use."""
        return self.calibration.equal().probabilities(self.service_posterior[self.known])


def predict(model: AffectModel, corpus: str, rows: LabelledRows, progress: OnRows = no_progress) -> Predictions:
    """Predicts labelled rows.

    Raises EvaluationError where the model has none of their modalities, and where no row has exactly one label.
    """
    if not (rows.truth >= 0).any():
        raise EvaluationError(f"{corpus}: there are no rows with one label")
    if not set(rows.units) & set(model.encoders):
        raise EvaluationError(f"{model.name} has no part for {', '.join(rows.units)}, which is all that {corpus} has")
    began_s = perf_counter()
    for_service, for_corpus = encoded_rows(model, corpus, rows, progress)
    service_posterior = posteriors(model, rows.task, for_service)
    has_terms = any(for_corpus[modality] is not for_service[modality] for modality in for_service)
    corpus_posterior = posteriors(model, rows.task, for_corpus) if has_terms else service_posterior
    rows_per_second = len(rows.truth) / (perf_counter() - began_s)
    calibration = _calibration(model, corpus, rows)
    return Predictions(rows, for_corpus, corpus_posterior, service_posterior, calibration, rows_per_second)


def encoded_rows(
    model: AffectModel, corpus: str, rows: LabelledRows, progress: OnRows = no_progress
) -> tuple[EncodedRows, EncodedRows]:
    """Encodes every event once, on the service's terms and on the corpus's.

    Of a modality without terms of the corpus both are the same object.
    """
    for_service: dict[str, list[Encoded | None]] = {}
    for_corpus: dict[str, list[Encoded | None]] = {}
    for modality, units in rows.units.items():
        if modality not in model.encoders:
            continue
        for_service[modality], for_corpus[modality] = _encoded(
            model.encoders[modality], corpus, units, partial(progress, modality)
        )
    return for_service, for_corpus


def _encoded(
    encoder: Encoder, corpus: str, units: Sequence[Sequence[Any]], progress: Callable[[int, int], None]
) -> tuple[list[Encoded | None], list[Encoded | None]]:
    """Encodes rows in calls of like length.

    A batch takes as long as its longest line.
    """
    both = encoder.has_corpus_head(corpus)
    for_service: list[Encoded | None] = [None] * len(units)
    for_corpus = list(for_service) if both else for_service
    order = sorted(range(len(units)), key=lambda row: sum(map(_length, units[row])))
    for start in range(0, len(order), _ROWS_PER_CALL):
        chunk = order[start : start + _ROWS_PER_CALL]
        prepared = [encoder.prepare(unit) for row in chunk for unit in units[row]]
        if prepared:
            sizes = [len(units[row]) for row in chunk]
            encoded = encoder.encode_for_corpus(prepared, corpus) if both else (encoder.encode(prepared),)
            for rows, events in zip((for_service, for_corpus), encoded, strict=False):
                for row, *part in zip(
                    chunk, torch.split(events.embedding, sizes), torch.split(events.weight, sizes), strict=True
                ):
                    rows[row] = Encoded(*part) if units[row] else None
        progress(min(start + _ROWS_PER_CALL, len(order)), len(order))
    return for_service, for_corpus


def _length(unit: Any) -> int:
    """The characters of a line; 0 for units of equal length."""
    return len(unit.text) if isinstance(unit, ChatLine) else 0


def posteriors(model: AffectModel, task: str, encoded: EncodedRows) -> Floats:
    """(rows, labels) posteriors of the task, fused from all encoded modalities.

    Labels are equally likely beforehand.
    """
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
    """(rows, 8) posteriors of FER+'s expressions; contempt has no bias."""
    encoder, calibration = model.encoders["video"], model.manifest.calibration["video"]
    if not isinstance(encoder, FaceEncoder):
        raise EvaluationError(f"{model.name}: its part for video does not tell expressions")
    logits = encoder.expressions(torch.cat([row.embedding for row in encoded if row is not None])).double().cpu()
    bias = torch.tensor([*calibration.bias, 0.0], dtype=torch.float64)
    return np.asarray((logits / calibration.temperature + bias).softmax(dim=-1).numpy())


def _calibration(model: AffectModel, corpus: str, rows: LabelledRows) -> CorpusCalibration:
    fitted = model.manifest.metrics.get("calibration", {}).get(f"{corpus}/{rows.task}")
    if fitted is not None:
        calibration = CorpusCalibration.model_validate(fitted)
        if len(calibration.bias) != len(rows.labels):
            key, length = f"metrics.calibration.{corpus}/{rows.task}.bias", len(calibration.bias)
            raise EvaluationError(f"{model.name}: {key} has {length} numbers for {len(rows.labels)} labels")
        return calibration
    log_prior = model.manifest.metrics.get("log_prior", {}).get(corpus)
    if log_prior is not None and len(log_prior) == len(rows.labels):
        return CorpusCalibration(bias=tuple(log_prior))
    unused = _UNUSED.get(corpus, ())
    return CorpusCalibration(bias=tuple(None if label in unused else 0.0 for label in rows.labels))
