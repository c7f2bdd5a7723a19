"""The text network: emotion and risk heads on the multilingual sentence encoder, fine-tuned together.

One hidden layer is shared by both heads, because each corpus teaches only one of them. Weights on disk hold everything
that is trained, in 16 bits; the embedding table is not among them and comes with the sentence encoder.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from models.labels import EMOTIONS, RISKS
from models.text.sentence_encoder import WIDTH, SentenceEncoder, SentenceEncoderError

_HIDDEN_WIDTH = 256


class TextNetwork(nn.Module):
    """Token ids of a batch of lines to logits: seven emotions, then three risks.

    Emotion logits are evidence apart from how common a label is: their softmax is the posterior under equal priors.
    """

    def __init__(self, encoder: SentenceEncoder, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(WIDTH, _HIDDEN_WIDTH)
        self.emotion = nn.Linear(_HIDDEN_WIDTH, len(EMOTIONS))
        self.risk = nn.Linear(_HIDDEN_WIDTH, len(RISKS))

    def forward(self, sentences: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns emotion (sentences, 7) and risk (sentences, 3) logits."""
        return self.heads(self.encoder(sentences))

    def heads(self, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """vectors: (sentences, 512) of unit length. Returns logits as `forward` does."""
        hidden = functional.relu(self.hidden(self.dropout(vectors * math.sqrt(WIDTH))))
        hidden = self.dropout(hidden)
        return self.emotion(hidden), self.risk(hidden)


def load_network(weights: Path, sentence_encoder: Path | None = None) -> TextNetwork:
    """Reads a network that `save_network` wrote, in evaluation mode, on the CPU, float32.

    sentence_encoder: a user's own file for the embedding table, in place of the package's.
    Raises FileNotFoundError or SentenceEncoderError naming the file.
    """
    network = TextNetwork(SentenceEncoder.load(sentence_encoder))
    try:
        network.load_state_dict(load_file(weights))
    except (RuntimeError, SafetensorError) as wrong:
        raise SentenceEncoderError(f"{weights}: not the weights of a text network: {wrong}") from wrong
    return network.eval()


def save_network(network: TextNetwork, weights: Path) -> None:
    """Writes what is trained, in 16 bits (about 7 MB)."""
    save_file({name: value.detach().cpu().half().contiguous() for name, value in network.state_dict().items()}, weights)
