"""Which expression a face shows: a small convolutional network on 48x48 grey crops, trained on FER+ vote distributions.

Three stages of three 3x3 convolutions, the last two of each on a residual branch (He et al., 2016), an embedding of 64
numbers and a linear head over FER+'s eight expressions (Barsoum et al., 2016). Because the head is linear, the logits
of a mean embedding are the mean of the logits, and a window is pooled without running the network again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.face.expressions import EXPRESSIONS

CROP_PX = 48
EMBEDDING_WIDTH = 64


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """widths: channels at 24x24, 12x12 and 6x6 pixels. dropout: of the features, while training."""

    widths: Sequence[int] = (32, 96, 224)
    dropout: float = 0.4


class ExpressionNet(nn.Module):
    """crops (batch, 48, 48) uint8, or float32 in 0..255 -> logits (batch, 8) in the order of `EXPRESSIONS`."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        width = config.widths[0]
        self.stem = nn.Sequential(nn.Conv2d(1, width, 5, 2, 2, bias=False), nn.BatchNorm2d(width), nn.ReLU(True))
        stages: list[nn.Module] = []
        for index, channels in enumerate(config.widths):
            stages += [_Stage(width, channels)]
            if index + 1 < len(config.widths):
                stages += [nn.MaxPool2d(2)]
            width = channels
        self.stages = nn.Sequential(*stages)
        self.dropout = nn.Dropout(config.dropout)
        self.neck = nn.Sequential(nn.Linear(width, EMBEDDING_WIDTH), nn.BatchNorm1d(EMBEDDING_WIDTH), nn.ReLU(True))
        self.head = nn.Linear(EMBEDDING_WIDTH, len(EXPRESSIONS))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def embed(self, crops: Tensor) -> Tensor:
        """(batch, 48, 48) -> (batch, 64) float32. Each crop is brought to zero mean and unit deviation first."""
        pixels = crops.unsqueeze(1).to(self.head.weight.dtype)
        deviation, mean = torch.std_mean(pixels, dim=(2, 3), keepdim=True, correction=0)
        standard = ((pixels - mean) / deviation.clamp_min(1.0)).to(memory_format=torch.channels_last)
        features = self.stages(self.stem(standard)).mean(dim=(2, 3))
        embedding: Tensor = self.neck(self.dropout(features))
        return embedding

    def forward(self, crops: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(crops))
        return logits


class _Stage(nn.Module):
    """Three convolutions at one resolution, the last two on a residual branch."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.entry = nn.Sequential(*_convolution(width, channels), nn.ReLU(True))
        self.branch = nn.Sequential(*_convolution(channels, channels), nn.ReLU(True), *_convolution(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        entered = self.entry(x)
        return torch.relu(entered + self.branch(entered))


def _convolution(width: int, channels: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(width, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
