"""The scores of one window: emotion, risk, and each modality's part.

Plain data without torch, so that whoever publishes scores need not import a model.
"""

from dataclasses import dataclass
from enum import StrEnum

from models.labels import RISKS


class Abstention(StrEnum):
    """Why a window has no label."""

    NO_EVIDENCE = "no_evidence"
    """No modality is present."""
    LOW_CONFIDENCE = "low_confidence"
    """The best label is not probable enough."""


class RiskLevel(StrEnum):
    """How much a window asks for a person's attention, rising."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class RiskCode(StrEnum):
    """What a risk is scored by: words, affect, signals, or windows before."""

    WORDS_OF_DISTRESS = "words_of_distress"
    WORDS_OF_SELF_HARM = "words_of_self_harm"
    WORDS_OF_ABUSE = "words_of_abuse"
    NEGATIVE_AFFECT = "negative_affect"
    AGITATED_VOICE = "agitated_voice"
    """Anger and fear in the voice, for most of the lookback."""
    SIGNAL = "signal"
    """A score from elsewhere."""
    EYES_CLOSED = "eyes_closed"
    """Eyes closed for long, or for much of the time; where drowsiness is asked for."""
    NODDING = "nodding"
    """The head sinking with closed eyes, likewise."""
    RECENT_COURSE = "recent_course"
    """What was said shortly before, and still counts."""


@dataclass(frozen=True, slots=True)
class RiskReason:
    """Why a risk is scored.

    modality: that the evidence comes from. weight: the score that it gives by itself, in 0..1.
    """

    code: RiskCode
    modality: str
    weight: float


@dataclass(frozen=True, slots=True)
class RiskScores:
    """Risk of one window.

    categories: by the names of RISKS, in their order. reasons: greatest first, none when the level is none.
    """

    score: float
    level: RiskLevel
    categories: dict[str, float]
    reasons: tuple[RiskReason, ...] = ()


NO_RISK = RiskScores(0.0, RiskLevel.NONE, dict.fromkeys(RISKS, 0.0))
"""Of a window without evidence."""


@dataclass(frozen=True, slots=True)
class ModalityScores:
    """One modality's part in a window's scores.

    contribution: its exact Shapley value in the probability of the best label; 0 where absent. All of them add up to
    that probability less the 1/7 of an empty window. probabilities: its own calibrated answer, in the order of
    EMOTIONS, or None where absent.
    """

    present: bool
    contribution: float
    probabilities: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one window.

    emotion: probabilities in the order of EMOTIONS. entropy: of them, in nats. abstained: why there is no label; label
    is None exactly where it is not None. label_set: the labels that cannot be ruled out, the most probable first; None
    where sets are off or there is no evidence. signals: what they add to the risk's score; None where there are none.
    """

    emotion: tuple[float, ...]
    label: str | None
    valence: float
    arousal: float
    entropy: float
    modality: dict[str, ModalityScores]
    risk: RiskScores
    abstained: Abstention | None
    label_set: tuple[str, ...] | None = None
    signals: float | None = None
