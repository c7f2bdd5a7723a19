"""Measures a model on lines written to see whom it misses.

Validation lines of the project, and test lines, which nothing was trained or chosen on. Each line is read by itself, at
the levels that the service has. By language: how well each risk is told, how many lines at risk get the level `none`,
how often the worse line of a matched pair has the higher score, and how many harmless lines reach `medium`. Intervals
are of the bootstrap over pairs (Efron, 1979), 95 %. Left out: lines in a session, where others come before.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from models.artifact import Manifest
from models.data.own_lines import LEVELS, OwnLine, own_lines, read_lines
from models.labels import EMOTIONS, MODALITIES, RISKS
from models.text.encoder import TextEncoder

_DRAWS = 200
_LINES_PER_CALL = 64
_MEDIUM = LEVELS.index("medium")

Counts = Callable[["ReadLines", NDArray[np.int64]], Sequence[float]]


@dataclass(frozen=True, slots=True, eq=False)
class ReadLines:
    """Lines with what the service says of them.

    logits: (lines, 3) of the risks. score: (lines,). level, wanted: (lines,) index in LEVELS, answered and labelled.
    risks: (lines, 3) bool. pair: (lines,) int. right: (lines,) bool, whether the emotion is the labelled one.
    """

    logits: NDArray[np.float32]
    score: NDArray[np.float64]
    level: NDArray[np.int64]
    wanted: NDArray[np.int64]
    risks: NDArray[np.bool_]
    pair: NDArray[np.int64]
    right: NDArray[np.bool_]


def measured_lines(encoder: TextEncoder, manifest: Manifest, test_lines: Path | None) -> dict[str, Any]:
    """Figures by language, of validation lines and of test lines.

    test_lines: a folder of `LANGUAGE.jsonl`. Raises CorpusError for files that are not as they should be.
    """
    valid = [line for line in own_lines() if line.held_out]
    sets = {"validation": valid}
    if test_lines is not None:
        sets["test"] = [line for path in sorted(test_lines.glob("*.jsonl")) for line in read_lines(path)]
    return {
        name: {
            lang: line_figures(answered([line for line in lines if line.lang == lang], encoder, manifest))
            for lang in dict.fromkeys(line.lang for line in lines)
        }
        for name, lines in sets.items()
    }


def answered(lines: Sequence[OwnLine], encoder: TextEncoder, manifest: Manifest) -> ReadLines:
    """Reads at least one line, each by itself, as the service does."""
    prepared = [encoder.prepare(line.text) for line in lines]
    calls = [prepared[start : start + _LINES_PER_CALL] for start in range(0, len(prepared), _LINES_PER_CALL)]
    logits = torch.cat([encoder.encode(call).embedding for call in calls])
    evidence = torch.zeros(len(MODALITIES), len(lines), len(EMOTIONS), dtype=torch.float64)
    amount = torch.zeros(evidence.shape[:2], dtype=torch.float64)
    text = MODALITIES.index("text")
    evidence[text], amount[text] = manifest.calibration["text"].log_posterior(logits[:, : len(EMOTIONS)]), 1.0
    posterior = manifest.fusion.fuse(evidence, amount).posterior
    risk = logits[:, len(EMOTIONS) :]
    scored = manifest.risk.score(manifest.risk.categories(risk), posterior, evidence)
    groups = {group: i for i, group in enumerate(dict.fromkeys(line.group for line in lines))}
    truth = np.array([EMOTIONS.index(line.emotion) for line in lines])
    return ReadLines(
        risk.numpy(),
        np.array([each.score for each in scored]),
        np.array([LEVELS.index(each.level.value) for each in scored]),
        np.array([LEVELS.index(line.level) for line in lines]),
        np.array([[risk in line.risks for risk in RISKS] for line in lines]),
        np.array([groups[line.group] for line in lines]),
        posterior.argmax(dim=1).numpy() == truth,
    )


def line_figures(read: ReadLines) -> dict[str, Any]:
    """Figures of lines in one language.

    Shares are [counted, of how many, low, high]; others [value, low, high].
    """
    rng = np.random.default_rng(0)
    of_pair = [np.flatnonzero(read.pair == pair) for pair in range(int(read.pair.max()) + 1)]
    draws = [np.concatenate([of_pair[i] for i in rng.integers(len(of_pair), size=len(of_pair))]) for _ in range(_DRAWS)]
    every = np.arange(len(read.pair))
    figures: dict[str, Any] = {"lines": len(every)}
    for name, value in {**_AUROC, "emotion_accuracy": _right}.items():
        values = np.array([value(read, rows) for rows in draws])
        figures[name] = [round(float(value(read, every)), 3), *_interval(values)]
    for name, counts in _COUNTS.items():
        some, of = np.array([counts(read, rows) for rows in draws], np.float64).T
        shares = np.divide(some, of, out=np.full(len(of), np.nan), where=of > 0)
        figures[name] = [*map(int, counts(read, every)), *_interval(shares)]
    return figures


def _interval(values: NDArray[np.float64]) -> list[float]:
    known = values[~np.isnan(values)]
    return [round(float(each), 3) for each in np.quantile(known, (0.025, 0.975))] if len(known) else [0.0, 1.0]


def _auroc(head: int) -> Callable[[ReadLines, NDArray[np.int64]], float]:
    def value(read: ReadLines, rows: NDArray[np.int64]) -> float:
        truth = read.risks[rows, head]
        return float("nan") if truth.all() or not truth.any() else float(roc_auc_score(truth, read.logits[rows, head]))

    return value


def _right(read: ReadLines, rows: NDArray[np.int64]) -> float:
    return float(read.right[rows].mean())


def _unseen(head: int) -> Counts:
    def counts(read: ReadLines, rows: NDArray[np.int64]) -> Sequence[float]:
        at_risk = rows[read.risks[rows, head]]
        return int((read.level[at_risk] == 0).sum()), len(at_risk)

    return counts


def _alarms(read: ReadLines, rows: NDArray[np.int64]) -> Sequence[float]:
    harmless = rows[read.wanted[rows] == 0]
    return int((read.level[harmless] >= _MEDIUM).sum()), len(harmless)


def _ordered(read: ReadLines, rows: NDArray[np.int64]) -> Sequence[float]:
    """Pairs whose worse line scores higher, of those that differ."""
    right = all_pairs = 0
    starts = np.flatnonzero(np.r_[True, np.diff(read.pair[rows]) != 0])
    for lines in np.split(rows, starts[1:]):
        worst, best = lines[read.wanted[lines].argmax()], lines[read.wanted[lines].argmin()]
        if read.wanted[worst] > read.wanted[best]:
            all_pairs += 1
            right += int(read.score[worst] > read.score[best])
    return right, all_pairs


_AUROC = {f"{risk}_auroc": _auroc(head) for head, risk in enumerate(RISKS)}
_COUNTS: Mapping[str, Counts] = {
    **{f"{risk}_at_none": _unseen(head) for head, risk in enumerate(RISKS)},
    "pairs_in_order": _ordered,
    "harmless_at_medium": _alarms,
}
