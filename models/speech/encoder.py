"""Speech as one of the daemon's modalities: sound of one segment in, an embedding and its weight out.

Problem: the engine encodes each segment once, in batches of any size, and pools windows of any number of segments; but
Whisper understands a second better beside its neighbours. Rule: worker threads make a segment's log-mel frames and find
its voice, once; those are its embedding. Whisper runs once a window, over the window's voiced segments together, and
the network reads what it says of them. A segment weighs its voiced fraction, so that silence is no evidence for
anything. A network of the earlier kind (`models.speech.network`) has Whisper run once a segment instead.
Left out: the cutting of sound into segments, and calibration, which belongs to fusion.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.encoding import Encoded, Pooled
from models.speech import activity, whisper
from models.speech.network import STATES, SpeechNetwork, SpeechNetworkConfig, emotion_logits
from models.speech.window_network import WindowNetwork, WindowNetworkConfig
from models.speech.window_statistics import levelled, window_statistics

SEGMENT_SAMPLES = whisper.SAMPLE_RATE_HZ
"""Samples of a segment: 1 s."""
SEGMENT_FRAMES = SEGMENT_SAMPLES // whisper.SAMPLES_PER_FRAME
"""Whisper frames of a segment."""
LONGEST_WINDOW = 30
"""Voiced segments of a window that are read, Whisper's 30 s; of a longer window, the last ones."""

