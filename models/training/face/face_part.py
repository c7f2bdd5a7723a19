"""Writes the face part: weights, figures and held-out logits.

Left out: training the networks (`models.training.face.train`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.data.corpora.ferplus import Faces
from models.face.crop import given_face
from models.face.detector import FaceDetector
from models.face.encoder import FaceEncoder, face_qualities, load_network, save_network
from models.face.network import ExpressionCommittee, ExpressionNet
from models.labels import EMOTIONS
from models.training.face.corrupted_logits import corrupted_logits
from models.training.face.figures import (
    detector_figures,
    expression_figures,
    rows_of_each_label,
)
from models.training.part.folder import PartFolder
from models.training.part.held_out import CLEAN, EmotionLogits, HeldOutLogits

_BATCH = 128

_DETECTED_ROWS = 70  # of each label, shown to the detector


def write_face_part(
    folder: PartFolder,
    network: ExpressionNet | ExpressionCommittee,
    valid: Faces,
    log_prior: Tensor,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes the network, its figures and its logits on `valid`.

    Returns the figures, `facts` among them.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    save_network(folder.weights, network)
    encoder = FaceEncoder(load_network(folder.weights))
    logits = valid_logits(encoder, valid)
    held_out_logits(logits, valid, str(facts["data"])).save(folder.held_out)
    corrupted_logits(encoder, valid, str(facts["data"])).save(folder.corrupted)
    metrics = {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        **facts,
        "log_prior": log_prior.tolist(),
        "valid": expression_figures(logits, valid.labels, log_prior),
        "through_detector_balanced": detector_figures(
            encoder, FaceDetector(), valid, rows_of_each_label(valid.labels, _DETECTED_ROWS)
        ),
    }
    folder.write_metrics(metrics)
    return metrics


def held_out_logits(logits: Tensor, valid: Faces, corpus: str) -> HeldOutLogits:
    """Logits of validation faces that show one of the seven emotions.

    logits: (n, 8) on `valid`. Contempt is left out.
    """
    rows = np.flatnonzero(valid.labels < len(EMOTIONS))
    qualities = face_qualities([given_face(image) for image in valid.images[rows]])
    emotion = EmotionLogits(
        logits[torch.from_numpy(rows), : len(EMOTIONS)].numpy(),
        valid.labels[rows],
        np.full(len(rows), corpus),
        rows.astype(str),
    )
    return HeldOutLogits(
        "video",
        emotion,
        emotion.logits,
        np.full(len(rows), CLEAN),
        {name: values.numpy() for name, values in qualities.items()},
    )


def valid_logits(encoder: FaceEncoder, valid: Faces) -> Tensor:
    """(n, 8) as the encoder that the daemon uses answers."""
    faces = [given_face(image) for image in valid.images]
    chunks = [encoder.encode(faces[start : start + _BATCH]).embedding for start in range(0, len(faces), _BATCH)]
    return encoder.expressions(torch.cat(chunks)).cpu()
