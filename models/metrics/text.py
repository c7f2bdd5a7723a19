"""Figures of the text network on validation rows of each corpus.

One pass of logits gives all of them.

Emotion logits assume equal priors. Figures that reward common labels (accuracy, F1) are taken with the corpus's
training prior added back; UAR, which does not, is taken from the logits as they are. Labels that a corpus does not use
cannot be chosen.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score

from models.labels import EMOTIONS, RISKS
from models.metrics.classification import expected_calibration_error
from models.text.network import TextNetwork

Floats = npt.NDArray[np.float32]
_LINES_PER_CALL = 64
_UNUSED = -1e3
_THRESHOLDS = np.linspace(0.05, 0.8, 76)


@torch.inference_mode()
def text_logits(network: TextNetwork, ids: Sequence[list[int]], corpus: str) -> tuple[Floats, Floats]:
    """Logits of tokenized lines, for the service and for the corpus.

    Each is (rows, 10), in the order of the lines.
    """
    both = np.empty((2, len(ids), len(EMOTIONS) + len(RISKS)), np.float32)
    by_length = np.argsort([len(line) for line in ids], kind="stable")
    for start in range(0, len(ids), _LINES_PER_CALL):
        rows = by_length[start : start + _LINES_PER_CALL]
        logits = network.service_and_corpus_logits([ids[row] for row in rows], corpus)
        both[:, rows] = torch.stack(logits).float().cpu().numpy()
    return both[0], both[1]


def emotion_figures(logits: Floats, truth: Floats, log_prior: Floats) -> dict[str, float]:
    """Figures of emotion over rows with exactly one label.

    truth: (rows, 7) shares. log_prior: (7,) of the corpus.
    """
    single = truth.max(axis=1) == 1
    label = truth[single].argmax(axis=1)
    used = np.where(log_prior > _UNUSED, 0.0, -np.inf)
    equal = (logits[single] + used).argmax(axis=1)
    posterior = _softmax(logits[single] + np.where(np.isinf(used), -np.inf, log_prior))
    likely = posterior.argmax(axis=1)
    return {
        "rows": float(single.sum()),
        "uar": recall_score(label, equal, average="macro", labels=np.unique(label)),
        "accuracy_equal_prior": accuracy_score(label, equal),
        "accuracy": accuracy_score(label, likely),
        "macro_f1": f1_score(label, likely, average="macro", labels=np.unique(label)),
        "macro_f1_equal_prior": f1_score(label, equal, average="macro", labels=np.unique(label)),
        "weighted_f1": f1_score(label, likely, average="weighted"),
        "ece": expected_calibration_error(posterior.max(axis=1), likely == label),
    }


def risk_figures(logits: Floats, truth: Floats) -> dict[str, dict[str, float]]:
    """Figures of each risk head that the rows label.

    F1, macro-F1 and accuracy at one half, AUROC, calibration error.
    """
    figures = {}
    for head, name in enumerate(RISKS):
        labelled = ~np.isnan(truth[:, head])
        label = truth[labelled, head] > 0.5
        if label.all() or not label.any():
            continue
        probability = 1 / (1 + np.exp(-logits[labelled, head].astype(np.float64)))
        predicted = probability > 0.5
        figures[name] = {
            "rows": float(labelled.sum()),
            "f1": f1_score(label, predicted),
            "macro_f1": f1_score(label, predicted, average="macro"),
            "accuracy": accuracy_score(label, predicted),
            "auroc": roc_auc_score(label, probability),
            "ece": expected_calibration_error(np.where(predicted, probability, 1 - probability), predicted == label),
        }
    return figures


def label_scores(logits: Floats, log_prior: Floats) -> Floats:
    """Each label's own probability, (rows, 7), for rows that may hold several."""
    prior = np.clip(np.exp(log_prior), 1e-4, 0.99)
    scores: Floats = 1 / (1 + np.exp(-(logits + np.log(prior / (1 - prior)))))
    return scores


def best_thresholds(scores: Floats, truth: Floats) -> Floats:
    """(7,) the threshold of each label with the best F1."""
    best = np.empty(len(EMOTIONS), np.float32)
    for k in range(len(EMOTIONS)):
        reached = [f1_score(truth[:, k] > 0, scores[:, k] > t, zero_division=0.0) for t in _THRESHOLDS]
        best[k] = _THRESHOLDS[int(np.argmax(reached))]
    return best


def multi_label_f1(scores: Floats, truth: Floats, thresholds: Floats) -> Mapping[str, float]:
    """F1 of each label, and their mean as `macro`.

    For rows that may have several labels.
    """
    each = f1_score(truth > 0, scores > thresholds, average=None, zero_division=0.0)
    return {"macro": float(np.mean(each)), **dict(zip(EMOTIONS, map(float, each), strict=True))}


def _softmax(logits: Floats) -> Floats:
    exponential = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Floats = exponential / exponential.sum(axis=1, keepdims=True)
    return shares
