"""Builds each modality's encoder from its component of a model folder.

The components are the networks trained here. What they stand on (the face detector, Whisper, the sentence encoder's
table) comes from its own package, checked against its digest there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from models.artifact import WEIGHTS, ModelError, ModelFolder, Tensors
from models.encoder import Encoder
from models.face.encoder import FaceEncoder
from models.face.network import build_network
from models.speech.encoder import build_encoder as build_speech
from models.text.component import build_text_encoder as build_text
from models.text.encoder import TextEncoder


@dataclass(frozen=True, slots=True)
class Component:
    """The encoder factory of one modality.

    name: prefix of its tensors. build: from tensors, sizes and device.
    """

    name: str
    build: Callable[[Tensors, Mapping[str, Any], torch.device], Encoder]


def build_encoders(folder: ModelFolder, device: torch.device) -> dict[str, Encoder]:
    """Builds the encoders of a folder's components, by modality.

    Raises ModelError for weights that do not fit.
    """
    encoders = {}
    for modality, component in COMPONENTS.items():
        if component.name not in folder.manifest.parts:
            continue
        try:
            encoder = component.build(folder.tensors[component.name], folder.manifest.parts[component.name], device)
        except (RuntimeError, TypeError, KeyError, ValueError) as wrong:
            raise ModelError(f"{folder.path / WEIGHTS}: part {component.name}: {wrong}") from wrong
        encoder.trust_curve = folder.manifest.reliability.get(modality)
        if isinstance(encoder, TextEncoder):
            encoder.transcripts = folder.manifest.transcripts
        encoders[modality] = encoder
    return encoders


def _build_face(tensors: Tensors, sizes: Mapping[str, Any], device: torch.device) -> FaceEncoder:
    network = build_network(sizes)
    network.load_state_dict(tensors)
    return FaceEncoder(network, device)


def _build_text(tensors: Tensors, _: Mapping[str, Any], device: torch.device) -> TextEncoder:
    return build_text(tensors, device)


COMPONENTS = {
    "video": Component("face", _build_face),
    "audio": Component("speech", build_speech),
    "text": Component("text", _build_text),
}
"""By modality."""
