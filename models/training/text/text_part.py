"""Makes the text part of a model: trains both networks, packs them, and measures the encoder that they are together.

Everything is measured on validation lines as the daemon would read them: from packed weights, English lines by both
networks, lines of a dialogue with those before them; and once more on each corpus's own terms, where the networks have
learned these, since that is what its literature measures. Thresholds of GoEmotions' labels are chosen on half of its
lines and measured on the other half, both ways (`multi_label_f1`); what is kept is chosen on all.
Left out: spread over seeds, for which the networks would have to be trained several times.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from models.data.corpora.text import TextSample
from models.labels import EMOTIONS, RISKS
from models.metrics.text import best_thresholds, emotion_figures, label_scores, multi_label_f1, risk_figures
from models.text.component import build_text_encoder, pack_networks
from models.text.encoder import ChatLine, TextEncoder
from models.text.minilm import minilm_vocabulary
from models.training.loop.progress import Report
from models.training.text.batches import Floats, log_prior
from models.training.text.train import PROJECT_LINES, SHIPPED, TextTraining, read_training_data, train_text

_LINES_PER_CALL = 64

Corpora = Mapping[str, Sequence[TextSample]]
"""Lines by corpus."""


def make_text_part(data: Path, out: Path, training: TextTraining, progress: Mapping[str, Report]) -> dict[str, Any]:
    """Writes `text.safetensors`, `metrics.json` and `valid_logits.npz` under `out`, and returns the figures.

    progress: by network, told every epoch. Networks that `out` has already are not trained again.
    Raises as `models.training.text.train.train_text` does.
    """
    out.mkdir(parents=True, exist_ok=True)
    english, multilingual = (train_text(name, data, out, training, progress[name]) for name in SHIPPED)
    train, valid, _ = read_training_data(data)
    return write_part(pack_networks(multilingual, english, minilm_vocabulary()), train, valid, out)


def write_part(
    tensors: Mapping[str, torch.Tensor],
    train: Corpora,
    valid: Corpora,
    out: Path,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes a packed part and what it is measured to do into `out`, and returns the figures, `facts` among them."""
    save_file(dict(tensors), out / "text.safetensors")
    found, answers = measure_text(build_text_encoder(tensors, torch.device("cpu")), train, valid)
    figures = {**(facts or {}), **found}
    (out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    np.savez_compressed(out / "valid_logits.npz", allow_pickle=False, **answers)
    return figures


def measure_text(
    encoder: TextEncoder, train: Corpora, valid: Corpora
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Figures by corpus, and the answers to validation lines that calibration and fusion are fitted on.

    Lines of several emotions are not among those answers, nor are those written for this project.
    """
    both = {name: encoded_lines(encoder, samples, name) for name, samples in valid.items()}
    logits, own = ({name: read[terms] for name, read in both.items()} for terms in (0, 1))
    figures = {
        name: _figures(logits[name], own[name], samples, _emotion(train[name])) for name, samples in valid.items()
    }
    answered = [corpus for corpus in valid if corpus != PROJECT_LINES]
    lines = [(corpus, row, sample) for corpus in answered for row, sample in enumerate(valid[corpus])]
    alone = [line for line in lines if line[2].emotion is not None and max(line[2].emotion) == 1]
    answers: dict[str, NDArray[Any]] = {
        "logits7": _rows([logits[corpus][row, : len(EMOTIONS)] for corpus, row, _ in alone]),
        "own_logits7": _rows([own[corpus][row, : len(EMOTIONS)] for corpus, row, _ in alone]),
        "label7": np.array([int(np.argmax(sample.emotion or ())) for _, _, sample in alone], np.int64),
        "corpus": np.array([corpus for corpus, _, _ in alone]),
        "group": np.array([sample.group for _, _, sample in alone]),
    }
    for head, name in enumerate(RISKS):
        column = len(EMOTIONS) + head
        rows = [line for line in lines if line[2].risk[head] is not None]
        answers |= {
            f"risk_{name}_logits": np.array([logits[corpus][row, column] for corpus, row, _ in rows], np.float32),
            f"risk_{name}_own_logits": np.array([own[corpus][row, column] for corpus, row, _ in rows], np.float32),
            f"risk_{name}_labels": np.array([sample.risk[head] for _, _, sample in rows], np.float32),
            f"risk_{name}_corpus": np.array([corpus for corpus, _, _ in rows]),
        }
    return figures, answers


def encoded_lines(encoder: TextEncoder, samples: Sequence[TextSample], corpus: str) -> tuple[Floats, Floats]:
    """(samples, 10) logits, in their order, as the service answers and on the corpus's terms."""
    lines = [encoder.prepare(ChatLine(sample.text, sample.before)) for sample in samples]
    order = np.argsort([len(line) for line in lines], kind="stable")
    logits = np.empty((2, len(lines), encoder.width), np.float32)
    for start in range(0, len(lines), _LINES_PER_CALL):
        rows = order[start : start + _LINES_PER_CALL]
        for terms, read in enumerate(encoder.encode_for_corpus([lines[row] for row in rows], corpus)):
            logits[terms, rows] = read.embedding.numpy()
    return logits[0], logits[1]


def _figures(logits: Floats, own: Floats, samples: Sequence[TextSample], taught: Floats) -> dict[str, Any]:
    """logits, own: (rows, 10), as the service answers and on the corpus's terms; of the latter are figures for lines of
    several labels. taught: (rows, 7) shares of the corpus's training part, whose frequencies are the prior.
    """
    emotion, risk = logits[:, : len(EMOTIONS)], logits[:, len(EMOTIONS) :]
    shares = _emotion(samples)
    figures: dict[str, Any] = dict(risk_figures(risk, np.array([sample.risk for sample in samples], np.float32)))
    if shares.any():
        prior = log_prior(taught)
        figures["emotion"] = emotion_figures(emotion, shares, prior)
        figures["log_prior"] = prior.tolist()
        if (shares[shares.any(axis=1)].max(axis=1) < 1).any():
            figures |= _several_labels(label_scores(own[:, : len(EMOTIONS)], prior), shares)
    return figures


def _several_labels(scores: Floats, shares: Floats) -> dict[str, Any]:
    half = np.arange(len(scores)) % 2 == 0
    crossed = [
        multi_label_f1(scores[there], shares[there], best_thresholds(scores[here], shares[here]))
        for here, there in ((half, ~half), (~half, half))
    ]
    mean: Mapping[str, float] = {name: (crossed[0][name] + crossed[1][name]) / 2 for name in crossed[0]}
    return {"thresholds": best_thresholds(scores, shares).tolist(), "multi_label_f1": mean}


def _rows(logits: Sequence[Floats]) -> Floats:
    """(rows, 7), of no rows too."""
    return np.array(logits, np.float32).reshape(-1, len(EMOTIONS))


def _emotion(samples: Sequence[TextSample]) -> Floats:
    none = (0.0,) * len(EMOTIONS)
    return np.array([sample.emotion or none for sample in samples], np.float32)
