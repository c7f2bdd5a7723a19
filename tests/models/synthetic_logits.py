"""Emotion logits that are right as often as a test needs."""

import numpy as np

from models.labels import EMOTIONS
from models.training.part.held_out import EmotionLogits


def synthetic_logits(seed: int, strength: float, rows: int = 280) -> EmotionLogits:
    """Noise with `strength` added to the logit of the right label; groups of 14 rows."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % len(EMOTIONS)
    logits = rng.normal(0, 1, (rows, len(EMOTIONS)))
    logits[np.arange(rows), labels] += strength
    group = (np.arange(rows) // 14).astype(str)
    return EmotionLogits(logits.astype(np.float32), labels, np.full(rows, "made"), group)
