"""Alarm curve: what a threshold finds, and what it costs.

Precision and recall are of labelled rows (Davis and Goadrich, 2006). Precision depends on how common the risk is among
them, which is far more than where a service runs. So beside them stands what a person has to look at: the false alarms
in an hour of conversation without the risk, as many lines long as `LINES_PER_HOUR`, where each line that reaches the
threshold is an alarm. Lines that follow each other within a window are one alarm, so that this is at most so many.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

LINES_PER_HOUR = 240
"""A line every quarter of a minute, as in a helpline's chat."""

_RECALLS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

AlarmPoint = dict[str, float | str | None]
"""{"level": of the model, or None, "threshold", "precision", "recall", "alarms_per_hour"}."""


def alarm_curve(
    scores: NDArray[np.float64], has_risk: NDArray[np.bool_], levels: Mapping[str, float]
) -> list[AlarmPoint]:
    """The curve at the levels and at given recalls.

    scores, has_risk: (rows,). levels: the least score of each. By rising threshold; precision is None where no row
    reaches it. Empty without rows of both kinds.
    """
    if not has_risk.any() or has_risk.all():
        return []
    named: list[tuple[float, str | None]] = [(threshold, str(level)) for level, threshold in levels.items()]
    found = np.sort(scores[has_risk])[::-1]
    named += [(float(found[int(np.ceil(share * len(found))) - 1]), None) for share in _RECALLS]
    return [_point(scores, has_risk, threshold, level) for threshold, level in sorted(named, key=lambda each: each[0])]


def _point(scores: NDArray[np.float64], has_risk: NDArray[np.bool_], threshold: float, level: str | None) -> AlarmPoint:
    reached = scores >= threshold
    return {
        "level": level,
        "threshold": round(threshold, 4),
        "precision": round(float(has_risk[reached].mean()), 4) if reached.any() else None,
        "recall": round(float(reached[has_risk].mean()), 4),
        "alarms_per_hour": round(float(reached[~has_risk].mean()) * LINES_PER_HOUR, 2),
    }
