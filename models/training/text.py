"""Training of the text network: one joint run over corpora that each label only some of its heads.

The rules. Corpora are mixed in fixed numbers of draws an epoch, GoEmotions most, because chat lines are what is scored.
Emotion logits are trained with the corpus's own log prior added (logit adjustment: Menon et al., 2021): it takes the
imbalance of every corpus out of the shipped logits, and a label a corpus does not use has no prior there and is no
evidence against it. Each label is also taught for itself, for rows that hold several. Risk is a masked binary loss a
head; lines of the emotion corpora that cannot be alarming are weak negatives, so that ordinary chat does not fire.

Left out: the embedding table stays as it is.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from models.data.text_corpora import CORPORA, TextSample, read_corpus, without_repeats
from models.labels import EMOTIONS, RISKS
from models.text.measure import emotion_figures, risk_figures, text_logits
from models.text.network import TextNetwork, save_network
from models.text.sentence_encoder import SentenceEncoder
from models.text.tokens import Tokenizer
from models.training.augment_text import crop_span, drop_tokens
from models.training.loop import FitConfig, Metrics, fit

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]

DRAWS_PER_EPOCH = {
    "goemotions": 43_000,
    "meld": 9_000,
    "tweeteval-emotion": 3_200,
    "isear": 6_800,
    "smp2020": 9_000,
    "dreaddit": 3_000,
    "sdcnl": 2_000,
    "sos1k": 2_000,
    "davidson": 6_000,
    "tweeteval-hate": 6_000,
    "tweeteval-offensive": 8_000,
    "cold": 13_000,
}
"""Rows of each corpus in one epoch; a corpus that has more takes turns."""

_WEAK_CORPORA = ("goemotions", "meld", "smp2020")
_WEAK_SHARE = 0.5  # weight of all weak negatives of a head against all its labelled rows
_ALARMING = {"distress": ("sadness", "anger", "disgust", "fear"), "self_harm": (), "abuse": ("anger", "disgust")}
_ABSENT = -1e4  # log prior of a label the corpus does not use; finite, so that 0 times it is 0
_BATCH_ROWS = 128
_TOKEN_DROP_RATE = 0.1
_CROP_SHARE = 0.5
_DROPOUT = 0.2


@dataclass(frozen=True, slots=True)
class Rows:
    """One corpus ready to train on; arrays have one row a text.

    emotion: (rows, 7) shares, 0 where unlabelled. log_prior: (7,) of the corpus. risk, weak: (rows, 3), NaN where the
    corpus, or the weak rule, says nothing.
    """

    ids: list[list[int]]
    emotion: Floats
    log_prior: Floats
    risk: Floats
    weak: Floats


@dataclass(frozen=True, slots=True)
class TextBatch:
    """sentences: token ids; the rest (rows, 7) or (rows, 3) float32, weights 0 where a head is not taught."""

    sentences: list[list[int]]
    emotion: torch.Tensor
    log_prior: torch.Tensor
    risk: torch.Tensor
    risk_weight: torch.Tensor


def read_training_data(data: Path) -> tuple[dict[str, list[TextSample]], dict[str, list[TextSample]], dict[str, int]]:
    """Training and validation samples of every corpus, and how many training rows repeat a validation text."""
    valid = {name: read_corpus(name, data, "valid") for name in CORPORA}
    everything = [sample for samples in valid.values() for sample in samples]
    train, repeats = {}, {}
    for name in CORPORA:
        train[name], repeats[name] = without_repeats(read_corpus(name, data, "train"), everything)
    return train, valid, repeats


def rows_of(name: str, samples: Sequence[TextSample], tokenizer: Tokenizer) -> Rows:
    """Tokenizes one corpus and works out its prior and weak negatives."""
    none = (0.0,) * len(EMOTIONS)
    emotion = np.array([sample.emotion or none for sample in samples], dtype=np.float32)
    risk = np.array([sample.risk for sample in samples], dtype=np.float32)
    weak = np.full_like(risk, np.nan)
    if name in _WEAK_CORPORA:
        for head, labels in enumerate(_ALARMING.values()):
            alarming = emotion[:, [EMOTIONS.index(label) for label in labels]].sum(axis=1) > 0
            weak[~alarming & np.isnan(risk[:, head]), head] = 0.0
    return Rows([tokenizer.ids(sample.text) for sample in samples], emotion, log_prior(emotion), risk, weak)


def log_prior(emotion: Floats) -> Floats:
    """emotion: (rows, 7) shares. Returns (7,), zeros where no row is labelled."""
    total = emotion.sum(axis=0)
    if not total.any():
        return np.zeros(len(EMOTIONS), np.float32)
    with np.errstate(divide="ignore"):
        logs: Floats = np.maximum(np.log(total / total.sum()), _ABSENT).astype(np.float32)
    return logs


class TextMix:
    """The training rows of all corpora, drawn in set numbers and batched. Immutable; batches depend on the epoch."""

    def __init__(self, corpora: Mapping[str, Rows], draws: Mapping[str, int], seed: int = 0) -> None:
        self._corpora = {name: corpora[name] for name in draws}
        self._draws = draws
        self._seed = seed
        self._weak_weight = self._balance_weak()
        mean = self._expected(labelled=True) + self._weak_weight * self._expected(labelled=False)
        self._scale = np.divide(1.0, mean, out=np.zeros_like(mean), where=mean > 0)  # 0 for a head nobody teaches
        self.steps_per_epoch = sum(draws.values()) // _BATCH_ROWS

    def batches(self, epoch: int) -> Iterator[TextBatch]:
        """One epoch's batches of 128 augmented rows, the same ones for the same epoch."""
        rng = np.random.default_rng((self._seed, epoch))
        drawn = [(name, row) for name, count in self._draws.items() for row in self._rows(name, count, epoch)]
        order = rng.permutation(len(drawn))
        for step in range(self.steps_per_epoch):
            chosen = [drawn[i] for i in order[step * _BATCH_ROWS : (step + 1) * _BATCH_ROWS]]
            yield self._batch(chosen, rng)

    def _rows(self, name: str, count: int, epoch: int) -> npt.NDArray[np.int64]:
        """The rows of turn `epoch` in an endless sequence of shuffles of the corpus."""
        size = len(self._corpora[name].ids)
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
            [_augment(source.ids[row], rng) for source, row in zip(sources, rows, strict=True)],
            torch.from_numpy(np.stack([source.emotion[row] for source, row in zip(sources, rows, strict=True)])),
            torch.from_numpy(np.stack([source.log_prior for source in sources])),
            torch.from_numpy(np.nan_to_num(risk)),
            torch.from_numpy(weight.astype(np.float32)),
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


