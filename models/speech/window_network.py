"""The network from a window's statistics to emotion.

Problem: thirty acting speakers and thousands of features each. Rule: the features, standardised over the training
speakers, pass one wide hidden layer with strong dropout (Srivastava et al., 2014). Several such networks, trained from
different seeds, answer together by the mean of their log-probabilities (Lakshminarayanan et al., 2017). Left out:
Whisper itself, and the words, which are the transcript's.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from models.speech import whisper
from models.speech.states import STATES
from models.speech.statistics import STATISTICS


@dataclass(frozen=True, slots=True)
class WindowNetworkConfig:
    """Sizes of the network.

    streams: Whisper's residual streams that are read, ascending. members: networks that answer together.
    input_dropout, dropout: share of values dropped while training, before and after the hidden layer.
    """

    streams: tuple[int, ...] = (2, 3, 4)
    members: int = 3
    hidden: int = 128
    input_dropout: float = 0.5
    dropout: float = 0.5

    @property
    def features(self) -> int:
        """Numbers of a window."""
        return len(self.streams) * STATISTICS * whisper.WIDTH


class WindowNetwork(nn.Module):
    """Windows' statistics to states. Calls may overlap; nothing is kept between them."""

    centre: torch.Tensor
    scale: torch.Tensor

    def __init__(self, config: WindowNetworkConfig) -> None:
        """Builds an untrained network.

        Inputs are not scaled until training sets centre and scale.
        """
        super().__init__()
        self.config = config
        self.register_buffer("centre", torch.zeros(config.features))
        self.register_buffer("scale", torch.ones(config.features))
        self.members = nn.ModuleList(_member(config) for _ in range(config.members))

    def forward(self, statistics: torch.Tensor) -> torch.Tensor:
        """statistics: (windows, features) as `window_statistics` gives them.

        Returns (windows, 9) log-probabilities in the order of `STATES`.
        """
        return self.each_member(statistics).mean(dim=0)

    def each_member(self, statistics: torch.Tensor) -> torch.Tensor:
        """Like `forward`, of every member: (members, windows, 9)."""
        values = (statistics - self.centre) / self.scale
        return torch.stack([functional.log_softmax(member(values).float(), dim=-1) for member in self.members])


def _member(config: WindowNetworkConfig) -> nn.Module:
    return nn.Sequential(
        nn.Dropout(config.input_dropout),
        nn.Linear(config.features, config.hidden),
        nn.LayerNorm(config.hidden),
        nn.GELU(),
        nn.Dropout(config.dropout),
        nn.Linear(config.hidden, len(STATES)),
    )
