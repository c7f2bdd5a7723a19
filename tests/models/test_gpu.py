"""The same answers on a GPU as on the CPU, through the shipped model."""

import numpy as np
import pytest
import torch

from models.encoder import Encoded
from models.model import AffectModel, WindowFeatures
from models.scores import Scores

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def scores_on(device: str) -> list[Scores]:
    model = AffectModel.load("default", device)
    encoded: dict[str, Encoded] = {}
    for modality, encoder in model.encoders.items():
        encoded[modality] = encoder.encode([encoder.example()] * 3)
    return model.fuse([WindowFeatures(encoded), WindowFeatures({"text": encoded["text"]})])


def test_the_gpu_gives_the_scores_of_the_cpu() -> None:
    for one, other in zip(scores_on("cpu"), scores_on("cuda"), strict=True):
        assert np.allclose(one.emotion, other.emotion, atol=1e-3)
        assert one.label == other.label


def test_auto_takes_the_gpu_where_there_is_one() -> None:
    assert AffectModel.load("default", "auto").device.type == "cuda"
