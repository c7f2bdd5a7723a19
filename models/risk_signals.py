"""Signals: scores from elsewhere that risk weighs beside the words.

What another system knows (a monitor, a fraud score, a sensor) is one more modality. The rule: a signal is as strong as
the weight of its name times its value times its confidence, so that one without a weight counts for nothing; the
strongest of a window is a reason of the risk, and raises its score to its own strength. It leaves emotion and the risk
categories, which are of words, as they are. Left out: signals that lower a risk.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from models.risk import RiskRule
from models.scores import RiskCode, RiskReason, Scores


def strength(signals: Iterable[tuple[str, float, float]], weights: Mapping[str, float]) -> float | None:
    """The strongest of a window's signals, 0..1; None without signals.

    signals: name, value and confidence of each, the last two in 0..1. weights: by name, in 0..1.
    """
    return max((weights.get(name, 0.0) * value * confidence for name, value, confidence in signals), default=None)


def with_signals(scores: Scores, strongest: float, rule: RiskRule) -> Scores:
    """Scores of a window that also has signals.

    strongest: from `strength`. rule: as of the model.
    """
    raised = rule.raised(scores.risk, [RiskReason(RiskCode.SIGNAL, "signals", strongest)])
    return replace(scores, risk=raised, signals=raised.score - scores.risk.score)
