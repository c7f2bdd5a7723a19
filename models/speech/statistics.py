"""Statistics of Whisper's layers over a voice.

Problem: emotion in a voice shows over a whole phrase, but a second belongs to many windows and is to be read once.
Rule: Whisper reads a segment by itself, and the mean and the spread of each chosen residual stream are taken over its
voiced frames. They do not depend on how long the voice is. A window's statistics are combined from its segments'
exactly, as if all frames stood in one row. Left out: what Whisper would read from frames of another segment, and the
order of frames beyond Whisper's own reading.
"""

from collections.abc import Sequence

import torch

from models.speech import whisper

STATISTICS = 2
"""Per value of a frame: its mean and its spread."""

_LOUDEST_CELL = 1.5  # on Whisper's scale of log-mel frames: the loudest cell of speech near full scale
_FLOOR = 2.0  # below the loudest cell: Whisper's own 80 dB
_LEAST_VARIANCE = 1e-5
_LEAST_WEIGHT = 1e-6  # stands in for a window without voice, whose numbers mean nothing


def levelled(mel: torch.Tensor) -> torch.Tensor:
    """Shifts the loudest cell of each row to a usual level.

    mel: (batch, 80, time).

    How loud a voice arrives says more about microphone and gain than about the speaker.
    """
    below = mel - mel.amax(dim=(1, 2), keepdim=True)
    return below.clamp(min=-_FLOOR) + _LOUDEST_CELL


def segment_statistics(
    encoder: whisper.WhisperEncoder, mel: torch.Tensor, voiced: torch.Tensor, streams: Sequence[int]
) -> torch.Tensor:
    """Statistics of segments, from log-mel frames.

    mel: (batch, 80, 2 * time) log-mel frames. voiced: (batch, time) bool, per Whisper frame, at least one in a row.
    streams: which residual streams are read, ascending: 0 is what enters the first layer, k what leaves the k-th.
    Returns (batch, len(streams) * 2 * 512) float32: of each stream the means, then the spreads.
    """
    read = encoder.each_stream(levelled(mel))
    return torch.cat([_statistics(read[index].float(), voiced) for index in streams], dim=-1)


def window_statistics(segments: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Combines the statistics of segments into those of windows.

    segments: (windows, segments, features) of `segment_statistics`. weight: (windows, segments) voiced share, 0 where
    padded. Returns (windows, features); of a window without weight, zeros and the least spread.
    """
    windows, count, features = segments.shape
    of_streams = segments.view(windows, count, -1, STATISTICS, whisper.WIDTH)
    share = (weight / weight.sum(dim=1, keepdim=True).clamp(min=_LEAST_WEIGHT))[:, :, None, None]
    means, spreads = of_streams[:, :, :, 0], of_streams[:, :, :, 1]
    mean = (share * means).sum(dim=1)
    spread = (share * (spreads.square() + (means - mean[:, None]).square())).sum(dim=1)
    return torch.stack([mean, spread.clamp(min=_LEAST_VARIANCE).sqrt()], dim=2).view(windows, features)


def _statistics(frames: torch.Tensor, voiced: torch.Tensor) -> torch.Tensor:
    """frames: (batch, time, 512). Returns (batch, 2 * 512)."""
    share = (voiced.float() / voiced.sum(dim=-1, keepdim=True).clamp(min=1)).unsqueeze(-1)
    mean = (frames * share).sum(dim=1)
    spread = ((frames - mean.unsqueeze(1)).square() * share).sum(dim=1)
    return torch.cat([mean, spread.clamp(min=_LEAST_VARIANCE).sqrt()], dim=-1)
