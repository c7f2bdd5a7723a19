"""Drowsiness as a risk, with reasons of its own.

Rule. The severity of a sign is in steps of the levels, whose thresholds it is brought to, so that what is severe stays
so under other thresholds. The worst reason makes the score, as with words. It is a risk of driving, and says nothing of
how somebody feels: the categories and the emotion stay. Left out: when it is asked for (the configuration).
"""

import numpy as np

from models.face.drowsiness import Drowsiness
from models.risk import LEVELS, RiskRule
from models.scores import RiskCode, RiskLevel, RiskReason, RiskScores


def with_drowsiness(risk: RiskScores, signs: Drowsiness, rule: RiskRule) -> RiskScores:
    """Returns the risk with the reasons that the signs give.

    The same risk where they do not reach `low`.
    """
    found = {RiskCode.EYES_CLOSED: signs.eyes_severity, RiskCode.NODDING: signs.nods_severity}
    weights = {code: _score(severity, rule) for code, severity in found.items()}
    least = rule.levels[RiskLevel.LOW]
    reasons = [RiskReason(code, "video", weight) for code, weight in weights.items() if weight >= least]
    return rule.raised(risk, reasons) if reasons else risk


def _score(severity: float, rule: RiskRule) -> float:
    """The score of a severity.

    At a whole one it is the least that reaches its level.
    """
    return float(np.interp(severity, range(len(LEVELS) + 1), [0.0, *(rule.levels[level] for level in LEVELS)]))
