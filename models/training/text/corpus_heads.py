"""Fits the corpora's own heads last, with everything else as it is.

Problem: while a network learns lines written for the project, the corpora's heads lag behind the states that they read.
Rule: states of a corpus's lines are computed once, and its head goes on by the same losses from where it was, held near
it by a ridge. What the service asks does not change. Left out: corpora without a head, and the project's own lines,
whose labels are what the service asks for.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from models.data.corpora.text import TextSample
from models.labels import EMOTIONS
from models.text.network import TextNetwork
from models.text.reader import Reader
from models.training.text.batches import PROJECT_LINES, Rows, TextBatch, rows_of
from models.training.text.loss import emotion_loss, risk_loss

_MOST_ROWS = 9_000  # of a corpus
_EPOCHS = 20
_BATCH_ROWS, _STATES_PER_CALL = 128, 64
_LEARNING_RATE = 3e-3
_RIDGE = 1e-3
_DROPOUT = 0.1


def fit_corpus_heads(reader: Reader, learnt: Mapping[str, Sequence[TextSample]], seed: int) -> None:
    """Fits the heads in place.

    learnt: lines by corpus.
    """
    network = reader.network.eval()
    rng = np.random.default_rng(seed)
    for corpus in network.corpora:
        if corpus == PROJECT_LINES or not learnt.get(corpus):
            continue
        chosen = rng.permutation(len(learnt[corpus]))[:_MOST_ROWS]
        rows = rows_of(corpus, [learnt[corpus][row] for row in chosen], reader.tokenizer)
        _fit_head(network, corpus, rows, seed)


def _fit_head(network: TextNetwork, corpus: str, rows: Rows, seed: int) -> None:
    states, shared = _states(network, rows.lines)
    weight, bias = network.corpus_head(corpus)
    start = weight.clone()
    parameters = [nn.Parameter(weight.clone()), nn.Parameter(bias.clone())]
    optimiser = torch.optim.Adam(parameters, lr=_LEARNING_RATE)
    emotion, risk = torch.from_numpy(rows.emotion), torch.from_numpy(np.nan_to_num(rows.risk))
    taught = torch.from_numpy((~np.isnan(rows.risk)).astype(np.float32))
    prior = torch.from_numpy(rows.log_prior)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(_EPOCHS):
        for group in optimiser.param_groups:
            group["lr"] = _LEARNING_RATE * (1 - epoch / _EPOCHS)
        for chosen in torch.split(torch.randperm(len(states), generator=generator), _BATCH_ROWS):
            kept = (torch.rand(len(chosen), states.shape[1], generator=generator) > _DROPOUT) / (1 - _DROPOUT)
            logits = shared[chosen] + nn.functional.linear(states[chosen] * kept, *parameters)
            alone = torch.full((len(chosen),), -1)
            batch = TextBatch(
                [], alone, emotion[chosen], prior.expand(len(chosen), -1), risk[chosen], taught[chosen], alone
            )
            loss = emotion_loss(logits[:, : len(EMOTIONS)], batch) + risk_loss(logits[:, len(EMOTIONS) :], batch)
            loss = loss + _RIDGE * (parameters[0] - start).square().sum()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    weight.copy_(parameters[0].detach())
    bias.copy_(parameters[1].detach())


@torch.no_grad()
def _states(network: TextNetwork, lines: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """(lines, 256) states of the hidden layer, and (lines, 10) shared logits."""
    order = sorted(range(len(lines)), key=lambda row: len(lines[row]))
    calls = [order[start : start + _STATES_PER_CALL] for start in range(0, len(order), _STATES_PER_CALL)]
    read = torch.cat([network.states([lines[row] for row in call]) for call in calls])
    states = read[torch.tensor(order).argsort()]
    return states, network.logits_of(states)
