"""Speech as one of the daemon's modalities: sound of one segment in, an embedding and its weight out.

Problem: the engine encodes each segment once, in batches of any size, and pools windows of any number of segments.
Rule: worker threads make the log-mel frames and find the voice; the device runs Whisper and the network over the voiced
segments only; a segment weighs its voiced fraction, so that silence is no evidence for anything.
Left out: the cutting of sound into segments, and calibration, which belongs to fusion.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.encoding import Encoded, Pooled
from models.speech import activity, whisper
from models.speech.network import SpeechNetwork, SpeechNetworkConfig, emotion_logits

SEGMENT_SAMPLES = whisper.SAMPLE_RATE_HZ
"""Samples of a segment: 1 s."""
SEGMENT_FRAMES = SEGMENT_SAMPLES // whisper.SAMPLES_PER_FRAME
"""Whisper frames of a segment."""


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
    return SpeechSegment(_levelled(whisper.log_mel(pcm)), voiced, found.voiced_fraction, found.level_db, found.snr_db)


def _levelled(mel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Shifts the log-mel frames so that their loudest cell is that of speech at a usual level.

    How loud a voice arrives says more about microphone and gain than about the speaker.
    """
    levelled: npt.NDArray[np.float32] = mel + (_LOUDEST_CELL - mel.max())
    return levelled


_LOUDEST_CELL = np.float32(1.5)  # Whisper's own scale; the loudest cell of speech near full scale


class SpeechEncoder:
    """Implements `models.encoding.Encoder`. `prepare` may be called by any thread, the rest by the device thread."""

    def __init__(self, encoder: whisper.WhisperEncoder, network: SpeechNetwork, device: torch.device | str) -> None:
        """Both parts are moved to the device and put in evaluation mode."""
        self.width = network.config.width
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
            mel = torch.from_numpy(np.stack([prepared[index].mel for index in voiced])).to(self._device)
            mask = torch.from_numpy(np.stack([prepared[index].voiced for index in voiced])).to(self._device)
            embedding[voiced] = self._network.embed(self._whisper(mel), mask).cpu()
        return Encoded(embedding, weight)

    @torch.inference_mode()
    def pool(self, embedding: torch.Tensor, weight: torch.Tensor) -> Pooled:
        """embedding: (windows, segments, width); weight: (windows, segments), 0 where padded."""
        return Pooled(emotion_logits(self._network.pool(embedding.to(self._device), weight.to(self._device))))


def save_network(path: Path, network: SpeechNetwork, whisper_layers: int) -> None:
    """Writes the network's own weights, with its sizes and the Whisper layer it reads in the file's metadata."""
    sizes = {**asdict(network.config), "whisper_layers": whisper_layers}
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, path, metadata={"speech": json.dumps(sizes)})


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
        layers = sizes.pop("whisper_layers")
        network = SpeechNetwork(SpeechNetworkConfig(**sizes))
        network.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a speech network: {error}") from error
    return SpeechEncoder(whisper.load_whisper(layers, whisper_file), network, device)
