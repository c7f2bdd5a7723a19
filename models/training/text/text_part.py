"""Trains, packs and measures the text part of a model.

Everything is measured on validation lines as the daemon would read them: from packed weights, English lines by both
networks, lines of a dialogue with those before them; and once more on each corpus's own terms, where the networks have
learned these, since that is what its literature measures. Thresholds of GoEmotions' labels are chosen on half of its
lines and measured on the other half, both ways (`multi_label_f1`); what is kept is chosen on all.
Left out: spread over seeds, for which the networks would have to be trained several times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from models.data.corpora.text import TextSample
from models.labels import EMOTIONS, RISKS
from models.metrics.text import best_thresholds, emotion_figures, label_scores, multi_label_f1, risk_figures
from models.text.component import build_text_encoder, pack_networks
from models.text.encoder import ChatLine, TextEncoder
from models.training.loop.progress import Report
from models.training.part.folder import PartFolder
from models.training.part.held_out import CLEAN, EmotionLogits, HeldOutLogits, RiskLogits
from models.training.text.batches import PROJECT_LINES, Floats, log_prior
from models.training.text.recipes import SHIPPED, TextTraining
from models.training.text.train import read_training_data, train_text

_LINES_PER_CALL = 64
_HAS_RISK = 0.5  # label above which a line has a risk

Corpora = Mapping[str, Sequence[TextSample]]
"""Lines by corpus."""


def make_text_part(data: Path, out: Path, training: TextTraining, progress: Mapping[str, Report]) -> dict[str, Any]:
    """Trains both networks and writes the part's folder `out`; returns the figures.

    progress: by network, called after every epoch. Networks that `out` has already are not trained again.
    Raises as `models.training.text.train.train_text` does.
    """
    folder = PartFolder(out, "text")
    english, multilingual = (train_text(name, data, folder, training, progress[name]) for name in SHIPPED)
    train, valid, _ = read_training_data(data)
    return write_part(pack_networks(multilingual, english), train, valid, folder)


def write_part(
    tensors: Mapping[str, torch.Tensor],
    train: Corpora,
    valid: Corpora,
    folder: PartFolder,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes a packed part, its figures and its held-out logits.

    Returns the figures, `facts` among them.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), folder.weights)
    measured, held_out = measure_text(build_text_encoder(tensors, torch.device("cpu")), train, valid)
    figures = {**(facts or {}), **measured}
    held_out.save(folder.held_out)
    folder.write_metrics(figures)
    return figures


def measure_text(encoder: TextEncoder, train: Corpora, valid: Corpora) -> tuple[dict[str, Any], HeldOutLogits]:
    """Figures by corpus, and held-out logits of validation lines.

    Lines of several emotions are not among those logits. Those written for this project are among those of risk alone.
    """
    both = {name: encoded_lines(encoder, samples, name) for name, samples in valid.items()}
    figures = {name: _figures(*both[name], samples, _emotion(train[name])) for name, samples in valid.items()}
    lines = [
        _Line(sample, corpus, both[corpus][0][row], both[corpus][1][row])
        for corpus in valid
        for row, sample in enumerate(valid[corpus])
    ]
    return figures, _held_out(lines)


@dataclass(frozen=True, slots=True)
class _Line:
    """A validation line with its logits, (10,) each.

    As the service scores it, and by its corpus's head.
    """

    sample: TextSample
    corpus: str
    logits: Floats
    corpus_logits: Floats


def _held_out(lines: Sequence[_Line]) -> HeldOutLogits:
    of_corpora = [line for line in lines if line.corpus != PROJECT_LINES]
    of_emotion = [line for line in of_corpora if line.sample.emotion is not None and max(line.sample.emotion) == 1]
    emotions = slice(0, len(EMOTIONS))
    emotion = EmotionLogits(
        _stacked([line.logits[emotions] for line in of_emotion]),
        np.array([int(np.argmax(line.sample.emotion or ())) for line in of_emotion], np.int64),
        np.array([line.corpus for line in of_emotion], np.str_),
        np.array([line.sample.group for line in of_emotion], np.str_),
    )
    return HeldOutLogits(
        "text",
        emotion,
        _stacked([line.corpus_logits[emotions] for line in of_emotion]),
        np.full(len(of_emotion), CLEAN),
        risks={name: _risk_logits(lines, head) for head, name in enumerate(RISKS)},
    )


def _risk_logits(lines: Sequence[_Line], head: int) -> RiskLogits:
    """Of the lines that the risk is labelled of."""
    column = len(EMOTIONS) + head
    labelled = [(line, label) for line in lines if (label := line.sample.risk[head]) is not None]
    return RiskLogits(
        np.array([line.logits[column] for line, _ in labelled], np.float32),
        np.array([line.corpus_logits[column] for line, _ in labelled], np.float32),
        np.array([label > _HAS_RISK for _, label in labelled], np.bool_),
        np.array([line.corpus for line, _ in labelled], np.str_),
    )


def encoded_lines(encoder: TextEncoder, samples: Sequence[TextSample], corpus: str) -> tuple[Floats, Floats]:
    """Logits (samples, 10), as the service asks and for the corpus."""
    lines = [encoder.prepare(ChatLine(sample.text, sample.before)) for sample in samples]
    order = np.argsort([len(line) for line in lines], kind="stable")
    logits = np.empty((2, len(lines), encoder.width), np.float32)
    for start in range(0, len(lines), _LINES_PER_CALL):
        rows = order[start : start + _LINES_PER_CALL]
        for terms, read in enumerate(encoder.encode_for_corpus([lines[row] for row in rows], corpus)):
            logits[terms, rows] = read.embedding.numpy()
    return logits[0], logits[1]


def _figures(logits: Floats, corpus_logits: Floats, samples: Sequence[TextSample], taught: Floats) -> dict[str, Any]:
    """Figures of the service's heads and of the corpus heads.

    logits, corpus_logits: (rows, 10), of the former and the latter; lines of several labels are scored by the latter.
    taught: (rows, 7) shares of the corpus's training part, whose frequencies are the prior.
    """
    emotion, risk = logits[:, : len(EMOTIONS)], logits[:, len(EMOTIONS) :]
    shares = _emotion(samples)
    figures: dict[str, Any] = dict(risk_figures(risk, np.array([sample.risk for sample in samples], np.float32)))
    if shares.any():
        prior = log_prior(taught)
        figures["emotion"] = emotion_figures(emotion, shares, prior)
        figures["log_prior"] = prior.tolist()
        if (shares[shares.any(axis=1)].max(axis=1) < 1).any():
            figures |= _several_labels(label_scores(corpus_logits[:, : len(EMOTIONS)], prior), shares)
    return figures


def _several_labels(scores: Floats, shares: Floats) -> dict[str, Any]:
    half = np.arange(len(scores)) % 2 == 0
    crossed = [
        multi_label_f1(scores[there], shares[there], best_thresholds(scores[here], shares[here]))
        for here, there in ((half, ~half), (~half, half))
    ]
    mean: Mapping[str, float] = {name: (crossed[0][name] + crossed[1][name]) / 2 for name in crossed[0]}
    return {"thresholds": best_thresholds(scores, shares).tolist(), "multi_label_f1": mean}


def _stacked(logits: Sequence[Floats]) -> Floats:
    """(rows, 7), of no rows too."""
    return np.array(logits, np.float32).reshape(-1, len(EMOTIONS))


def _emotion(samples: Sequence[TextSample]) -> Floats:
    none = (0.0,) * len(EMOTIONS)
    return np.array([sample.emotion or none for sample in samples], np.float32)