_MEL_SHAPE = (whisper.MEL_BINS, SEGMENT_SAMPLES // whisper.MEL_HOP)
_MEL_CELLS = _MEL_SHAPE[0] * _MEL_SHAPE[1]


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """One second of sound, ready for the device.

    mel: (80, 100) float32 log-mel frames. voiced: (50,) bool, per Whisper frame. The rest as in `activity.Activity`.
    """

    mel: npt.NDArray[np.float32]
    voiced: npt.NDArray[np.bool_]
    voiced_fraction: float
    level_db: float
    snr_db: float


def prepare_segment(pcm: npt.NDArray[np.float32], voice_activity: activity.VoiceActivity) -> SpeechSegment:
    """pcm: (16000,) float32 in -1..1 at 16 kHz. Raises ValueError for another shape, type, or values not finite."""
    if pcm.shape != (SEGMENT_SAMPLES,) or pcm.dtype != np.float32:
        raise ValueError(f"speech segment: wanted ({SEGMENT_SAMPLES},) float32, got {pcm.shape} {pcm.dtype}")
    if not np.isfinite(pcm).all():
        raise ValueError("speech segment: holds samples that are not finite")
    found = voice_activity(pcm)
    centres = np.arange(SEGMENT_FRAMES) * whisper.SAMPLES_PER_FRAME + whisper.SAMPLES_PER_FRAME // 2
    voiced = found.voiced[centres // activity.FRAME_SAMPLES]
    return SpeechSegment(whisper.log_mel(pcm), voiced, found.voiced_fraction, found.level_db, found.snr_db)


class SpeechEncoder:
    """Implements `models.encoding.Encoder`. `prepare` may be called by any thread, the rest by the device thread."""

    def __init__(
        self, encoder: whisper.WhisperEncoder, network: SpeechNetwork | WindowNetwork, device: torch.device | str
    ) -> None:
        """Both parts are moved to the device and put in evaluation mode."""
        self.width = network.config.width if isinstance(network, SpeechNetwork) else _MEL_CELLS + SEGMENT_FRAMES
        self._device = torch.device(device)
        self._whisper = encoder.to(self._device).eval()
        self._network = network.to(self._device).eval()
        self._voice_activity = activity.VoiceActivity()

    def prepare(self, pcm: npt.NDArray[np.float32]) -> SpeechSegment:
        """As `prepare_segment`."""
        return prepare_segment(pcm, self._voice_activity)

    @torch.inference_mode()
    def encode(self, prepared: Sequence[SpeechSegment]) -> Encoded:
        """Encodes at least one segment; the embedding of a segment without voice is zero, and so is its weight."""
        weight = torch.tensor([segment.voiced_fraction for segment in prepared], dtype=torch.float32)
        embedding = torch.zeros(len(prepared), self.width)
        voiced = [index for index, segment in enumerate(prepared) if segment.voiced.any()]
        if voiced:
            mel = torch.from_numpy(np.stack([prepared[index].mel for index in voiced]))
            mask = torch.from_numpy(np.stack([prepared[index].voiced for index in voiced]))
            embedding[voiced] = self._embedded(mel, mask)
        return Encoded(embedding, weight)

    def _embedded(self, mel: torch.Tensor, voiced: torch.Tensor) -> torch.Tensor:
        if isinstance(self._network, WindowNetwork):
            return torch.cat([mel.flatten(1), voiced.float()], dim=-1)
        frames = self._whisper(levelled(mel.to(self._device)))
        return self._network.embed(frames, voiced.to(self._device)).cpu()

    @torch.inference_mode()
    def pool(self, embedding: torch.Tensor, weight: torch.Tensor) -> Pooled:
        """embedding: (windows, segments, width), in order of time; weight: (windows, segments), 0 where padded."""
        embedding, weight = embedding.to(self._device), weight.to(self._device)
        if not isinstance(self._network, WindowNetwork):
            return Pooled(emotion_logits(self._network.pool(embedding, weight)))
        states = torch.zeros(len(embedding), len(STATES), device=self._device)
        count = (weight > 0).sum(dim=-1)
        for segments in sorted({*count.tolist()} - {0}):
            rows = count == segments
            heard = embedding[rows][weight[rows] > 0].view(-1, segments, self.width)[:, -LONGEST_WINDOW:]
            states[rows] = self._network(self._statistics(heard, self._network.config))
        return Pooled(emotion_logits(states))

    def _statistics(self, heard: torch.Tensor, config: WindowNetworkConfig) -> torch.Tensor:
        """heard: (windows, segments, width), all voiced."""
        mel = heard[..., :_MEL_CELLS].reshape(*heard.shape[:2], *_MEL_SHAPE).transpose(1, 2).flatten(2)
        return window_statistics(self._whisper, mel, heard[..., _MEL_CELLS:].flatten(1) > 0, config.streams)


def build_encoder(
    tensors: Mapping[str, torch.Tensor],
    sizes: Mapping[str, Any],
    device: torch.device | str = "cpu",
    whisper_file: Path | None = None,
) -> SpeechEncoder:
    """Returns the encoder with a network of these sizes and tensors; Whisper as in `load_encoder`.

    sizes: as `save_network` wrote them. Raises TypeError, KeyError or RuntimeError for those that do not fit.
    """
    network: SpeechNetwork | WindowNetwork
    own = dict(sizes)
    if "streams" in own:
        config = WindowNetworkConfig(**{**own, "streams": tuple(own["streams"])})
        layers, network = max(config.streams), WindowNetwork(config)
    else:
        layers, network = own.pop("whisper_layers"), SpeechNetwork(SpeechNetworkConfig(**own))
    network.load_state_dict(tensors)
    return SpeechEncoder(whisper.load_whisper(layers, whisper_file), network, device)


def save_network(path: Path, network: WindowNetwork) -> None:
    """Writes the network's own weights in float16, with its sizes in the file's metadata."""
    tensors = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, path, metadata={"speech": json.dumps(asdict(network.config))})


def load_encoder(path: Path, device: torch.device | str = "cpu", whisper_file: Path | None = None) -> SpeechEncoder:
    """Loads what `save_network` wrote, and Whisper from its packages or from `whisper_file`, a CTranslate2 `model.bin`.

    Raises FileNotFoundError for a missing file, ValueError for one that is not a speech network.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            sizes = json.loads((file.metadata() or {})["speech"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return build_encoder(tensors, sizes, device, whisper_file)
    except (SafetensorError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a speech network: {error}") from error
