"""What each step of scoring hands to the next.

Plain data: importing it brings no torch, so that predictions can be built and published without a model.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from models.scores import Scores
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.ordered_units import UnitsByModality
from streams.events import EncodingUnit, Task
from streams.participants import Participant

if TYPE_CHECKING:
    import torch

    from models.face.sight import FaceSight


@dataclass(frozen=True, slots=True)
class PreparedFace:
    """A face that may be followed.

    row: of the rows of its picture.
    """

    row: int
    sight: "FaceSight"
    quality: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class UnitRows:
    """The rows of a prepared unit, and its quality by name.

    others: how many of the rows, the last ones, do not count for the session. faces: of a picture that nobody names.
    voiced: of sound, the voiced share of each tenth of a second.
    """

    rows: Sequence[Any]
    quality: Mapping[str, float]
    others: int = 0
    faces: tuple[PreparedFace, ...] = ()
    voiced: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class FaceFeatures:
    """Features of the faces of a picture that nobody names.

    embedding: (faces, width) and weight: (faces,). sights and quality: of each.
    """

    embedding: "torch.Tensor"
    weight: "torch.Tensor"
    sights: "tuple[FaceSight, ...]"
    quality: tuple[Mapping[str, float], ...]


@dataclass(frozen=True, slots=True)
class UnitFeatures:
    """The features of an encoded unit.

    embedding: (rows, width) and weight: (rows,), float32 on the CPU. encode_ms: from the start of preparation on.
    """

    embedding: "torch.Tensor"
    weight: "torch.Tensor"
    quality: Mapping[str, float]
    encode_ms: float
    faces: FaceFeatures | None = None
    """Of a picture that nobody names, where faces are followed: all that may be somebody's."""
    participants: tuple[Participant | None, ...] = ()
    """Whose each of the faces is, where these were told apart."""
    voiced: tuple[float, ...] = ()
    """Of sound: the voiced share of each tenth of a second."""


@dataclass(frozen=True, slots=True)
class Untranscribed:
    """The result of an utterance that came too late for the recogniser."""


LANES = {Task.DETECT_VOICE: "voice", Task.TRANSCRIBE: "transcribe"}
"""Names of lanes, of tasks other than to encode; those have their modality's."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """The result of a row that a working device cannot compute.

    reason: one word for the log and dead letters.
    """

    reason: str


class ParticipantScores(NamedTuple):
    """The scores of one participant of a window, with their units."""

    participant: Participant
    scores: Scores
    units: UnitsByModality


@dataclass(frozen=True, slots=True)
class WindowScores:
    """The scores of a window.

    They are of the session, and of its participants in order of id.
    """

    session: Scores
    participants: tuple[ParticipantScores, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoredWindow:
    """A window with its scores, and how long they took.

    scores: a `BadRow` where a working device cannot score the window, None where the device is broken.
    """

    window: ClosedWindow
    scores: Scores | BadRow | None
    queue_ms: float
    fuse_ms: float
    participants: tuple[ParticipantScores, ...] = ()
    """In order of id."""


def units_with_evidence(units: Iterable[EncodingUnit]) -> list[tuple[EncodingUnit, UnitFeatures]]:
    """The encoded units that have rows, each with its rows.

    The others show no face, hold no voice, or failed.
    """
    return [(unit, unit.result) for unit in units if isinstance(unit.result, UnitFeatures) and len(unit.result.weight)]
