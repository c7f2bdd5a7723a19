"""Speech as one of the daemon's modalities: sound of one segment in, an embedding and its weight out.

Problem: the engine encodes each segment once, in batches of any size, and pools windows of any number of segments; and
how something is said shows over more than a second. Rule: segments are of one second or two, which may overlap. Worker
threads make a segment's log-mel frames and find its voice; Whisper reads the segment, and what its layers say of the
voiced frames is summed up by their mean and spread: the segment's embedding. A window's mean and spread follow from its
segments', and a small network reads those. A segment weighs its voiced fraction, so that silence is no evidence for
anything, and a voice in noise or in pieces is less sure evidence (`models.calibration.trust`). Left out: the cutting of
sound into segments, and calibration, which belongs to fusion.
"""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.calibration.trust import unbroken_trust
from models.encoder import Encoded, Encoder, Pooled
from models.speech import activity, whisper
from models.speech.states import emotion_logits
from models.speech.statistics import segment_statistics, window_statistics
from models.speech.window_network import WindowNetwork, WindowNetworkConfig

HOP_SAMPLES = whisper.SAMPLE_RATE_HZ
"""Samples from one segment's start to the next one's: 1 s."""
SEGMENT_SAMPLES = 2 * HOP_SAMPLES
"""Samples of a segment: 2 s, what the network was trained to hear; where windows are too small for that, 1 s."""

_FRAMES_PER_HOP = HOP_SAMPLES // whisper.SAMPLES_PER_FRAME


@dataclass(frozen=True, slots=True, eq=False)
class SegmentSound:
    """The sound of one segment, and for how long it is unbroken.

    pcm: (samples,) float32 in -1..1 at 16 kHz, of one second or two. unbroken_s: the mean length of its pieces, which
    whoever put them together knows.
    """

    pcm: npt.NDArray[np.float32]
    unbroken_s: float = math.inf


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """One segment of sound, ready for the device.

    mel: (80, 100 * seconds) float32 log-mel frames. voiced: (50 * seconds,) bool, per Whisper frame. unbroken_s: as in
    `SegmentSound`. The rest as in `activity.Activity`.
    """

    mel: npt.NDArray[np.float32]
    voiced: npt.NDArray[np.bool_]
    voiced_fraction: float
    level_db: float
    snr_db: float
    unbroken_s: float = math.inf


