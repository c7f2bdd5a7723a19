"""Which texts a training batch holds, and what each of them teaches.

Corpora are mixed in fixed numbers of draws an epoch. Each labels only some heads: the others are masked. Emotion
comes with the corpus's own log prior, which training adds to the logits (logit adjustment: Menon et al., 2021): it
takes the imbalance of every corpus out of them, and a label a corpus does not use has no prior there and is no evidence
against it. Lines of the emotion corpora that cannot be alarming are weak negatives of risk, so that ordinary chat does
not fire.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from models.data.corpora.text import TextSample
from models.labels import EMOTIONS, RISKS
from models.text.readings import LineTokenizer
from models.training.text.augment import augment

Floats = npt.NDArray[np.float32]

ABSENT = -1e4
"""Log prior of a label that a corpus does not use; finite, so that 0 times it is 0."""

PROJECT_LINES = "own"
"""The corpus of lines written for this project."""

_WEAK_CORPORA = ("goemotions", "meld", "smp2020")
_WEAK_SHARE = 0.5  # weight of all weak negatives of a head against all its labelled rows
_ALARMING = {"distress": ("sadness", "anger", "disgust", "fear"), "self_harm": (), "abuse": ("anger", "disgust")}


@dataclass(frozen=True, slots=True)
class Rows:
    """One corpus ready to train on; arrays have one row a text.

    ids, context: token ids of the line and of those before it. emotion: (rows, 7) shares, 0 where unlabelled.
    log_prior: (7,) of the corpus. risk, weak: (rows, 3), NaN where the corpus, or the weak rule, says nothing.
    pair: (rows,) lines of one number are drawn together; -1 alone.
    """

    ids: list[list[int]]
    context: list[list[int]]
    emotion: Floats
    log_prior: Floats
    risk: Floats
    weak: Floats
    pair: npt.NDArray[np.int64]

    @property
    def lines(self) -> list[list[int]]:
        """Each line's token ids with its context behind them."""
        return [ids + context for ids, context in zip(self.ids, self.context, strict=True)]


@dataclass(frozen=True, slots=True)
class TextBatch:
    """A training batch of lines from several corpora.

    sentences: token ids. corpus: (rows,) int64, in the order of the mix. The rest (rows, 7) or (rows, 3) float32,
    weights 0 where a head is not taught. pair: (rows,) int64, -1 for a line that was not written against another.
    """

    sentences: list[list[int]]
    corpus: torch.Tensor
    emotion: torch.Tensor
    log_prior: torch.Tensor
    risk: torch.Tensor
    risk_weight: torch.Tensor
    pair: torch.Tensor


def rows_of(name: str, samples: Sequence[TextSample], tokenizer: LineTokenizer) -> Rows:
    """Tokenizes one corpus and works out its prior and weak negatives."""
    none = (0.0,) * len(EMOTIONS)
    emotion = np.array([sample.emotion or none for sample in samples], dtype=np.float32)
    risk = np.array([sample.risk for sample in samples], dtype=np.float32)
    weak = np.full_like(risk, np.nan)
    if name in _WEAK_CORPORA:
        for head, labels in enumerate(_ALARMING.values()):
            alarming = emotion[:, [EMOTIONS.index(label) for label in labels]].sum(axis=1) > 0
            weak[~alarming & np.isnan(risk[:, head]), head] = 0.0
    ids = [tokenizer.ids(sample.text) for sample in samples]
    context = [tokenizer.context(sample.before) for sample in samples]
    return Rows(ids, context, emotion, log_prior(emotion), risk, weak, _pairs(name, samples))


def _pairs(name: str, samples: Sequence[TextSample]) -> npt.NDArray[np.int64]:
    """(rows,) the number of each row's matched pair; -1 without one."""
    if name != PROJECT_LINES:
        return np.full(len(samples), -1)
    number = {group: i for i, group in enumerate(dict.fromkeys(sample.group for sample in samples))}
    return np.array([number[sample.group] for sample in samples], np.int64)


def log_prior(emotion: Floats) -> Floats:
    """emotion: (rows, 7) shares. Returns (7,), zeros where no row is labelled."""
    total = emotion.sum(axis=0)
    if not total.any():
        return np.zeros(len(EMOTIONS), np.float32)
    with np.errstate(divide="ignore"):
        logs: Floats = np.maximum(np.log(total / total.sum()), ABSENT).astype(np.float32)
    return logs


