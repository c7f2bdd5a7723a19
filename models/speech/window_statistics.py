"""What Whisper's lower and middle layers say of a window's voice, as numbers that do not depend on its length.

Problem: how something is said shows over a whole phrase; seconds encoded one by one, without their neighbours, lose
five points of accuracy. Rule: the log-mel frames of the voiced seconds of a window are joined and levelled, Whisper
reads them together, and of each residual stream asked for the mean and the spread over voiced frames are taken.
Left out: the seconds without voice, over which the window closes up, and the order of frames beyond Whisper's reading.
"""

from collections.abc import Sequence

import torch

from models.speech import whisper

STATISTICS = 2
"""Per value of a frame: its mean and its spread."""

_LOUDEST_CELL = 1.5  # on Whisper's scale of log-mel frames: the loudest cell of speech near full scale
_FLOOR = 2.0  # below the loudest cell: Whisper's own 80 dB
_LEAST_VARIANCE = 1e-5


def levelled(mel: torch.Tensor) -> torch.Tensor:
    """mel: (batch, 80, time). Shifts each row so that its loudest cell is that of speech at a usual level.

    How loud a voice arrives says more about microphone and gain than about the speaker.
    """
    below = mel - mel.amax(dim=(1, 2), keepdim=True)
    return below.clamp(min=-_FLOOR) + _LOUDEST_CELL


def window_statistics(
    encoder: whisper.WhisperEncoder, mel: torch.Tensor, voiced: torch.Tensor, streams: Sequence[int]
) -> torch.Tensor:
    """mel: (batch, 80, 2 * time) log-mel frames; voiced: (batch, time) bool, per Whisper frame, at least one in a row.

    streams: which residual streams are read, ascending: 0 is what enters the first layer, k what leaves the k-th.
    Returns (batch, len(streams) * 2 * 512) float32.
    """
    read = encoder.each_stream(levelled(mel))
    return torch.cat([_statistics(read[index].float(), voiced) for index in streams], dim=-1)


def _statistics(frames: torch.Tensor, voiced: torch.Tensor) -> torch.Tensor:
    """frames: (batch, time, 512). Returns (batch, 2 * 512)."""
    share = (voiced.float() / voiced.sum(dim=-1, keepdim=True).clamp(min=1)).unsqueeze(-1)
    mean = (frames * share).sum(dim=1)
    spread = ((frames - mean.unsqueeze(1)).square() * share).sum(dim=1)
    return torch.cat([mean, spread.clamp(min=_LEAST_VARIANCE).sqrt()], dim=-1)