def prepare_segment(pcm: npt.NDArray[np.float32], voice_activity: activity.VoiceActivity) -> SpeechSegment:
    """pcm: (samples,) float32 in -1..1 at 16 kHz, of one second or two.

    Raises ValueError for another shape or type, or values that are not finite.
    """
    if pcm.shape not in ((HOP_SAMPLES,), (SEGMENT_SAMPLES,)) or pcm.dtype != np.float32:
        wanted = f"({HOP_SAMPLES},) or ({SEGMENT_SAMPLES},) float32"
        raise ValueError(f"speech segment: wanted {wanted}, got {pcm.shape} {pcm.dtype}")
    if not np.isfinite(pcm).all():
        raise ValueError("speech segment: holds samples that are not finite")
    found = voice_activity(pcm)
    frames = len(pcm) // HOP_SAMPLES * _FRAMES_PER_HOP
    centres = np.arange(frames) * whisper.SAMPLES_PER_FRAME + whisper.SAMPLES_PER_FRAME // 2
    voiced = found.voiced[centres // activity.FRAME_SAMPLES]
    return SpeechSegment(whisper.log_mel(pcm), voiced, found.voiced_fraction, found.level_db, found.snr_db)


class SegmentEncoder(Encoder):
    """Prepares segments of sound; an encoder of speech adds its network."""

    def __init__(self) -> None:
        self._voice_activity = activity.VoiceActivity()

    def prepare(self, event: npt.NDArray[np.float32] | SegmentSound) -> SpeechSegment:
        """Prepares one segment as `prepare_segment` does."""
        if isinstance(event, SegmentSound):
            return replace(prepare_segment(event.pcm, self._voice_activity), unbroken_s=event.unbroken_s)
        return prepare_segment(event, self._voice_activity)

    def example(self) -> SpeechSegment:
        """Returns two seconds that are voiced throughout."""
        segment = self.prepare(np.zeros(SEGMENT_SAMPLES, np.float32))
        return replace(segment, voiced=np.ones_like(segment.voiced), voiced_fraction=1.0)

    def weight(self, prepared: SpeechSegment) -> float:
        """Returns the voiced fraction."""
        return prepared.voiced_fraction

    def quality(self, prepared: Sequence[SpeechSegment]) -> dict[str, float]:
        """Returns the level and the signal-to-noise ratio of a segment."""
        return {"level_db": prepared[0].level_db, "snr_db": prepared[0].snr_db} if prepared else {}


class SpeechEncoder(SegmentEncoder):
    """Encodes segments with Whisper and a small network; a prepared event is a `SpeechSegment`."""

    def __init__(
        self, encoder: whisper.WhisperEncoder, network: WindowNetwork, device: torch.device | str = "cpu"
    ) -> None:
        """Both parts are moved to the device and put in evaluation mode."""
        super().__init__()
        self.width = network.config.features + 1
        self._streams = network.config.streams
        self._device = torch.device(device)
        self._whisper = encoder.to(self._device).eval()
        self._network = network.to(self._device).eval()

    @torch.inference_mode()
    def encode(self, prepared: Sequence[SpeechSegment]) -> Encoded:
        """Encodes at least one segment; the embedding of a segment without voice is zero, and so is its weight.

        Last in an embedding is how far the segment is trusted.
        """
        weight = torch.tensor([self.weight(segment) for segment in prepared], dtype=torch.float32)
        embedding = torch.zeros(len(prepared), self.width)
        of_length: defaultdict[int, list[int]] = defaultdict(list)
        for index, segment in enumerate(prepared):
            if segment.voiced.any():
                of_length[len(segment.voiced)].append(index)
        for voiced in of_length.values():
            mel = torch.from_numpy(np.stack([prepared[index].mel for index in voiced])).to(self._device)
            mask = torch.from_numpy(np.stack([prepared[index].voiced for index in voiced])).to(self._device)
            embedding[voiced, :-1] = segment_statistics(self._whisper, mel, mask, self._streams).cpu()
            embedding[voiced, -1] = self._trust([prepared[index] for index in voiced])
        return Encoded(embedding, weight)

    @torch.inference_mode()
    def pool(self, embedding: torch.Tensor, weight: torch.Tensor) -> Pooled:
        """embedding: (windows, segments, width), in any order; weight: (windows, segments), 0 where padded."""
        embedding, weight = embedding.to(self._device), weight.to(self._device)
        read = window_statistics(embedding[..., :-1], weight)
        share = weight / weight.sum(dim=1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
        trust = (share * embedding[..., -1]).sum(dim=1, keepdim=True)
        return Pooled(emotion_logits(self._network(read)) * trust)

    def _trust(self, segments: Sequence[SpeechSegment]) -> torch.Tensor:
        """(segments,) in 0..1."""
        unbroken = torch.tensor([unbroken_trust(segment.unbroken_s) for segment in segments])
        if self.trust_curve is None:
            return unbroken
        return unbroken * self.trust_curve.trust({"snr_db": torch.tensor([segment.snr_db for segment in segments])})


def build_encoder(
    tensors: Mapping[str, torch.Tensor],
    sizes: Mapping[str, Any],
    device: torch.device | str = "cpu",
    whisper_file: Path | None = None,
) -> SpeechEncoder:
    """Returns the encoder with a network of these sizes and tensors; Whisper as in `load_encoder`.

    sizes: as `save_network` wrote them. Raises TypeError, KeyError or RuntimeError for those that do not fit.
    """
    network = build_network(tensors, sizes)
    return SpeechEncoder(whisper.load_whisper(max(network.config.streams), whisper_file), network, device)


def build_network(tensors: Mapping[str, torch.Tensor], sizes: Mapping[str, Any]) -> WindowNetwork:
    """Returns the network by itself; arguments and errors as in `build_encoder`."""
    network = WindowNetwork(WindowNetworkConfig(**{**sizes, "streams": tuple(sizes["streams"])}))
    network.load_state_dict(tensors)
    return network


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
