"""A baseline for speech: a convolutional recurrent network without Whisper.

It is trained on the speech corpora alone, and studied, not served.

Problem: the shipped network stands on Whisper, which is large and was trained on far more speech; what that brings
shows only against a network without it. Rule: the log-mel frames of a voice, less each bin's mean over the voiced ones
(cepstral mean normalisation; Atal, 1974), pass three blocks of convolution, the first two of which halve the rate. A
bidirectional LSTM reads the voiced steps as one sequence, and attention pooling gives the state. This is the
convolutional recurrent network of Trigeorgis et al. (2016) on log-mel frames, with the pooling of Mirsamadi et al.
(2017). Frames without voice, padding among them, have no effect.

Cost: 197 thousand parameters; on one CPU core a second of voice takes 1.4 ms by itself, 0.4 ms among 16. Left out:
convolutions across mel bins, for which the corpora are too small, and the sound between voiced frames.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from models.encoder import Encoded, Pooled
from models.recurrent_layers import AttentionPool, BidirectionalLstm
from models.speech import whisper
from models.speech.segment import SegmentEncoder, SpeechSegment
from models.speech.states import STATES, emotion_logits

_STRIDES = (2, 2, 1)
_LEAST_WEIGHT = 1e-6  # stands in for a window without voice, whose row means nothing
_METADATA = "recurrent_speech"


@dataclass(frozen=True, slots=True)
class RecurrentSpeechConfig:
    """Sizes of the network.

    channels: of each block of convolution. hidden: values that each direction of the LSTM keeps.
    dropout: share of values dropped while training, before the LSTM and before the last layer.
    """

    channels: tuple[int, int, int] = (64, 96, 96)
    kernel: int = 5
    hidden: int = 64
    dropout: float = 0.3


class RecurrentSpeechNetwork(nn.Module):
    """Voices to states. No state besides the weights; calls may overlap."""

    def __init__(self, config: RecurrentSpeechConfig) -> None:
        """Weights are random until trained or loaded."""
        super().__init__()
        self.config = config
        widths = (whisper.MEL_BINS, *config.channels)
        self.blocks = nn.ModuleList(
            nn.Conv1d(enters, leaves, config.kernel, stride, config.kernel // 2)
            for enters, leaves, stride in zip(widths, widths[1:], _STRIDES, strict=False)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in config.channels)
        self.recurrent = BidirectionalLstm(config.channels[-1], config.hidden)
        self.pool = AttentionPool(2 * config.hidden)
        self.states = nn.Linear(self.pool.width, len(STATES))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, mel: torch.Tensor, voiced: torch.Tensor) -> torch.Tensor:
        """States of voices, from log-mel frames.

        mel: (batch, 80, 4 * time) log-mel frames, 100 a second; voiced: (batch, 2 * time) bool, 50 a second. Returns
        (batch, 9) logits in the order of `STATES`. A row's frames that are not voiced, such as those it is padded with,
        have no effect; a row without voice is finite and means nothing.
        """
        counted = voiced.repeat_interleave(2, dim=1)
        frames = _less_the_mean(mel, counted)
        for block, norm, stride in zip(self.blocks, self.norms, _STRIDES, strict=True):
            frames = block(frames * counted.unsqueeze(1))
            counted = counted.reshape(len(counted), -1, stride).any(dim=2)
            frames = functional.gelu(norm(frames.transpose(1, 2)).transpose(1, 2))
        steps, lengths = _closed_up(frames.transpose(1, 2), counted)
        read = self.recurrent(self._dropped(steps), lengths)
        inside = torch.arange(steps.shape[1], device=steps.device) < lengths[:, None]
        states: torch.Tensor = self.states(self.dropout(self.pool(read, inside)))
        return states

    def _dropped(self, steps: torch.Tensor) -> torch.Tensor:
        """Drops the same values in all steps of a voice.

        So pooling cannot average them out (Gal and Ghahramani, 2016).
        """
        if not self.training:
            return steps
        mask: torch.Tensor = self.dropout(torch.ones_like(steps[:, :1]))
        return steps * mask


def _less_the_mean(mel: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """Mel frames less each bin's mean over counted frames.

    mel: (batch, 80, time); counted: (batch, time) bool.
    """
    share = counted / counted.sum(dim=1, keepdim=True).clamp(min=1)
    return mel - torch.einsum("bmt,bt->bm", mel, share).unsqueeze(-1)


def _closed_up(steps: torch.Tensor, counted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """steps: (batch, time, width); counted: (batch, time) bool.

    Returns the counted steps of each row in their order, the others behind them, and how many are counted (batch,), at
    least 1.
    """
    order = counted.logical_not().to(torch.uint8).argsort(dim=1, stable=True)[..., None]
    return steps.gather(1, order.expand_as(steps)), counted.sum(dim=1).clamp(min=1)


class RecurrentSpeechEncoder(SegmentEncoder):
    """Encodes segments with the baseline network.

    A window's answer is the mean of its segments'.
    """

    width = len(STATES)

    def __init__(self, network: RecurrentSpeechNetwork, device: torch.device | str = "cpu") -> None:
        """The network is moved to the device and put in evaluation mode."""
        super().__init__()
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()

    @torch.inference_mode()
    def encode(self, prepared: Sequence[SpeechSegment]) -> Encoded:
        """Encodes at least one segment: log-probabilities of `STATES` (segments, 9).

        A segment's weight is its voiced fraction.

        The embedding of a segment without voice is zero, and so is its weight.
        """
        weight = torch.tensor([self.weight(segment) for segment in prepared], dtype=torch.float32)
        mel = torch.from_numpy(np.stack([segment.mel for segment in prepared])).to(self._device)
        voiced = torch.from_numpy(np.stack([segment.voiced for segment in prepared])).to(self._device)
        log_probabilities = self._network(mel, voiced).log_softmax(dim=-1)
        return Encoded((log_probabilities * voiced.any(dim=1, keepdim=True)).cpu(), weight)

    @torch.inference_mode()
    def pool(self, embedding: torch.Tensor, weight: torch.Tensor) -> Pooled:
        """Pools segments into logits per window.

        embedding: (windows, segments, 9). weight: (windows, segments), 0 where padded or without voice.
        """
        embedding, weight = embedding.to(self._device), weight.to(self._device)
        share = weight / weight.sum(dim=-1, keepdim=True).clamp(min=_LEAST_WEIGHT)
        return Pooled(emotion_logits(torch.einsum("wsk,ws->wk", embedding, share)))


def save_recurrent(path: Path, network: RecurrentSpeechNetwork) -> None:
    """Writes float16 weights, with the network's sizes as metadata."""
    tensors = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, path, metadata={_METADATA: json.dumps(asdict(network.config))})


def load_recurrent(path: Path) -> RecurrentSpeechNetwork:
    """Reads what `save_recurrent` wrote, in evaluation mode.

    Raises FileNotFoundError for a missing file, ValueError for one that is not such a network.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            sizes = json.loads((file.metadata() or {})[_METADATA])
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        network = RecurrentSpeechNetwork(RecurrentSpeechConfig(**{**sizes, "channels": tuple(sizes["channels"])}))
        network.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a recurrent speech network: {error}") from error
    return network.eval()
