"""The label space of speech: emotions, and two more neutral states.

Calm and boredom are learned apart from neutral and count as neutral.
"""

import torch

from models.labels import EMOTIONS

STATES = (*EMOTIONS, "calm", "boredom")
"""Order of a speech network's outputs."""

EMOTION_OF = {**{emotion: emotion for emotion in EMOTIONS}, "calm": "neutral", "boredom": "neutral"}
"""The emotion each state counts as."""


def emotion_logits(states: torch.Tensor) -> torch.Tensor:
    """(batch, 7) emotion logits from state logits (batch, 9).

    An emotion's probability is the sum of those of its states.
    """
    columns = [
        torch.logsumexp(states[:, [i for i, state in enumerate(STATES) if EMOTION_OF[state] == emotion]], dim=-1)
        for emotion in EMOTIONS
    ]
    return torch.stack(columns, dim=-1)
