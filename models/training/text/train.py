"""Joint training of the text networks on partly labelled corpora.

Each corpus labels only some of the heads.

The networks share heads, loss and data: the multilingual one learns from every corpus, the English one from those in
English, and so does the recurrent one, which starts from nothing to show what the others' encoders bring.
Left out: the encoders' word tables, which stay as they are.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.data.corpora.text import CORPORA, TextSample, read_corpus, without_repeats
from models.data.own_lines import own_samples
from models.labels import EMOTIONS
from models.metrics.text import emotion_figures, risk_figures, text_logits
from models.precision import mixed_precision
from models.text.network import TextNetwork
from models.text.reader import Reader
from models.training.loop.fit import FitConfig, FitResult, Metrics, fit
from models.training.part.folder import PartFolder
from models.training.text.augment import misspelt, varied
from models.training.text.batches import PROJECT_LINES, Floats, Rows, TextMix, rows_of
from models.training.text.corpus_heads import fit_corpus_heads
from models.training.text.loss import joint_loss
from models.training.text.recipes import Recipe, TextTraining

log = logging.getLogger(__name__)


_VALID_ROWS = 1200  # most rows of a corpus that an epoch is judged by: all of them take half as long as the epoch


def read_training_data(data: Path) -> tuple[dict[str, list[TextSample]], dict[str, list[TextSample]], dict[str, int]]:
    """Training and validation samples of every corpus.

    Last, by corpus, how many training rows repeat a validation text.
    """
    valid = {name: read_corpus(name, data, "valid") for name in CORPORA}
    everything = [sample for samples in valid.values() for sample in samples]
    train, repeats = {}, {}
    for name in CORPORA:
        train[name], repeats[name] = without_repeats(read_corpus(name, data, "train"), everything)
    train[PROJECT_LINES], valid[PROJECT_LINES] = own_samples(held_out=False), own_samples(held_out=True)
    return train, valid, repeats


def train_text(
    name: str, data_dir: Path, folder: PartFolder, training: TextTraining, progress: Callable[[int, Metrics], None]
) -> Reader:
    """Trains a network of RECIPES, with new heads, on public corpora.

    name: of the network. data_dir: holds `text/`.

    A killed run goes on from the network's checkpoint in `folder`, and a finished one is read from it.
    Raises CorpusError for missing or malformed corpora, and as `fit` does.
    """
    recipe, seed = training.recipe(name), training.seed
    train, valid, repeats = read_training_data(data_dir)
    log.info("training rows that repeat a validation text, left out: %s", repeats)
    spoken = {corpus: _in(recipe.copies, train[corpus]) for corpus in recipe.draws}
    torch.manual_seed(seed)
    tokenizer, encoder = recipe.start([sample.text for samples in spoken.values() for sample in samples])
    judged = {corpus: _some(_in(recipe.copies, valid[corpus]), seed) for corpus in recipe.draws}
    reader = Reader(TextNetwork(encoder, recipe.dropout, corpora=list(recipe.draws)), tokenizer)
    before = 0
    for number, stage in enumerate(recipe.stages):
        learnt = {corpus: _learnt(corpus, spoken[corpus], stage, seed) for corpus in stage.draws}
        checkpoint = folder.checkpoint(f"{name}/finish_{number}" if number else name)
        report = _later(progress, before)
        fit_text(reader, learnt, judged, stage, seed, checkpoint, report)
        before += stage.epochs
    fit_corpus_heads(reader, {corpus: _drawn(corpus, spoken[corpus], recipe) for corpus in spoken}, seed)
    return reader


def _drawn(corpus: str, samples: list[TextSample], recipe: Recipe) -> list[TextSample]:
    """As many as the training drew."""
    return samples[: sum(stage.draws[corpus] * stage.epochs for stage in recipe.stages)]


def _learnt(corpus: str, samples: list[TextSample], stage: Recipe, seed: int) -> list[TextSample]:
    if corpus == PROJECT_LINES:
        return [line for lang, copies in stage.copies.items() for line in varied(_in([lang], samples), copies, seed)]
    return misspelt(samples, stage.misspelt, seed)


def _later(report: Callable[[int, Metrics], None], epochs: int) -> Callable[[int, Metrics], None]:
    return lambda epoch, metrics: report(epochs + epoch, metrics)


def fit_text(
    reader: Reader,
    learnt: Mapping[str, Sequence[TextSample]],
    judged: Mapping[str, Sequence[TextSample]],
    recipe: Recipe,
    seed: int,
    checkpoint: Path,
    progress: Callable[[int, Metrics], None],
) -> FitResult:
    """Trains the reader's network in place on lines by corpus.

    learnt: lines that it learns from. judged: lines that the best epoch is chosen by.
    """
    taught = {corpus: rows_of(corpus, samples, reader.tokenizer) for corpus, samples in learnt.items()}
    held_out = {corpus: rows_of(corpus, samples, reader.tokenizer) for corpus, samples in judged.items()}
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
    return fit(reader.network, mix.batches, joint_loss, lambda net: score(net, held_out, priors), config, progress)


def _in(langs: Collection[str], samples: Sequence[TextSample]) -> list[TextSample]:
    return [sample for sample in samples if sample.lang in langs]


def _some(samples: list[TextSample], seed: int) -> list[TextSample]:
    """As many as an epoch is judged by, drawn at random."""
    chosen = np.random.default_rng(seed).permutation(len(samples))[:_VALID_ROWS]
    return [samples[index] for index in np.sort(chosen)]


@torch.no_grad()
def score(network: nn.Module, valid: Mapping[str, Rows], priors: Mapping[str, Floats]) -> Metrics:
    """Validation figures, and `score`, their mean, which chooses the epoch.

    The lines written for this project count half, since they are nearest to what is asked of the service. Emotion and
    risk count half each, or whichever of them is labelled does; and a corpus counts twice: by the heads, as
    the service asks, and on its own terms. Raises ValueError for rows that measure nothing.
    """
    if not isinstance(network, TextNetwork):
        raise TypeError(f"wanted a TextNetwork, got {type(network).__name__}")
    figures: Metrics = {}
    by_corpus: list[tuple[bool, list[float], list[float]]] = []
    for name, rows in valid.items():
        emotions, risks = [], []
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
        by_corpus.append((name == PROJECT_LINES, emotions, risks))
    if not any(emotions + risks for _, emotions, risks in by_corpus):
        raise ValueError("no validation line has an emotion, and no risk has lines with it and without")
    return {"score": _score(by_corpus), **figures}


def _score(by_corpus: Sequence[tuple[bool, list[float], list[float]]]) -> float:
    """The mean of public corpora's and own lines' means."""
    means = []
    for of_project in (False, True):
        chosen = [(emotions, risks) for own, emotions, risks in by_corpus if own == of_project]
        kinds = ([x for emotions, _ in chosen for x in emotions], [x for _, risks in chosen for x in risks])
        if any(kinds):
            means.append(np.mean([np.mean(reached) for reached in kinds if reached]))
    return float(np.mean(means))
