"""The encoder of speech: segments to embeddings and weights.

Problem: the engine encodes each segment once, in batches of any size, and pools windows of any number of segments.
Rule: Whisper reads a segment, and the mean and spread of its layers over the voiced frames are the segment's embedding.
A window's mean and spread follow from those of its segments, and a small network reads these. A segment weighs its
voiced fraction, so that silence is no evidence; a voice in noise or in pieces is less certain evidence
(`models.calibration.trust`). Left out: log-mel frames and voice activity (`models.speech.segment`), and calibration,
which belongs to fusion.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.calibration.trust import unbroken_trust
from models.encoder import Encoded, Pooled
from models.speech import whisper
from models.speech.segment import SegmentEncoder, SpeechSegment
from models.speech.states import emotion_logits
from models.speech.statistics import segment_statistics, window_statistics
from models.speech.window_network import WindowNetwork, WindowNetworkConfig


class SpeechEncoder(SegmentEncoder):
    """Encodes segments with Whisper and a small network."""

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
        """Encodes at least one segment: embeddings and weights.

        A segment without voice has an embedding of zeros and no weight.

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
        """Pools segments into logits per window.

        embedding: (windows, segments, width), in any order. weight: (windows, segments), 0 where padded.
        """
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
    """Builds the encoder from a network's sizes and tensors.

    Whisper is loaded as in `load_encoder`. sizes: as `save_network` wrote them. Raises TypeError, KeyError or
    RuntimeError for those that do not fit.
    """
    network = build_network(tensors, sizes)
    return SpeechEncoder(whisper.load_whisper(max(network.config.streams), whisper_file), network, device)


def build_network(tensors: Mapping[str, torch.Tensor], sizes: Mapping[str, Any]) -> WindowNetwork:
    """Returns the network by itself; arguments and errors as in `build_encoder`."""
    network = WindowNetwork(WindowNetworkConfig(**{**sizes, "streams": tuple(sizes["streams"])}))
    network.load_state_dict(tensors)
    return network


def save_network(path: Path, network: WindowNetwork) -> None:
    """Writes the network's float16 weights, with its sizes as metadata."""
    tensors = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, path, metadata={"speech": json.dumps(asdict(network.config))})


def load_encoder(path: Path, device: torch.device | str = "cpu", whisper_file: Path | None = None) -> SpeechEncoder:
    """Loads a network that `save_network` wrote, and Whisper.

    Whisper comes from its packages, or from `whisper_file`, a CTranslate2 `model.bin`. Raises FileNotFoundError for a
    missing file, ValueError for one that is not a speech network.
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
