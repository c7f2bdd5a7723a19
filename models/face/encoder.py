"""The encoder of faces: crops to embeddings and weights.

Problem: the engine encodes each picture's faces once, in batches of any size, and pools windows of any number of them.
Rule: a crop and its mirror image are embedded and averaged; a face weighs its detection score; a window's logits are
the head's on the weighted mean embedding, less confident where faces are of low quality (`models.calibration.trust`).
FER+'s contempt is left out of the answer, which is as if it were known to be absent. Left out: detection and tracking
(`models.face.tracking`), and calibration, which belongs to fusion.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.encoder import Encoded, Encoder, Pooled
from models.face.crop import Face, given_face
from models.face.network import CROP_PX, ExpressionCommittee, ExpressionNet, build_network
from models.labels import EMOTIONS

EYES_OPEN, PITCH_DEGREES = "eyes_open", "pitch_degrees"
"""Qualities of a picture that drowsiness is read from."""


class FaceEncoder(Encoder):
    """Encodes face crops; a prepared event is a `Face`."""

    def __init__(self, network: ExpressionNet | ExpressionCommittee, device: torch.device | str = "cpu") -> None:
        """The network is moved to the device and put in evaluation mode."""
        self.width = network.width + 1
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()

    def prepare(self, event: Face) -> Face:
        """Returns the face: it is ready as it was cut."""
        return event

    def example(self) -> Face:
        """Returns a black crop."""
        return given_face(np.zeros((CROP_PX, CROP_PX), np.uint8))

    def weight(self, prepared: Face) -> float:
        """Returns the detection score."""
        return prepared.score

    def quality(self, prepared: Sequence[Face]) -> dict[str, float]:
        """The number of faces, and the quality of the largest.

        Its eyes and head where they were told.
        """
        if not prepared:
            return {}
        largest = max(prepared, key=lambda face: face.size_px)
        told = {EYES_OPEN: largest.eyes_open, PITCH_DEGREES: largest.pitch_degrees}
        return {
            "faces": float(len(prepared)),
            "size_px": largest.size_px,
            "sharpness": largest.sharpness,
            "brightness": largest.brightness,
            **{name: value for name, value in told.items() if value is not None},
        }

    @torch.inference_mode()
    def encode(self, prepared: Sequence[Face]) -> Encoded:
        """Encodes at least one face: embedding (faces, width), weight (faces,).

        Last in an embedding is the face's trust; its weight is the detection score.
        """
        crops = torch.from_numpy(np.stack([face.crop for face in prepared])).to(self._device)
        both = self._network.embed(torch.cat([crops, crops.flip(-1)]))
        embedding = (both[: len(crops)] + both[len(crops) :]) / 2
        trusted = torch.cat([embedding.cpu(), self._trust(prepared)[:, None]], dim=1)
        return Encoded(trusted, torch.tensor([self.weight(face) for face in prepared], dtype=torch.float32))

    @torch.inference_mode()
    def pool(self, embedding: torch.Tensor, weight: torch.Tensor) -> Pooled:
        """Pools faces into logits per window, for equal priors.

        embedding: (windows, faces, width). weight: (windows, faces), 0 where padded.
        """
        share = weight / weight.sum(dim=1, keepdim=True).clamp_min(1e-6)
        mean = (embedding * share.unsqueeze(-1)).sum(dim=1)
        return Pooled(self.expressions(mean)[:, : len(EMOTIONS)] * mean[:, -1:].to(self._device))

    @torch.inference_mode()
    def expressions(self, embedding: torch.Tensor) -> torch.Tensor:
        """(faces, 8) logits of all FER+ expressions, for equal priors.

        embedding: (faces, width).
        """
        logits: torch.Tensor = self._network.head(embedding[:, :-1].to(self._device))
        return logits

    def _trust(self, faces: Sequence[Face]) -> torch.Tensor:
        """(faces,) in 0..1."""
        if self.trust_curve is None:
            return torch.ones(len(faces))
        return self.trust_curve.trust(face_qualities(faces))


def face_qualities(faces: Sequence[Face]) -> dict[str, torch.Tensor]:
    """Qualities of faces, by name, (faces,).

    Doubling a quality is one step of its scale.
    """
    return {
        "log_sharpness": torch.tensor([face.sharpness for face in faces], dtype=torch.float64).log1p(),
        "log_brightness": torch.tensor([face.brightness for face in faces], dtype=torch.float64).add(0.01).log(),
    }


def save_network(path: Path, network: ExpressionNet | ExpressionCommittee) -> None:
    """Writes float16 weights, with the network's sizes as metadata."""
    tensors = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(tensors, path, metadata={"face": json.dumps(asdict(network.config))})


def load_network(path: Path) -> ExpressionNet | ExpressionCommittee:
    """Reads what `save_network` wrote.

    Raises FileNotFoundError for a missing file, ValueError for one that is not an expression network.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            sizes = json.loads((file.metadata() or {})["face"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        network = build_network(sizes)
        network.load_state_dict(tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: not an expression network: {error}") from error
    return network.eval()
