"""Valence and arousal: the expectation of published coordinates.

The coordinates are the mean pleasure and arousal ratings of Russell and Mehrabian (1977, "Evidence for a three-factor
theory of emotions", Journal of Research in Personality 11, 273-294), on scales from -1 to 1, for the terms happy,
surprised, sad, angry, disgusted and fearful. They rated no neutral term; neutral is the scales' origin.
Left out: dominance, and any valence or arousal learned from data of its own.
"""

import torch

from models.labels import EMOTIONS

COORDINATES = {
    "neutral": (0.0, 0.0),
    "happiness": (0.81, 0.51),
    "surprise": (0.40, 0.67),
    "sadness": (-0.63, -0.27),
    "anger": (-0.51, 0.59),
    "disgust": (-0.60, 0.35),
    "fear": (-0.64, 0.60),
}
"""Emotion to (valence, arousal)."""

_TABLE = torch.tensor([COORDINATES[emotion] for emotion in EMOTIONS], dtype=torch.float64)


def valence_arousal(posterior: torch.Tensor) -> torch.Tensor:
    """(windows, 2): valence and arousal, each in -1..1.

    posterior: (windows, 7) float64.
    """
    return posterior @ _TABLE.to(posterior.device)
