"""Whisper's encoder in torch, cut after its first layers.

Radford et al., 2022, "Robust Speech Recognition via Large-Scale Weak Supervision".

Problem: emotion is in Whisper's middle layers, which CTranslate2 does not expose. Rule: the encoder is rebuilt here in
float32 from the weights that the Whisper packages carry, and only the layers in use are built. Sound is encoded at its
own length: Whisper's padding to 30 s would cost thirty times the work of a 1 s segment. Left out: the decoder
(transcription is CTranslate2's), training (the weights are frozen), reduced precision.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from faster_whisper.feature_extractor import FeatureExtractor
from torch import nn
from torch.nn import functional

from models.speech.ctranslate2_file import FloatArray, read_variables
from models.trusted_files import WHISPER

SAMPLE_RATE_HZ = 16_000
MEL_BINS = 80
MEL_HOP = 160
"""Samples between two log-mel frames."""
SAMPLES_PER_FRAME = 2 * MEL_HOP
"""Samples per encoder frame: 20 ms, the second convolution halves the rate of the log-mel frames."""
WIDTH = 512
"""Width of an encoder frame of Whisper base."""
LAYERS = 6
"""Encoder layers of Whisper base."""

_HEADS = 8
_MAX_FRAMES = 1500


class _Layer(nn.Module):
    """One transformer layer, normalised before attention and before the feed-forward part."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(WIDTH)
        self.query_key_value = nn.Linear(WIDTH, 3 * WIDTH)
        self.attention_out = nn.Linear(WIDTH, WIDTH)
        self.feed_norm = nn.LayerNorm(WIDTH)
        self.feed_in = nn.Linear(WIDTH, 4 * WIDTH)
        self.feed_out = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        batch, time, _ = frames.shape
        joined = self.query_key_value(self.attention_norm(frames)).view(batch, time, 3, _HEADS, WIDTH // _HEADS)
        query, key, value = joined.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value)
        frames = frames + self.attention_out(attended.transpose(1, 2).reshape(batch, time, WIDTH))
        fed: torch.Tensor = self.feed_out(functional.gelu(self.feed_in(self.feed_norm(frames))))
        return frames + fed


class WhisperEncoder(nn.Module):
    """The first `layers` layers of Whisper base's encoder, frozen.

    No state besides the weights; calls may overlap.
    """

    positions: torch.Tensor

    def __init__(self, layers: int) -> None:
        """layers: 1 to 6. Weights are random until `load_whisper` fills them."""
        if not 1 <= layers <= LAYERS:
            raise ValueError(f"Whisper base has {LAYERS} encoder layers, not {layers}")
        super().__init__()
        self.conv1 = nn.Conv1d(MEL_BINS, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv1d(WIDTH, WIDTH, 3, stride=2, padding=1)
        self.layers = nn.ModuleList(_Layer() for _ in range(layers))
        self.final_norm = nn.LayerNorm(WIDTH)
        self.register_buffer("positions", torch.zeros(_MAX_FRAMES, WIDTH))
        self.requires_grad_(False)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """The residual stream after the last layer.

        mel: (batch, 80, 2 * time) log-mel frames, all rows of one length, at most 30 s. Returns (batch, time, 512): the
        residual stream after the last layer made, 50 frames a second. Raises ValueError for sound longer than 30 s.
        """
        *_, last = self.each_stream(mel)
        return last

    def each_stream(self, mel: torch.Tensor) -> list[torch.Tensor]:
        """Every residual stream, each (batch, time, 512).

        Arguments and errors are those of `forward`; the streams are those before the first layer and after every one.
        """
        if mel.shape[-1] > 2 * _MAX_FRAMES:
            raise ValueError(f"Whisper encodes at most 30 s, {mel.shape[-1] * MEL_HOP / SAMPLE_RATE_HZ:g} s given")
        frames = functional.gelu(self.conv2(functional.gelu(self.conv1(mel)))).transpose(1, 2)
        frames = frames + self.positions[: frames.shape[1]]
        streams: list[torch.Tensor] = [frames]
        for layer in self.layers:
            streams.append(layer(streams[-1]))
        return streams


def log_mel(pcm: npt.NDArray[np.float32]) -> FloatArray:
    """Whisper's log-mel frames: (80, samples // 160).

    pcm: (samples,) float32 in -1..1 at 16 kHz, at least 25 ms. As in Whisper, the floor is 80 dB below the loudest cell
    of the sound given.
    """
    return np.ascontiguousarray(_feature_extractor()(pcm, padding=0), dtype=np.float32)


@lru_cache(maxsize=1)
def _feature_extractor() -> FeatureExtractor:
    return FeatureExtractor(feature_size=MEL_BINS, sampling_rate=SAMPLE_RATE_HZ, hop_length=MEL_HOP)


def load_whisper(layers: int, model_file: Path | None = None) -> WhisperEncoder:
    """Returns the encoder with its weights, in evaluation mode, on the CPU.

    model_file: a CTranslate2 `model.bin` of Whisper base of the user's own; without it the installed packages' is used.
    Raises FileNotFoundError when there is no such file, ValueError when it is damaged or another model;
    for the packages' it is UntrustedFileError.
    """
    data = packaged_model() if model_file is None else model_file.read_bytes()
    names = {f"encoder/layer_{index}/" for index in range(layers)}
    variables = read_variables(
        data,
        "WhisperSpec",
        lambda name: (
            name.startswith("encoder/")
            and (not name.startswith("encoder/layer_") or name.startswith(("encoder/layer_norm/", *names)))
        ),
    )
    encoder = WhisperEncoder(layers)
    state = {theirs_to_ours(name): torch.from_numpy(value) for name, value in variables.items() if value.ndim > 0}
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"{model_file or 'packaged model.bin'}: not a Whisper base model: {error}") from error
    return encoder.eval()


def packaged_model() -> bytes:
    """CTranslate2's `model.bin` of Whisper base, from its two packages.

    Raises UntrustedFileError when a package is missing or carries another file.
    """
    return b"".join(part.read() for part in WHISPER)


_RENAMED = (
    ("encoder/layer_norm/", "final_norm."),
    ("encoder/layer_", "layers."),
    ("encoder/position_encodings/encodings", "positions"),
    ("encoder/", ""),
    ("/self_attention/layer_norm/", ".attention_norm."),
    ("/self_attention/linear_0/", ".query_key_value."),
    ("/self_attention/linear_1/", ".attention_out."),
    ("/ffn/layer_norm/", ".feed_norm."),
    ("/ffn/linear_0/", ".feed_in."),
    ("/ffn/linear_1/", ".feed_out."),
    ("/", "."),
    (".gamma", ".weight"),
    (".beta", ".bias"),
)


def theirs_to_ours(name: str) -> str:
    """Returns the name of this module's parameter for a CTranslate2 variable's."""
    for theirs, ours in _RENAMED:
        name = name.replace(theirs, ours)
    return name
