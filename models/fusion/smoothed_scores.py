"""Smoothed scores of a window, from those of earlier windows.

Smoothing changes probabilities, label, valence, arousal, entropy and abstention. The modalities' scores and the risk
stay the window's own. A window without evidence is abstained from whatever was before it: the past is no evidence of
now.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from models.fusion.smoothing import Smoothing
from models.labels import EMOTIONS
from models.scores import Abstention, Scores
from models.valence_arousal import valence_arousal

_LEAST = torch.finfo(torch.float64).tiny  # stands in for a probability that is too small for its number


@torch.inference_mode()
def smoothed(rows: Sequence[Sequence[Scores]], smoothing: Smoothing, least_confidence: float) -> list[Scores]:
    """Smooths the newest window of each row.

    rows: the scores of the windows in the lookback and of the newest one, one a step, the oldest first; equally many in
    each row. least_confidence: as of the model. A row's answer does not depend on the other rows.
    """
    if not rows:
        return []
    posterior = torch.tensor([[scores.emotion for scores in row] for row in rows], dtype=torch.float64)
    evident = torch.tensor([[scores.abstained is not Abstention.NO_EVIDENCE for scores in row] for row in rows])
    answer = smoothing.smooth(posterior.clamp(min=_LEAST).log(), evident)
    entropy = torch.special.entr(answer).sum(dim=-1).tolist()
    affect, best = valence_arousal(answer).tolist(), answer.argmax(dim=-1).tolist()
    newest = [row[-1] for row in rows]
    unsmoothed = (~evident[:, :-1].any(dim=1) | ~evident[:, -1]).tolist()
    return [
        scores
        if unsmoothed[i]
        else _with_answer(scores, tuple(answer[i].tolist()), best[i], affect[i], entropy[i], least_confidence)
        for i, scores in enumerate(newest)
    ]


def _with_answer(
    newest: Scores, answer: tuple[float, ...], best: int, affect: list[float], entropy: float, least_confidence: float
) -> Scores:
    abstained = Abstention.LOW_CONFIDENCE if answer[best] < least_confidence else None
    return replace(
        newest,
        emotion=answer,
        label=None if abstained else EMOTIONS[best],
        valence=affect[0],
        arousal=affect[1],
        entropy=entropy,
        abstained=abstained,
    )
