"""A text network: emotion and risk heads on a sentence encoder.

Encoder and heads are fine-tuned together. One hidden layer is shared by both heads, because each corpus labels only one
of them. What is hateful or a surprise differs from corpus to corpus all the same. So beside the heads, which learn from
all corpora, each corpus may have a head of its own, whose logits are added to theirs. A corpus's habits then stay out
of the shared heads, and the corpus can be measured on its own terms. The encoder is the multilingual or the English
one, or the recurrent baseline's.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from models.labels import EMOTIONS, RISKS

_HIDDEN_WIDTH = 256
_OUTPUTS = len(EMOTIONS) + len(RISKS)


class LineEncoder(Protocol):
    """A module that encodes lines of token ids: (lines, `width`)."""

    width: int

    def __call__(self, sentences: Sequence[Sequence[int]]) -> torch.Tensor:
        """Row i does not depend on the other rows."""
        ...


class TextNetwork(nn.Module):
    """Lines of token ids to logits: seven emotions, three risks.

    Emotion logits are evidence apart from how common a label is: their softmax is the posterior under equal priors.
    """

    def __init__(self, encoder: LineEncoder, dropout: float = 0.0, corpora: Sequence[str] = ()) -> None:
        """corpora: those with a head of their own, at first zero."""
        super().__init__()
        self.encoder = encoder
        self.corpora = tuple(corpora)
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(encoder.width, _HIDDEN_WIDTH)
        self.emotion = nn.Linear(_HIDDEN_WIDTH, len(EMOTIONS))
        self.risk = nn.Linear(_HIDDEN_WIDTH, len(RISKS))
        if corpora:
            self.terms = nn.Linear(_HIDDEN_WIDTH, len(corpora) * _OUTPUTS)
            nn.init.zeros_(self.terms.weight)
            nn.init.zeros_(self.terms.bias)

    def forward(
        self, sentences: Sequence[Sequence[int]], corpus: str | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Emotion (sentences, 7) and risk (sentences, 3) logits.

        With the head of `corpus`, if it has one.
        """
        _, logits = self.service_and_corpus_logits(sentences, corpus)
        return logits[:, : len(EMOTIONS)], logits[:, len(EMOTIONS) :]

    def service_and_corpus_logits(
        self, sentences: Sequence[Sequence[int]], corpus: str | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(sentences, 10) logits without and with the corpus head.

        Both are the same where the corpus has none.
        """
        hidden = self._hidden(self.encoder(sentences))
        logits = self._logits(hidden)
        if corpus not in self.corpora:
            return logits, logits
        return logits, logits + self._added(hidden)[:, self.corpora.index(corpus)]

    def heads(self, vectors: torch.Tensor) -> torch.Tensor:
        """(sentences, 10) logits of sentence vectors: emotions, then risks.

        vectors: (sentences, width), of any length.
        """
        return self._logits(self._hidden(vectors))

    def training_logits(
        self, sentences: Sequence[Sequence[int]], corpus: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(sentences, 10) logits without and with corpus heads, for training.

        corpus: (sentences,) int64, each sentence's, as index of `corpora`. Both are float32.
        """
        hidden = self._hidden(self.encoder(sentences))
        shared = self._logits(hidden).float()
        rows = torch.arange(len(corpus), device=corpus.device)
        return shared, shared + self._added(hidden)[rows, corpus].float()

    def states(self, sentences: Sequence[Sequence[int]]) -> torch.Tensor:
        """(sentences, 256) of the hidden layer, which all heads read."""
        return self._hidden(self.encoder(sentences))

    def logits_of(self, states: torch.Tensor) -> torch.Tensor:
        """(sentences, 10) logits of the shared heads. states: from `states`."""
        return self._logits(states)

    def corpus_head(self, corpus: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The weight (10, 256) and bias (10,) of a corpus's head.

        They are the network's own: what is written into them counts. Raises ValueError for a corpus without a head.
        """
        index = self.corpora.index(corpus)
        weight = self.terms.weight.data.view(len(self.corpora), _OUTPUTS, -1)
        return weight[index], self.terms.bias.data.view(len(self.corpora), _OUTPUTS)[index]

    def _hidden(self, vectors: torch.Tensor) -> torch.Tensor:
        scaled = functional.normalize(vectors, dim=1) * math.sqrt(vectors.shape[1])
        hidden: torch.Tensor = self.dropout(functional.relu(self.hidden(self.dropout(scaled))))
        return hidden

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.emotion(hidden), self.risk(hidden)], dim=1)

    def _added(self, hidden: torch.Tensor) -> torch.Tensor:
        """(sentences, corpora, 10) logits that corpus heads add."""
        added: torch.Tensor = self.terms(hidden)
        return added.view(len(hidden), len(self.corpora), _OUTPUTS)
