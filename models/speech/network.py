"""The recurrent network from Whisper frames to emotion.

Problem: a segment must be summed up once, alone, however many windows hold it, and a window may hold one segment or
ten, some of them hardly voiced. Rule: a bidirectional GRU reads a segment's frames (Cho et al., 2014), attention over
its voiced frames gives mean and spread (attentive statistics; Okabe et al., 2018), together the segment's embedding; a
window is the voice-weighted mean and spread of its segments' embeddings, read by one linear layer.
Left out: the order of a window's segments, and whatever is said (that is the transcript's).
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from models.labels import EMOTIONS
from models.speech import whisper

STATES = (*EMOTIONS, "calm", "boredom")
"""Order of the network's outputs: the seven emotions, and two states learned apart from neutral."""

EMOTION_OF = {**{emotion: emotion for emotion in EMOTIONS}, "calm": "neutral", "boredom": "neutral"}
"""The emotion each state counts as."""

_LEAST_WEIGHT = 1e-6  # stands in for a window or segment without voice, whose rows mean nothing
_LEAST_VARIANCE = 1e-5


@dataclass(frozen=True, slots=True)
class SpeechNetworkConfig:
    """Sizes of the network.

    joined_frames: neighbouring Whisper frames averaged into one step of the GRU, a divisor of a segment's 50 frames.
    dropout: share of values dropped while training, before each linear layer.
    """

    projection: int = 128
    joined_frames: int = 2
    hidden: int = 96
    width: int = 192
    dropout: float = 0.3


class SpeechNetwork(nn.Module):
    """Segments to embeddings, windows of embeddings to states. Calls may overlap; nothing is kept between them."""

    def __init__(self, config: SpeechNetworkConfig) -> None:
        """Weights are random until trained or loaded."""
        super().__init__()
        self.config = config
        self.frame_norm = nn.LayerNorm(whisper.WIDTH)
        self.projection = nn.Linear(whisper.WIDTH, config.projection)
        self.recurrent = nn.GRU(config.projection, config.hidden, batch_first=True, bidirectional=True)
        read = config.projection + 2 * config.hidden
        self.attention = nn.Sequential(nn.Linear(read, 64), nn.Tanh(), nn.Linear(64, 1))
        self.embedding = nn.Sequential(nn.Linear(2 * read, config.width), nn.LayerNorm(config.width))
        self.states = nn.Linear(2 * config.width, len(STATES))
        self.dropout = nn.Dropout(config.dropout)

    def embed(self, frames: torch.Tensor, voiced: torch.Tensor) -> torch.Tensor:
        """frames: (batch, time, 512) Whisper frames; voiced: (batch, time) bool. Returns (batch, width).

        Rows without a voiced frame are finite and mean nothing.
        """
        joined = self.config.joined_frames
        batch, time, width = frames.shape
        steps = self.frame_norm(frames).reshape(batch, time // joined, joined, width).mean(dim=2)
        voiced = voiced.reshape(batch, time // joined, joined).any(dim=2)
        projected = functional.gelu(self.projection(self._dropped(steps)))
        recurrent, _ = self.recurrent(projected)
        read = self._dropped(torch.cat([projected, recurrent], dim=-1))
        scores = self.attention(read).squeeze(-1).masked_fill(~voiced, -1e4)
        embedding: torch.Tensor = self.embedding(_mean_and_spread(read, scores.softmax(dim=-1)))
        return embedding

    def _dropped(self, steps: torch.Tensor) -> torch.Tensor:
        """Drops the same values in all steps of a segment (Gal and Ghahramani, 2016): pooling would average others."""
        if not self.training:
            return steps
        kept: torch.Tensor = self.dropout(torch.ones_like(steps[:, :1]))
        return steps * kept

    def pool(self, embedding: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """embedding: (windows, segments, width); weight: (windows, segments), 0 where padded or unvoiced.

        Returns (windows, 9) logits in the order of `STATES`.
        """
        share = weight / weight.sum(dim=-1, keepdim=True).clamp(min=_LEAST_WEIGHT)
        states: torch.Tensor = self.states(self.dropout(_mean_and_spread(embedding, share)))
        return states


def _mean_and_spread(values: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """values: (batch, time, width); share: (batch, time), sums to 1. Returns (batch, 2 * width): mean, deviation."""
    mean = torch.einsum("btw,bt->bw", values, share)
    variance = torch.einsum("btw,bt->bw", (values - mean.unsqueeze(1)).square(), share)
    return torch.cat([mean, variance.clamp(min=_LEAST_VARIANCE).sqrt()], dim=-1)


def emotion_logits(states: torch.Tensor) -> torch.Tensor:
    """states: (batch, 9) logits of `STATES`. Returns (batch, 7) logits of the emotions.

    An emotion's probability is the sum of those of its states.
    """
    columns = [
        torch.logsumexp(states[:, [i for i, state in enumerate(STATES) if EMOTION_OF[state] == emotion]], dim=-1)
        for emotion in EMOTIONS
    ]
    return torch.stack(columns, dim=-1)
