"""Builds each modality's encoder from its part of a model folder, and an example of its input to warm it up with.

The parts are the networks trained here; what they stand on (the face detector, Whisper, the sentence encoder's table)
comes from its own package, checked against its digest there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from models.artifact import WEIGHTS, ModelError, ModelFolder, Tensors
from models.encoder import Encoder
from models.face.crop import Face, given_face
from models.face.encoder import FaceEncoder
from models.face.network import CROP_PX, build_network
from models.speech.encoder import SEGMENT_SAMPLES, SpeechEncoder, SpeechSegment
from models.speech.encoder import build_encoder as build_speech
from models.text.component import build_text_encoder as build_text
from models.text.encoder import PreparedLine, TextEncoder


@dataclass(frozen=True, slots=True)
class Part:
    """How one modality is built and warmed up.

    name: prefix of its tensors. build: from tensors, sizes and device. example: one prepared event of usual size.
    """

    name: str
    build: Callable[[Tensors, Mapping[str, Any], torch.device], Encoder]
    example: Callable[[Any], Any]


def build_encoders(folder: ModelFolder, device: torch.device) -> dict[str, Encoder]:
    """The encoders of the parts that the folder has, by modality. Raises ModelError for weights that do not fit."""
    encoders = {}
    for modality, part in PARTS.items():
        if part.name not in folder.manifest.parts:
            continue
        try:
            encoder = part.build(folder.tensors[part.name], folder.manifest.parts[part.name], device)
        except (RuntimeError, TypeError, KeyError, ValueError) as wrong:
            raise ModelError(f"{folder.path / WEIGHTS}: part {part.name}: {wrong}") from wrong
        if isinstance(encoder, FaceEncoder | SpeechEncoder):
            encoder.trust_curve = folder.manifest.reliability.get(modality)
        encoders[modality] = encoder
    return encoders


def _build_face(tensors: Tensors, sizes: Mapping[str, Any], device: torch.device) -> FaceEncoder:
    network = build_network(sizes)
    network.load_state_dict(tensors)
    return FaceEncoder(network, device)


def _face_example(_: FaceEncoder) -> Face:
    return given_face(np.zeros((CROP_PX, CROP_PX), np.uint8))


def _speech_example(encoder: SpeechEncoder) -> SpeechSegment:
    segment = encoder.prepare(np.zeros(SEGMENT_SAMPLES, np.float32))
    return replace(segment, voiced=np.ones_like(segment.voiced), voiced_fraction=1.0)


def _build_text(tensors: Tensors, _: Mapping[str, Any], device: torch.device) -> TextEncoder:
    return build_text(tensors, device)


def _text_example(encoder: TextEncoder) -> PreparedLine:
    return encoder.prepare("a line of chat, as long as lines of chat usually are")


PARTS = {
    "video": Part("face", _build_face, _face_example),
    "audio": Part("speech", build_speech, _speech_example),
    "text": Part("text", _build_text, _text_example),
}
"""By modality."""
