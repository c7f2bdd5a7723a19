"""Joint training of the text networks on partly labelled corpora.

Each corpus labels only some of the heads.

The networks share heads, losses and data: the multilingual one learns from every corpus, the English one from those in
English, and so does the recurrent one, which starts from nothing to show what the others' encoders bring. Emotion is a
cross-entropy under the corpus's own prior, and each label is also taught for itself, for rows that hold several. Risk
is a masked binary loss a head.

Left out: the encoders' word tables, which stay as they are.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from models.data.corpora.text import CORPORA, TextSample, read_corpus, without_repeats
from models.data.project_lines import project_lines
from models.labels import EMOTIONS
from models.metrics.text import emotion_figures, risk_figures, text_logits
from models.precision import mixed_precision
from models.text.minilm import load_minilm, minilm_vocabulary
from models.text.network import LineEncoder, TextNetwork
from models.text.recurrent import start_recurrent
from models.text.sentence_encoder import SentenceEncoder
from models.text.tokens import Tokenizer
from models.text.word_pieces import WordPieceTokenizer
from models.training.loop.fit import FitConfig, FitResult, Metrics, fit
from models.training.part.folder import PartFolder
from models.training.text.augment import misspelt
from models.training.text.batches import ABSENT, Floats, LineTokenizer, Rows, TextBatch, TextMix, rows_of

log = logging.getLogger(__name__)

PROJECT_LINES = "own"
"""The corpus of lines written for this project."""

_BINARY_SHARE = 2.0  # weight of the labels taught for themselves against the cross-entropy
_VALID_ROWS = 1200  # most rows of a corpus that an epoch is judged by: all of them take half as long as the epoch


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one of the networks is trained.

    languages: of the lines it learns from. draws: rows of each corpus in one epoch; a corpus that has more takes turns.
    start: tokenizer and encoder to begin with, given the lines it will learn from. misspelt: share of these lines that
    are learnt from with typos and in another case.
    """

    languages: tuple[str, ...]
    draws: Mapping[str, int]
    start: Callable[[Sequence[str]], tuple[LineTokenizer, LineEncoder]]
    epochs: int
    batch_rows: int
    learning_rate: float
    dropout: float
    misspelt: float = 0.0


RECIPES = {
    "english": Recipe(
        languages=("en",),
        draws={
            "goemotions": 10_800,
            "meld": 2_250,
            "tweeteval-emotion": 1_000,
            "isear": 1_000,
            "dreaddit": 640,
            "sdcnl": 350,
            "davidson": 1_000,
            "tweeteval-hate": 1_600,
            "tweeteval-offensive": 3_000,
            PROJECT_LINES: 500,
        },
        start=lambda lines: (WordPieceTokenizer(minilm_vocabulary()), load_minilm()),
        epochs=12,
        batch_rows=64,
        learning_rate=1.5e-4,
        dropout=0.1,
    ),
    "multilingual": Recipe(
        languages=("en", "zh"),
        draws={
            "goemotions": 10_000,
            "meld": 2_000,
            "tweeteval-emotion": 1_600,
            "isear": 2_000,
            "smp2020": 4_500,
            "dreaddit": 1_200,
            "sdcnl": 800,
            "sos1k": 900,
            "davidson": 2_000,
            "tweeteval-hate": 2_500,
            "tweeteval-offensive": 3_500,
            "cold": 6_500,
            PROJECT_LINES: 700,
        },
        start=lambda lines: (Tokenizer(), SentenceEncoder.load()),
        epochs=8,
        batch_rows=128,
        learning_rate=4e-4,
        dropout=0.3,
    ),
    "recurrent": Recipe(
        languages=("en",),
        draws={
            "goemotions": 21_600,
            "meld": 4_500,
            "tweeteval-emotion": 1_600,
            "isear": 3_400,
            "dreaddit": 1_400,
            "sdcnl": 750,
            "davidson": 3_000,
            "tweeteval-hate": 3_500,
            "tweeteval-offensive": 5_000,
            PROJECT_LINES: 250,
        },
        start=start_recurrent,
        epochs=6,
        batch_rows=128,
        learning_rate=2e-3,
        dropout=0.3,
        misspelt=0.1,
    ),
}
"""By the names that the networks have in the model folder."""

