"""Data model of a published prediction, `affectd.prediction/1`.

The models are the contract; `streams/schemas/prediction-1.json` is generated from them and a test holds the two equal.
Evolution is additive: the producer writes no key that is not declared here, and the published schema admits keys that
it does not know, so that a consumer of today reads what is published tomorrow. An id names a window of a session as
scored by one model: the same input gives the same id.
"""

import json
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field

SCHEMA: Final = "affectd.prediction/1"

_NAMESPACE = UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 4122, names that are URLs

Probability = Annotated[float, Field(ge=0, le=1)]
Signed = Annotated[float, Field(ge=-1, le=1)]
EmotionName = Literal["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear"]
Level = Literal["none", "low", "medium", "high", "critical"]
ClosedByName = Literal["watermark", "idle", "end", "drain"]
ModalityName = Literal["video", "audio", "text", "signals"]
ReasonCode = Literal[
    "words_of_distress",
    "words_of_self_harm",
    "words_of_abuse",
    "negative_affect",
    "agitated_voice",
    "signal",
    "eyes_closed",
    "nodding",
    "recent_course",
]
NamedByName = Literal["header", "config", "author", "channel", "track"]
AbstentionReason = Literal["no_evidence", "low_confidence"]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"})]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_serialization_defaults_required=True)


class Window(_Part):
    """The span that was scored, RFC 3339, half-open, and why it closed."""

    start: Time
    end: Time
    closed_by: ClosedByName


class EmotionProbabilities(_Part):
    """Calibrated; they add up to 1."""

    neutral: Probability
    happiness: Probability
    surprise: Probability
    sadness: Probability
    anger: Probability
    disgust: Probability
    fear: Probability


class Emotion(_Part):
    """The label is null where the model abstains; entropy is in nats.

    `set` holds the emotions that cannot be ruled out, the most probable first: as often as the operator asked for, the
    right one is among them. It is left out where that is off, and of windows without evidence.
    """

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    label: EmotionName | None
    probabilities: EmotionProbabilities
    valence: Signed
    arousal: Signed
    entropy: Annotated[float, Field(ge=0)]
    set: Annotated[tuple[EmotionName, ...], Field(min_length=1)] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )


class RiskCategories(_Part):
    """Risk categories of the window's words; 0 where there were none."""

    distress: Probability
    self_harm: Probability
    abuse: Probability


class Reason(_Part):
    """One thing that raised the risk."""

    code: ReasonCode
    modality: ModalityName
    weight: float


class Risk(_Part):
    """How much a person should look at this window, and why.

    It stands for itself: a window whose emotion is abstained from can have any level, `critical` too.
    """

    score: Probability
    level: Level
    categories: RiskCategories
    reasons: tuple[Reason, ...]


class Abstained(_Part):
    """Why no emotion is named.

    Abstention is of the emotion alone: the risk beside it holds all the same.
    """

    reason: AbstentionReason


class ModalityReport(_Part):
    """Presence, coverage, quality and contribution of one modality.

    `coverage` is the part of the window with evidence (a face, a voice, a line). `contribution` is what the modality
    adds to the probability of the window's most probable emotion, on average over all orders in which modalities could
    have come in (its Shapley value), 0 where it is absent; they add up to that probability less 1/7.
    """

    present: bool
    coverage: Probability
    events: Annotated[int, Field(ge=0)]
    quality: dict[str, float | None]
    contribution: float
    probabilities: EmotionProbabilities | None


class Modalities(_Part):
    """A report for each modality, present or not.

    `signals` is left out where none came; its `quality` has the mean value of each name, its `contribution` is what
    signals add to the risk's score.
    """

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    video: ModalityReport
    audio: ModalityReport
    text: ModalityReport
    signals: ModalityReport | None = Field(default=None, exclude_if=lambda value: value is None)


class ParticipantReport(_Part):
    """The answer for one person of the session, from what is theirs.

    It is as the session's: `emotion.label` is null where the model abstains, and of somebody without evidence no
    modality is present.
    """

    id: Annotated[str, Field(min_length=1, max_length=256)]
    role: str | None
    named_by: NamedByName
    emotion: Emotion
    risk: Risk
    modalities: Modalities


class Alignment(_Part):
    """Offset of sound against picture, and lag of the watermark.

    The offset is null where it is not known. The lag is how far event time was ahead of the watermark.
    """

    audio_video_offset_ms: float | None
    watermark_lag_ms: float


class ModelRef(_Part):
    """Which model scored."""

    name: str
    version: str
    digest: str


class Timing(_Part):
    """Milliseconds that the result took.

    processing: from the last event received to published; queue: waiting; encode: in the encoders; fuse: in the fusion.
    """

    processing_ms: float
    queue_ms: float
    encode_ms: float
    fuse_ms: float


class Prediction(_Part):
    """The result for one window of one session.

    `abstained` is of the emotion alone, false where one is named; risk is judged from the words, whether it is or not.
    `participants` are in order of id, and left out where nobody is told apart.
    """

    schema_: Annotated[Literal["affectd.prediction/1"], Field(alias="schema")] = SCHEMA
    id: Id
    revision: Annotated[int, Field(ge=0)]
    session: str
    window: Window
    emotion: Emotion
    risk: Risk
    abstained: Literal[False] | Abstained
    modalities: Modalities
    participants: Annotated[tuple[ParticipantReport, ...], Field(min_length=1)] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    alignment: Alignment
    transcript: str | None
    model: ModelRef
    profile: str
    timing: Timing

    def json_line(self) -> bytes:
        """One line of JSON, without its line break."""
        return self.model_dump_json(by_alias=True).encode()


def prediction_id(session: str, start: str, end: str, model_digest: str) -> str:
    """Id of a window's prediction, the same for every revision and replay."""
    return str(uuid5(_NAMESPACE, json.dumps([session, start, end, model_digest])))


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a published prediction.

    Keys that it does not name are allowed.
    """
    schema = Prediction.model_json_schema(by_alias=True, mode="serialization")
    for part in (schema, *schema["$defs"].values()):
        if part.get("additionalProperties") is False:
            del part["additionalProperties"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:affectd:prediction:1", **schema}
