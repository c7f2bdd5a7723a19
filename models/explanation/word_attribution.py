"""Word attribution: integrated gradients over a line's token embeddings.

Rule (Sundararajan et al., 2017): a token's evidence is the gradient of the line's logit, integrated along the straight
path from a baseline to the token's embedding. So the evidence of all tokens adds up to the line's logit less the
baseline's, but for the error of integration, which is returned. The baseline is the same line with every token's
embedding the mean of the word table. The networks read that as neutral and without risk; a line of unknown tokens they
read as sad and in distress. Marks and the lines before have no characters of the line, and stay as they are. Where
several readings of a line answer together, by two networks or of its sentences, their tokens' evidence is weighted as
their logits are; how the weights of a soft maximum would change is left out.

Tokens are joined to words: whatever is written in one piece between spaces and punctuation, and in scripts without
spaces the smallest pieces that no token straddles. Left out: interactions of words, which the path shares out among
them.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from models.encoder import Encoder
from models.labels import EMOTIONS, RISKS
from models.text.encoder import ChatLine, NetworkInput
from models.text.network import TextNetwork

TOLERANCE = 0.03
"""Of adding up, in logits, or as a share of a difference above 1.

The number of steps is doubled until it is met.
"""

_STEPS = (32, 64, 128)
_LEAST_SHARE = 0.01  # of a reading in the line's logit; what a smaller one says is not attributed
_NO_SPACES = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # Thai, Lao, kana, Chinese characters
_ATOM = re.compile(rf"[{_NO_SPACES}]|[^\W{_NO_SPACES}]+(?:['’][^\W{_NO_SPACES}]+)*|[^\w\s]+")


@runtime_checkable
class Embedding(Protocol):
    """A line encoder that exposes its token embeddings (`models.text.network.LineEncoder`)."""

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        """(tokens,) ids to (tokens, any), on the encoder's device."""
        ...

    def mean_embedding(self) -> torch.Tensor:
        """(any,), the mean of all tokens' embeddings; may take a second."""
        ...

    def __call__(self, sentences: Sequence[Sequence[int]], embedded: torch.Tensor | None = None) -> torch.Tensor:
        """Encodes lines: (lines, width).

        embedded: (tokens, any) in place of the tokens' own embeddings, one line after another.
        """
        ...


@dataclass(frozen=True, slots=True)
class WordAttribution:
    """The evidence of one word, in logits.

    start, end: characters [start, end) of the line.
    """

    start: int
    end: int
    evidence: float


@dataclass(frozen=True, slots=True)
class LineAttribution:
    """The attribution of a line's logit to its words, in order.

    The words' evidence adds up to `evidence` less `baseline`, but for `error`. evidence, baseline: the logit of the
    line, and of its baseline.
    """

    words: tuple[WordAttribution, ...]
    evidence: float
    baseline: float
    error: float


def direction(target: str) -> torch.Tensor:
    """The direction of a target in logits: (10,) weights.

    An emotion's is above the mean emotion's; a risk's is its own logit. Raises ValueError for another target.
    """
    weights = torch.zeros(len(EMOTIONS) + len(RISKS))
    if target in EMOTIONS:
        weights[: len(EMOTIONS)] = -1 / len(EMOTIONS)
        weights[EMOTIONS.index(target)] += 1
    elif target in RISKS:
        weights[len(EMOTIONS) + RISKS.index(target)] = 1
    else:
        raise ValueError(f"{target!r} is neither of {', '.join(EMOTIONS)} nor of {', '.join(RISKS)}")
    return weights


def attribute_line(encoder: Encoder, line: str | ChatLine, target: str) -> LineAttribution:
    """Attributes a line's logit for a target to its words.

    target: an emotion or a risk, by name. Raises ValueError for another.

    Raises TypeError where a network stands on an encoder that is no `Embedding`.
    """
    text, toward = line.text if isinstance(line, ChatLine) else line, direction(target)
    network_inputs = encoder.network_inputs(line)
    spans = word_spans(text, [span for network_input in network_inputs for span in network_input.spans])
    words = np.zeros(len(spans))
    evidence = baseline = 0.0
    for network_input in network_inputs:
        share = float((toward.abs() * network_input.share).sum() / toward.abs().sum())
        if share < _LEAST_SHARE:
            own = share * _own_logit(network_input, toward)
            evidence, baseline = evidence + own, baseline + own
            continue
        tokens, ends = _token_evidence(network_input, toward)
        evidence, baseline = evidence + share * ends[1], baseline + share * ends[0]
        for word, of_token in zip(_words_of(network_input.spans, spans), tokens, strict=True):
            if word is not None:
                words[word] += share * of_token
    attributions = tuple(WordAttribution(*span, float(of_word)) for span, of_word in zip(spans, words, strict=True))
    return LineAttribution(attributions, evidence, baseline, float(words.sum()) - (evidence - baseline))


