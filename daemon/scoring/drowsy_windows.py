"""Drowsiness of windows, from the qualities of their pictures.

The eyes and the head of a window's pictures, and of those of the windows before it, make its signs. They are read from
what lies in the lookback alone, so that any instance finds the same.
"""

from collections.abc import Sequence
from dataclasses import replace

from daemon.scoring.results import UnitFeatures
from models.drowsy_risk import with_drowsiness
from models.face.drowsiness import EyesAndHead, drowsiness
from models.face.encoder import EYES_OPEN, PITCH_DEGREES
from models.risk import RiskRule
from models.scores import Scores
from streams.alignment.ordered_units import UnitsByModality
from streams.events import EncodingUnit
from streams.records import Modality


def drowsy_scores(scores: Scores, row: Sequence[UnitsByModality], rule: RiskRule) -> Scores:
    """Returns the scores with the risk that drowsiness adds.

    row: the units of the windows in the lookback and of the window itself, which overlap.
    """
    units = {unit.order: unit for window in row for unit in window.get(Modality.VIDEO, ())}
    signs = drowsiness(sorted(map(_eyes_and_head, units.values()), key=lambda picture: picture.time_ns))
    return scores if signs is None else replace(scores, risk=with_drowsiness(scores.risk, signs, rule))


def _eyes_and_head(unit: EncodingUnit) -> EyesAndHead:
    quality = unit.result.quality if isinstance(unit.result, UnitFeatures) else {}
    return EyesAndHead(unit.start_ns, quality.get(EYES_OPEN), quality.get(PITCH_DEGREES))
