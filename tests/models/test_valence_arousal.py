"""Valence and arousal are the expectation of each emotion's published place."""

import pytest
import torch

from models.labels import EMOTIONS
from models.valence_arousal import COORDINATES, valence_arousal

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_a_certain_emotion_is_at_its_own_place(emotion: str) -> None:
    posterior = torch.zeros(1, len(EMOTIONS), dtype=torch.float64)
    posterior[0, EMOTIONS.index(emotion)] = 1
    assert tuple(valence_arousal(posterior)[0].tolist()) == COORDINATES[emotion]


def test_a_mixed_answer_lies_between() -> None:
    posterior = torch.zeros(1, len(EMOTIONS), dtype=torch.float64)
    posterior[0, EMOTIONS.index("neutral")] = posterior[0, EMOTIONS.index("happiness")] = 0.5
    assert valence_arousal(posterior)[0].tolist() == pytest.approx([0.405, 0.255])