SHIPPED = ("english", "multilingual")
"""Those that the text part of a model is made of."""


@dataclass(frozen=True, slots=True)
class TextTraining:
    """What of the recipes may be changed.

    epochs: of every network, None for each one's own. draws_share: of the rows of each corpus in an epoch.
    """

    epochs: int | None = None
    draws_share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for a share that leaves nothing."""
        if not 0 < self.draws_share <= 1:
            raise ValueError(f"draws_share must be above 0 and at most 1 (is {self.draws_share})")

    def recipe(self, name: str) -> Recipe:
        """That of a network, as changed."""
        usual = RECIPES[name]
        draws = {corpus: max(1, round(rows * self.draws_share)) for corpus, rows in usual.draws.items()}
        return replace(usual, draws=draws, epochs=self.epochs or usual.epochs)


def read_training_data(data: Path) -> tuple[dict[str, list[TextSample]], dict[str, list[TextSample]], dict[str, int]]:
    """Training and validation samples of every corpus.

    Last, by corpus, how many training rows repeat a validation text.
    """
    valid = {name: read_corpus(name, data, "valid") for name in CORPORA}
    everything = [sample for samples in valid.values() for sample in samples]
    train, repeats = {}, {}
    for name in CORPORA:
        train[name], repeats[name] = without_repeats(read_corpus(name, data, "train"), everything)
    train[PROJECT_LINES], valid[PROJECT_LINES] = project_lines(held_out=False), project_lines(held_out=True)
    return train, valid, repeats


def joint_loss(network: nn.Module, batch: TextBatch) -> torch.Tensor:
    """The loss of all heads, a scalar.

    Of these it is the mean:
    """
    if not isinstance(network, TextNetwork):
        raise TypeError(f"wanted a TextNetwork, got {type(network).__name__}")
    of_heads: Sequence[torch.Tensor] = (
        network.training_logits(batch.sentences, batch.corpus)
        if network.corpora
        else [torch.cat(network(batch.sentences), dim=1).float()]
    )
    return torch.stack(
        [
            emotion_loss(logits[:, : len(EMOTIONS)], batch) + risk_loss(logits[:, len(EMOTIONS) :], batch)
            for logits in of_heads
        ]
    ).mean()


def emotion_loss(logits: torch.Tensor, batch: TextBatch) -> torch.Tensor:
    """Adjusted cross-entropy and binary losses of emotion.

    logits: (rows, 7). Averaged over the rows that are labelled, 0 when none is.
    """
    labelled = batch.emotion.sum(dim=1) > 0
    if not labelled.any():
        return logits.sum() * 0.0
    target = batch.emotion[labelled]
    adjusted = logits[labelled] + batch.log_prior[labelled]
    exclusive = -(target * functional.log_softmax(adjusted, dim=1)).sum(dim=1).mean()
    used = (batch.log_prior[labelled] > ABSENT).float()
    prior = batch.log_prior[labelled].clamp_min(-10.0)
    log_odds = prior - torch.log1p(-prior.exp().clamp_max(0.99))
    each = functional.binary_cross_entropy_with_logits(
        logits[labelled] + log_odds, (target > 0).float(), weight=used, reduction="sum"
    )
    return exclusive + each / used.sum() * _BINARY_SHARE


def risk_loss(logits: torch.Tensor, batch: TextBatch) -> torch.Tensor:
    """logits: (rows, 3). Heads weigh the same, however few rows teach them."""
    each = functional.binary_cross_entropy_with_logits(logits, batch.risk, reduction="none")
    return (each * batch.risk_weight).mean()


def train_text(
    name: str, data_dir: Path, folder: PartFolder, training: TextTraining, progress: Callable[[int, Metrics], None]
) -> TextNetwork:
    """Trains a network of RECIPES, with new heads, on public corpora.

    name: of the network. data_dir: holds `text/`.

    A killed run goes on from the network's checkpoint in `folder`, and a finished one is read from it.
    Raises CorpusError for missing or malformed corpora, and as `fit` does.
    """
    recipe, seed = training.recipe(name), training.seed
    train, valid, repeats = read_training_data(data_dir)
    log.info("training rows that repeat a validation text, left out: %s", repeats)
    learnt = {corpus: misspelt(_spoken(train[corpus], recipe), recipe.misspelt, seed) for corpus in recipe.draws}
    torch.manual_seed(seed)
    tokenizer, encoder = recipe.start([sample.text for samples in learnt.values() for sample in samples])
    judged = {corpus: _some(_spoken(valid[corpus], recipe), seed) for corpus in recipe.draws}
    network = TextNetwork(encoder, recipe.dropout, corpora=list(recipe.draws))
    fit_text(network, tokenizer, learnt, judged, recipe, seed, folder.checkpoint(name), progress)
    return network


def fit_text(
    network: TextNetwork,
    tokenizer: LineTokenizer,
    learnt: Mapping[str, Sequence[TextSample]],
    judged: Mapping[str, Sequence[TextSample]],
    recipe: Recipe,
    seed: int,
    checkpoint: Path,
    progress: Callable[[int, Metrics], None],
) -> FitResult:
    """Trains the network in place on lines by corpus.

    learnt: lines that it learns from. judged: lines that the best epoch is chosen by.
    """
    taught = {corpus: rows_of(corpus, samples, tokenizer) for corpus, samples in learnt.items()}
    held_out = {corpus: rows_of(corpus, samples, tokenizer) for corpus, samples in judged.items()}
    priors = {corpus: rows.log_prior for corpus, rows in taught.items()}
    mix = TextMix(taught, recipe.draws, recipe.batch_rows, seed)
    config = FitConfig(
        epochs=recipe.epochs,
        steps_per_epoch=mix.steps_per_epoch,
        metric="score",
        learning_rate=recipe.learning_rate,
        weight_decay=0.01,
        ema_decay=0.998,
        seed=seed,
        bf16=True,
        checkpoint=checkpoint,
    )
    return fit(network, mix.batches, joint_loss, lambda net: score(net, held_out, priors), config, progress)


def _spoken(samples: list[TextSample], recipe: Recipe) -> list[TextSample]:
    return [sample for sample in samples if sample.lang in recipe.languages]


def _some(samples: list[TextSample], seed: int) -> list[TextSample]:
    """As many as an epoch is judged by, drawn at random."""
    chosen = np.random.default_rng(seed).permutation(len(samples))[:_VALID_ROWS]
    return [samples[index] for index in np.sort(chosen)]


@torch.no_grad()
def score(network: nn.Module, valid: Mapping[str, Rows], priors: Mapping[str, Floats]) -> Metrics:
    """Validation figures, and `score`, their mean, which chooses the epoch.

    Emotion and risk count half each, or whichever of them is labelled does; and a corpus counts twice: by the heads, as
    the service asks, and on its own terms. Raises ValueError for rows that measure nothing.
    """
    if not isinstance(network, TextNetwork):
        raise TypeError(f"wanted a TextNetwork, got {type(network).__name__}")
    figures: Metrics = {}
    emotions, risks = [], []
    for name, rows in valid.items():
        with mixed_precision(next(network.parameters()).device):
            served, own = text_logits(network, rows.lines, name)
        for logits, of in ((served, name), (own, f"{name}/own")):
            emotion, risk = logits[:, : len(EMOTIONS)], logits[:, len(EMOTIONS) :]
            if rows.emotion.any():
                reached = emotion_figures(emotion, rows.emotion, priors[name])
                figures[f"{of}/uar"], figures[f"{of}/macro_f1"] = reached["uar"], reached["macro_f1"]
                emotions += [reached["uar"], reached["macro_f1"]]
            for head, reached in risk_figures(risk, rows.risk).items():
                figures[f"{of}/{head}"] = reached["auroc"]
                risks.append(reached["auroc"])
    if not emotions + risks:
        raise ValueError("no validation line has an emotion, and no risk has lines with it and without")
    return {"score": float(np.mean([np.mean(reached) for reached in (emotions, risks) if reached])), **figures}