def word_spans(text: str, tokens: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The words of a line, as spans of characters.

    Each token, a span of characters, lies in one of them.
    """
    atoms = [atom.span() for atom in _ATOM.finditer(text)]
    starts = [start for start, _ in atoms]
    joined = [False] * len(atoms)  # with the one before
    for start, end in tokens:
        first = max(0, bisect_right(starts, start) - 1)
        touching = [i for i in range(first, bisect_right(starts, end - 1)) if atoms[i][1] > start]
        for i in touching[1:]:
            joined[i] = True
    words: list[tuple[int, int]] = []
    for (start, end), with_last in zip(atoms, joined, strict=True):
        if with_last:
            words[-1] = (words[-1][0], end)
        else:
            words.append((start, end))
    return words


def _words_of(tokens: Sequence[tuple[int, int]], words: Sequence[tuple[int, int]]) -> list[int | None]:
    """The index of each token's word; None without words.

    A token that is only space counts to the word after it, or to the last.
    """
    ends = [end for _, end in words]
    return [min(bisect_right(ends, start), len(words) - 1) if words else None for start, _ in tokens]


def _token_evidence(network_input: NetworkInput, toward: torch.Tensor) -> tuple[list[float], tuple[float, float]]:
    """The evidence of a line's own tokens, and two logits.

    The logits are of the baseline and of the line.
    """
    encoder = _embedding(network_input.network)
    line = encoder.embed(torch.tensor(network_input.ids, device=network_input.network.hidden.weight.device))
    baseline = line.clone()
    own = [i for i, (start, end) in enumerate(network_input.spans) if end > start]
    baseline[own] = _mean_embedding(network_input.network)
    with torch.no_grad():
        ends = _logit(network_input, torch.stack([baseline, line]), toward).tolist()
    evidence = torch.zeros(len(network_input.ids), dtype=torch.float64)
    for steps in _STEPS:
        evidence = _path(network_input, baseline, line, toward, steps)
        if abs(float(evidence.sum()) - (ends[1] - ends[0])) <= TOLERANCE * max(1.0, abs(ends[1] - ends[0])):
            break
    return evidence[: len(network_input.spans)].tolist(), (ends[0], ends[1])


@torch.no_grad()
def _own_logit(network_input: NetworkInput, toward: torch.Tensor) -> float:
    """The logit of a reading as it is."""
    device = network_input.network.hidden.weight.device
    line = _embedding(network_input.network).embed(torch.tensor(network_input.ids, device=device))
    return float(_logit(network_input, line[None], toward))


@cache
def _mean_embedding(network: TextNetwork) -> torch.Tensor:
    return _embedding(network).mean_embedding()


def _embedding(network: TextNetwork) -> Embedding:
    if not isinstance(network.encoder, Embedding):
        raise TypeError(
            f"a {type(network.encoder).__name__} exposes no token embeddings, so words cannot be attributed"
        )
    return network.encoder


def _path(
    network_input: NetworkInput, baseline: torch.Tensor, line: torch.Tensor, toward: torch.Tensor, steps: int
) -> torch.Tensor:
    """Integrates gradients along the path: (tokens,) float64.

    Gauss and Legendre's rule, with so many steps.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    way, weight = (torch.from_numpy(each).to(line)[:, None, None] for each in ((nodes + 1) / 2, weights / 2))
    points = (baseline + way * (line - baseline)).requires_grad_()
    (gradient,) = torch.autograd.grad(_logit(network_input, points, toward).sum(), points)
    mean = (weight * gradient).sum(dim=0)
    return ((line - baseline) * mean).sum(dim=1).detach().double().cpu()


def _logit(network_input: NetworkInput, points: torch.Tensor, toward: torch.Tensor) -> torch.Tensor:
    """The logit in a direction, (rows,).

    points: (rows, tokens, width) embeddings of the line.
    """
    vectors = _embedding(network_input.network)([network_input.ids] * len(points), points.flatten(0, 1))
    logits = network_input.network.heads(vectors)
    return logits @ toward.to(logits)
