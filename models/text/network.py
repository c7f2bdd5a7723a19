"""A text network: emotion and risk heads on a sentence encoder, fine-tuned together.

One hidden layer is shared by both heads, because each corpus teaches only one of them. The encoder may be either of the
two that are used here: the multilingual one or the English one.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from models.labels import EMOTIONS, RISKS

_HIDDEN_WIDTH = 256


class LineEncoder(Protocol):
    """A module that turns token ids of a batch of lines into vectors (lines, `width`)."""

    width: int

    def __call__(self, sentences: Sequence[Sequence[int]]) -> torch.Tensor:
        """Row i does not depend on the other rows."""
        ...


class TextNetwork(nn.Module):
    """Token ids of a batch of lines to logits: seven emotions, then three risks.

    Emotion logits are evidence apart from how common a label is: their softmax is the posterior under equal priors.
    """

    def __init__(self, encoder: LineEncoder, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(encoder.width, _HIDDEN_WIDTH)
        self.emotion = nn.Linear(_HIDDEN_WIDTH, len(EMOTIONS))
        self.risk = nn.Linear(_HIDDEN_WIDTH, len(RISKS))

    def forward(self, sentences: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns emotion (sentences, 7) and risk (sentences, 3) logits."""
        return self.heads(self.encoder(sentences))

    def heads(self, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """vectors: (sentences, width), of any length. Returns logits as `forward` does."""
        scaled = functional.normalize(vectors, dim=1) * math.sqrt(vectors.shape[1])
        hidden = functional.relu(self.hidden(self.dropout(scaled)))
        hidden = self.dropout(hidden)
        return self.emotion(hidden), self.risk(hidden)