def _augment(ids: Sequence[int], rng: np.random.Generator) -> list[int]:
    cropped = crop_span(ids, rng) if rng.random() < _CROP_SHARE else ids
    return drop_tokens(cropped, _TOKEN_DROP_RATE, rng)


def joint_loss(network: nn.Module, batch: TextBatch) -> torch.Tensor:
    """Scalar: adjusted cross-entropy of emotion, each label's binary loss, and the masked binary losses of risk."""
    emotion, risk = network(batch.sentences)
    return emotion_loss(emotion.float(), batch) + risk_loss(risk.float(), batch)


def emotion_loss(logits: torch.Tensor, batch: TextBatch) -> torch.Tensor:
    """logits: (rows, 7). Averaged over the rows that are labelled, 0 when none is."""
    labelled = batch.emotion.sum(dim=1) > 0
    if not labelled.any():
        return logits.sum() * 0.0
    target = batch.emotion[labelled]
    adjusted = logits[labelled] + batch.log_prior[labelled]
    exclusive = -(target * functional.log_softmax(adjusted, dim=1)).sum(dim=1).mean()
    used = (batch.log_prior[labelled] > _ABSENT).float()
    prior = batch.log_prior[labelled].clamp_min(-10.0)
    log_odds = prior - torch.log1p(-prior.exp().clamp_max(0.99))
    each = functional.binary_cross_entropy_with_logits(
        logits[labelled] + log_odds, (target > 0).float(), weight=used, reduction="sum"
    )
    return exclusive + each / used.sum() * 2.0


def risk_loss(logits: torch.Tensor, batch: TextBatch) -> torch.Tensor:
    """logits: (rows, 3). Heads weigh the same, however few rows teach them."""
    each = functional.binary_cross_entropy_with_logits(logits, batch.risk, reduction="none")
    return (each * batch.risk_weight).mean()


def train_text(data_dir: Path, out_dir: Path, epochs: int = 5, seed: int = 0) -> TextNetwork:
    """Fine-tunes the sentence encoder with new heads on the corpora under `data_dir`.

    Writes `out_dir`/text.safetensors; a killed run goes on from `out_dir`/checkpoint.safetensors. About 5 minutes an
    epoch on one core.
    Raises CorpusError for missing or malformed corpora, and as `fit` does.
    """
    tokenizer = Tokenizer()
    train, valid, repeats = read_training_data(data_dir)
    log.info("training rows that repeat a validation text, left out: %s", repeats)
    taught = {name: rows_of(name, samples, tokenizer) for name, samples in train.items()}
    held_out = {name: rows_of(name, samples, tokenizer) for name, samples in valid.items()}
    priors = {name: rows.log_prior for name, rows in taught.items()}
    mix = TextMix(taught, DRAWS_PER_EPOCH, seed)
    torch.manual_seed(seed)
    network = TextNetwork(SentenceEncoder.load(), dropout=_DROPOUT)
    config = FitConfig(
        epochs=epochs,
        steps_per_epoch=mix.steps_per_epoch,
        metric="score",
        learning_rate=4e-4,
        weight_decay=0.01,
        ema_decay=0.998,
        seed=seed,
        bf16=True,
        checkpoint=out_dir / "checkpoint.safetensors",
    )
    fit(network, mix.batches, joint_loss, lambda net: score(net, held_out, priors), config, _report)
    save_network(network, out_dir / "text.safetensors")
    return network


def _report(epoch: int, metrics: Metrics) -> None:
    log.info("epoch %d: %s", epoch, {name: round(value, 4) for name, value in metrics.items()})


@torch.no_grad()
def score(network: nn.Module, valid: Mapping[str, Rows], priors: Mapping[str, Floats]) -> Metrics:
    """Validation figures, and their mean `score` (emotion and risk half each), by which the best epoch is chosen."""
    figures: Metrics = {}
    emotions, risks = [], []
    for name, rows in valid.items():
        emotion, risk = text_logits(network, rows.ids)
        if rows.emotion.any():
            reached = emotion_figures(emotion, rows.emotion, priors[name])
            figures[f"{name}/uar"], figures[f"{name}/macro_f1"] = reached["uar"], reached["macro_f1"]
            emotions += [reached["uar"], reached["macro_f1"]] * (2 if name == "goemotions" else 1)
        for head, reached in risk_figures(risk, rows.risk).items():
            figures[f"{name}/{head}"] = reached["auroc"]
            risks.append(reached["auroc"])
    return {"score": (float(np.mean(emotions)) + float(np.mean(risks))) / 2, **figures}
