"""The expression networks: small CNNs on 48x48 grey crops.

They are trained on FER+'s vote distributions. There are two kinds, whose mean is a little better than either.
`residual`: a 5x5 convolution of stride 2, then three stages of three 3x3 convolutions, the last two of each on a
residual branch (He et al., 2016). `vgg`: plain 3x3 convolutions from the full resolution down, after VGG13 (Barsoum et
al., 2016), with batch normalisation. Both end in an embedding of 64 numbers and a linear head over FER+'s eight
expressions.

Because the head is linear, the logits of a mean embedding are the mean of the logits, and a window is pooled without
running a network again. A committee's embedding is its members' side by side, and its logits are the mean of theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.face.expressions import EXPRESSIONS

CROP_PX = 48
EMBEDDING_WIDTH = 64
"""Of one network."""

_VGG_CONVOLUTIONS = (2, 3, 2)  # at 24, 12 and 6 pixels; the stem is the one at 48


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Sizes of one expression network.

    widths: channels at 24x24, 12x12 and 6x6 pixels; of a vgg, at 48x48 before them. dropout: of the features, while
    training.
    """

    kind: Literal["residual", "vgg"] = "residual"
    widths: Sequence[int] = (32, 96, 224)
    dropout: float = 0.4

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown kind or number of widths."""
        stages = {"residual": 3, "vgg": 4}.get(self.kind)
        if stages is None:
            raise ValueError(f"NetworkConfig.kind is residual or vgg, not {self.kind!r}")
        if len(self.widths) != stages:
            raise ValueError(f"NetworkConfig.widths of a {self.kind} network are {stages} (are {list(self.widths)})")


@dataclass(frozen=True, slots=True)
class CommitteeConfig:
    """Sizes of a committee.

    members: at least one network's.
    """

    members: Sequence[NetworkConfig] = field(default_factory=lambda: [NetworkConfig()])


class ExpressionNet(nn.Module):
    """One network: crops to expression logits.

    crops: (batch, 48, 48) uint8, or float32 in 0..255. Returns (batch, 8) in the order of `EXPRESSIONS`.
    """

    width = EMBEDDING_WIDTH

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        self.stem, self.stages = _residual(config.widths) if config.kind == "residual" else _vgg(config.widths)
        self.dropout = nn.Dropout(config.dropout)
        last = config.widths[-1]
        self.neck = nn.Sequential(nn.Linear(last, EMBEDDING_WIDTH), nn.BatchNorm1d(EMBEDDING_WIDTH), nn.ReLU(True))
        self.head = nn.Linear(EMBEDDING_WIDTH, len(EXPRESSIONS))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def embed(self, crops: Tensor) -> Tensor:
        """Embeds crops: (batch, 48, 48) to (batch, 64) float32.

        Each crop is standardised to zero mean and unit deviation first.
        """
        pixels = crops.unsqueeze(1).to(self.head.weight.dtype)
        deviation, mean = torch.std_mean(pixels, dim=(2, 3), keepdim=True, correction=0)
        standard = ((pixels - mean) / deviation.clamp_min(1.0)).to(memory_format=torch.channels_last)
        features = self.stages(self.stem(standard)).mean(dim=(2, 3))
        embedding: Tensor = self.neck(self.dropout(features))
        return embedding

    def forward(self, crops: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(crops))
        return logits


class ExpressionCommittee(nn.Module):
    """An ensemble of networks, used as `ExpressionNet`.

    Its embedding has 64 numbers a member.
    """

    def __init__(self, members: Sequence[ExpressionNet]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.config = CommitteeConfig([member.config for member in members])
        self.width = EMBEDDING_WIDTH * len(members)

    def embed(self, crops: Tensor) -> Tensor:
        """(batch, 48, 48) -> (batch, 64 * members) float32."""
        return torch.cat([member.embed(crops) for member in self.networks()], dim=1)

    def head(self, embedding: Tensor) -> Tensor:
        """(batch, 64 * members) to (batch, 8): the members' mean logits."""
        parts = zip(self.networks(), torch.split(embedding, EMBEDDING_WIDTH, dim=1), strict=True)
        return torch.stack([member.head(part) for member, part in parts]).mean(dim=0)

    def forward(self, crops: Tensor) -> Tensor:
        return self.head(self.embed(crops))

    def networks(self) -> list[ExpressionNet]:
        """The members."""
        return [member for member in self.members if isinstance(member, ExpressionNet)]


def build_network(sizes: Mapping[str, Any]) -> ExpressionNet | ExpressionCommittee:
    """Builds an untrained network or committee.

    sizes: fields of `NetworkConfig`, or `members`, a list of such. Raises TypeError or ValueError for others.
    """
    if "members" in sizes:
        return ExpressionCommittee([ExpressionNet(NetworkConfig(**member)) for member in sizes["members"]])
    return ExpressionNet(NetworkConfig(**sizes))


def _residual(widths: Sequence[int]) -> tuple[nn.Sequential, nn.Sequential]:
    stem = nn.Sequential(nn.Conv2d(1, widths[0], 5, 2, 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(True))
    stages: list[nn.Module] = []
    for entering, channels in zip((widths[0], *widths), widths, strict=False):
        stages += [nn.MaxPool2d(2)] if stages else []
        stages += [_Stage(entering, channels)]
    return stem, nn.Sequential(*stages)


def _vgg(widths: Sequence[int]) -> tuple[nn.Sequential, nn.Sequential]:
    stem = nn.Sequential(*_convolution(1, widths[0]), nn.ReLU(True))
    stages: list[nn.Module] = []
    entering = widths[0]
    for channels, convolutions in zip(widths[1:], _VGG_CONVOLUTIONS, strict=True):
        stages += [nn.MaxPool2d(2)]
        for _ in range(convolutions):
            stages += [*_convolution(entering, channels), nn.ReLU(True)]
            entering = channels
    return stem, nn.Sequential(*stages)


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
