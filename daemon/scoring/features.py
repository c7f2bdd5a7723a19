"""Features of units and of windows, as fusion reads them.

The rows of a unit are encoded to features; those of its units are a window's. Encoded once, a unit's features serve
every window that holds it.
"""

from collections.abc import Sequence
from typing import Any

import torch

from daemon.scoring.results import BadRow, FaceFeatures, UnitFeatures, UnitRows, units_with_evidence
from models.encoder import Encoded, Encoder
from models.model import WindowFeatures
from streams.alignment.ordered_units import UnitsByModality

NOT_FINITE = BadRow("not_finite")


def encode_units(encoder: Encoder, units: Sequence[Sequence[Any]]) -> list[Encoded | BadRow]:
    """Encodes the rows of several units in one device call.

    Returns one result for each unit: a `BadRow` where one of its rows is not finite.
    """
    encoded = encoder.encode([row for rows in units for row in rows])
    sizes = [len(rows) for rows in units]
    each = zip(torch.split(encoded.embedding, sizes), torch.split(encoded.weight, sizes), strict=True)
    return [Encoded(*found) if all(torch.isfinite(part).all() for part in found) else NOT_FINITE for found in each]


def no_features(prepared: UnitRows, encode_ms: float) -> UnitFeatures:
    """Returns the features of a unit without rows."""
    return UnitFeatures(torch.zeros(0, 0), torch.zeros(0), prepared.quality, encode_ms, voiced=prepared.voiced)


def unit_features(prepared: UnitRows, encoded: Encoded, encode_ms: float) -> UnitFeatures:
    """Returns the features of a unit whose rows were encoded."""
    of_session = len(prepared.rows) - prepared.others
    return UnitFeatures(
        encoded.embedding[:of_session],
        encoded.weight[:of_session],
        prepared.quality,
        encode_ms,
        faces=_face_features(prepared, encoded) if prepared.faces else None,
        voiced=prepared.voiced,
    )


def _face_features(prepared: UnitRows, encoded: Encoded) -> FaceFeatures:
    rows = [face.row for face in prepared.faces]
    return FaceFeatures(
        encoded.embedding[rows],
        encoded.weight[rows],
        tuple(face.sight for face in prepared.faces),
        tuple(face.quality for face in prepared.faces),
    )


def window_features(units: UnitsByModality) -> WindowFeatures:
    """Joins the features of each modality's units, in event-time order.

    Modalities without rows are left out. A word has the features of its utterance, and a share of their weight.
    """
    events = {}
    for modality, placed in units.items():
        evidence = units_with_evidence(placed)
        if evidence:
            embedding = torch.cat([features.embedding for _, features in evidence])
            weight = torch.cat([features.weight * unit.share for unit, features in evidence])
            events[modality.value] = Encoded(embedding, weight)
    return WindowFeatures(events)
