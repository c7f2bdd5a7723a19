"""Scores of a window in the light of the windows before it.

Smoothing changes probabilities, label, valence, arousal, entropy and abstention; a prediction set gets the label where
it lacks it, which keeps its promise. The course of risk changes the risk's score, level and reasons. What each modality
says stays the window's own. A window without evidence is abstained from whatever was before it: the past is no evidence
of a mood now. What was said before still is a reason to look.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch

from models.fusion.smoothing import Smoothing
from models.labels import EMOTIONS
from models.risk import RiskRule
from models.risk_course import RiskCourse
from models.scores import Abstention, Scores
from models.valence_arousal import valence_arousal

_LEAST = torch.finfo(torch.float64).tiny  # stands in for a probability that is too small for its number


@dataclass(frozen=True, slots=True)
class Course:
    """How windows are scored in the light of those before."""

    emotion: Smoothing
    risk: RiskCourse

    @classmethod
    def of_windows(cls, size_s: float, step_s: float, rule: RiskRule) -> Self:
        """The course of windows of a size and a step.

        rule: as of the model.
        """
        return cls(Smoothing(size_s, step_s), RiskCourse(rule, size_s, step_s))


@torch.inference_mode()
def smoothed(rows: Sequence[Sequence[Scores]], course: Course, least_confidence: float) -> list[Scores]:
    """Scores the newest window of each row.

    rows: the scores of the windows in the lookback and of the newest one, one a step, the oldest first; equally many in
    each row. least_confidence: as of the model. A row's answer does not depend on the other rows.
    """
    if not rows:
        return []
    emotions = _emotions(rows, course.emotion, least_confidence)
    risks = [course.risk.risk(row) for row in rows]
    return [
        scores if scores.risk is risk else replace(scores, risk=risk)
        for scores, risk in zip(emotions, risks, strict=True)
    ]


def _emotions(rows: Sequence[Sequence[Scores]], smoothing: Smoothing, least_confidence: float) -> list[Scores]:
    posterior = torch.tensor([[scores.emotion for scores in row] for row in rows], dtype=torch.float64)
    evident = torch.tensor([[scores.abstained is not Abstention.NO_EVIDENCE for scores in row] for row in rows])
    answer = smoothing.smooth(posterior.clamp(min=_LEAST).log(), evident, least_confidence)
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
        label_set=None if newest.label_set is None else _with_best(newest.label_set, answer),
    )


def _with_best(label_set: tuple[str, ...], answer: tuple[float, ...]) -> tuple[str, ...]:
    """The set with the best label, the most probable first."""
    places = sorted(range(len(answer)), key=answer.__getitem__, reverse=True)
    return tuple(EMOTIONS[place] for place in places if place == places[0] or EMOTIONS[place] in label_set)