class TextMix:
    """The training rows of all corpora, drawn in set numbers and batched.

    Immutable; batches depend on the epoch.
    """

    def __init__(
        self, corpora: Mapping[str, Rows], draws: Mapping[str, int], batch_rows: int = 128, seed: int = 0
    ) -> None:
        self._corpora = {name: corpora[name] for name in draws}
        self._names = list(draws)
        self._draws = draws
        self._batch_rows = batch_rows
        self._seed = seed
        self._weak_weight = self._balance_weak()
        mean = self._expected(labelled=True) + self._weak_weight * self._expected(labelled=False)
        self._scale = np.divide(1.0, mean, out=np.zeros_like(mean), where=mean > 0)  # 0 for a head nobody teaches
        self.steps_per_epoch = sum(draws.values()) // batch_rows

    def batches(self, epoch: int) -> Iterator[TextBatch]:
        """One epoch's batches of augmented rows, the same every time."""
        rng = np.random.default_rng((self._seed, epoch))
        drawn = [
            [(name, row) for row in rows]
            for name, count in self._draws.items()
            for rows in self._drawn_together(name, count, epoch)
        ]
        order = rng.permutation(len(drawn))
        rows = [row for i in order for row in drawn[i]]
        for step in range(self.steps_per_epoch):
            yield self._batch(rows[step * self._batch_rows : (step + 1) * self._batch_rows], rng)

    def _drawn_together(self, name: str, count: int, epoch: int) -> list[list[int]]:
        """An epoch's `count` rows of a corpus.

        Lines of a pair are in one list.
        """
        pair = self._corpora[name].pair
        together: dict[int, list[int]] = {}
        for row in range(len(pair)):
            together.setdefault(int(pair[row]) if pair[row] >= 0 else -1 - row, []).append(row)
        groups = list(together.values())
        turns = self._turns(len(groups), max(1, round(count * len(groups) / len(pair))), epoch)
        return [groups[i] for i in turns]

    def _turns(self, size: int, count: int, epoch: int) -> npt.NDArray[np.int64]:
        """Turn `epoch` of an endless sequence of shuffles of `size` numbers."""
        first, last = epoch * count, (epoch + 1) * count
        turns = [
            np.random.default_rng((self._seed, size, turn)).permutation(size)
            for turn in range(first // size, (last - 1) // size + 1)
        ]
        start = first - first // size * size
        return np.concatenate(turns)[start : start + count]

    def _batch(self, chosen: Sequence[tuple[str, int]], rng: np.random.Generator) -> TextBatch:
        sources = [self._corpora[name] for name, _ in chosen]
        rows = [row for _, row in chosen]
        risk = np.stack([source.risk[row] for source, row in zip(sources, rows, strict=True)])
        weak = np.stack([source.weak[row] for source, row in zip(sources, rows, strict=True)])
        weight = (~np.isnan(risk) + ~np.isnan(weak) * self._weak_weight) * self._scale
        return TextBatch(
            [augment(source.ids[row], source.context[row], rng) for source, row in zip(sources, rows, strict=True)],
            torch.tensor([self._names.index(name) for name, _ in chosen]),
            torch.from_numpy(np.stack([source.emotion[row] for source, row in zip(sources, rows, strict=True)])),
            torch.from_numpy(np.stack([source.log_prior for source in sources])),
            torch.from_numpy(np.nan_to_num(risk)),
            torch.from_numpy(weight.astype(np.float32)),
            torch.tensor([int(source.pair[row]) for source, row in zip(sources, rows, strict=True)]),
        )

    def _expected(self, labelled: bool) -> Floats:
        """(3,) the share of drawn rows that a risk head learns from."""
        expected = np.zeros(len(RISKS), np.float32)
        for name, rows in self._corpora.items():
            taught = ~np.isnan(rows.risk if labelled else rows.weak)
            expected += self._draws[name] / sum(self._draws.values()) * taught.mean(axis=0, dtype=np.float32)
        return expected

    def _balance_weak(self) -> Floats:
        labelled, weak = self._expected(labelled=True), self._expected(labelled=False)
        weight: Floats = np.divide(_WEAK_SHARE * labelled, weak, out=np.zeros_like(weak), where=weak > 0)
        return weight
