"""Builds the prediction of a scored window.

Nothing is decided here: the results of alignment, encoding and fusion are put together, and checked against the schema
by building it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from daemon.scoring.results import ParticipantScores, ScoredWindow, UnitFeatures, units_with_evidence
from models.labels import EMOTIONS, RISKS
from models.scores import ModalityScores, Scores
from models.transcription.recognition import join
from streams import predictions as wire
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.ordered_units import UnitsByModality
from streams.alignment.received import received_fraction
from streams.alignment.windows import SegmentGrid
from streams.clock import NS_PER_MS, NS_PER_S
from streams.events import EncodingUnit, Line, Signal
from streams.formats.rfc3339 import format_ns
from streams.records import MEDIA, Modality


@dataclass(frozen=True, slots=True)
class PredictionSettings:
    """The fields that are alike in every prediction of this daemon."""

    model: wire.ModelRef
    profile: str
    transcript: bool
    sample_hz: float
    segments: SegmentGrid


def build_prediction(
    scored: ScoredWindow, scores: Scores, settings: PredictionSettings, processing_s: float
) -> wire.Prediction:
    """Builds the prediction of one scored window."""
    window, start, end = scored.window, format_ns(scored.window.start_ns), format_ns(scored.window.end_ns)
    session = _Evidence(window.units, window.start_ns, window.end_ns, window.received_fraction)
    participants = tuple(_participant(window, theirs, settings) for theirs in scored.participants)
    evidence = [
        unit.result for units in window.units.values() for unit in units if isinstance(unit.result, UnitFeatures)
    ]
    return wire.Prediction(
        id=wire.prediction_id(window.session, start, end, settings.model.digest),
        revision=window.revision,
        session=window.session,
        window=wire.Window(start=start, end=end, closed_by=cast(wire.ClosedByName, window.closed_by)),
        emotion=_emotion(scores),
        risk=_risk(scores),
        abstained=False
        if scores.abstained is None
        else wire.Abstained(reason=cast(wire.AbstentionReason, scores.abstained)),
        modalities=_modalities(session, scores, settings, window.transcribed_fraction),
        participants=participants or None,
        alignment=wire.Alignment(audio_video_offset_ms=None, watermark_lag_ms=window.watermark_lag_ns / NS_PER_MS),
        transcript=_transcript(window) if settings.transcript else None,
        model=settings.model,
        profile=settings.profile,
        timing=wire.Timing(
            processing_ms=processing_s * 1e3,
            queue_ms=scored.queue_ms,
            encode_ms=max((e.encode_ms for e in evidence), default=0.0),
            fuse_ms=scored.fuse_ms,
        ),
    )


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The units of a session or participant in [start, end)."""

    units: UnitsByModality
    start_ns: int
    end_ns: int
    received_fraction: Mapping[Modality, float]


def _participant(
    window: ClosedWindow, theirs: ParticipantScores, settings: PredictionSettings
) -> wire.ParticipantReport:
    participant, scores, units = theirs
    span_ns = window.start_ns, window.end_ns
    received = received_fraction(units, span_ns, settings.sample_hz, settings.segments)
    return wire.ParticipantReport(
        id=participant.id,
        role=participant.role,
        named_by=cast(wire.NamedByName, participant.named_by),
        emotion=_emotion(scores),
        risk=_risk(scores),
        modalities=_modalities(_Evidence(units, *span_ns, received), scores, settings, None),
    )


def _emotion(scores: Scores) -> wire.Emotion:
    return wire.Emotion(
        label=cast(wire.EmotionName | None, scores.label),
        probabilities=_probabilities(scores.emotion),
        valence=scores.valence,
        arousal=scores.arousal,
        entropy=scores.entropy,
        set=cast(tuple[wire.EmotionName, ...] | None, scores.label_set),
    )


def _modalities(
    of: _Evidence, scores: Scores, settings: PredictionSettings, transcribed_fraction: float | None
) -> wire.Modalities:
    reports = {modality: _modality(of, modality, scores.modality[modality], settings) for modality in MEDIA}
    if transcribed_fraction is not None:
        reports[Modality.TEXT].quality["transcribed"] = transcribed_fraction
    return wire.Modalities(
        video=reports[Modality.VIDEO],
        audio=reports[Modality.AUDIO],
        text=reports[Modality.TEXT],
        signals=_signals(of, scores),
    )


def _signals(of: _Evidence, scores: Scores) -> wire.ModalityReport | None:
    """The report of signals, with the mean value of each name."""
    units = of.units.get(Modality.SIGNALS, ())
    if not units:
        return None
    values: dict[str, list[float]] = {}
    for unit in units:
        if isinstance(unit.payload, Signal):
            values.setdefault(unit.payload.name, []).append(unit.payload.value)
    return wire.ModalityReport(
        present=True,
        coverage=1.0,
        events=len(units),
        quality={name: sum(each) / len(each) for name, each in sorted(values.items())},
        contribution=scores.signals or 0.0,
        probabilities=None,
    )


def _modality(
    of: _Evidence, modality: Modality, scores: ModalityScores, settings: PredictionSettings
) -> wire.ModalityReport:
    units = of.units.get(modality, ())
    evidence = units_with_evidence(units)
    features = [each for _, each in evidence]
    names = sorted({name for e in features for name in e.quality})
    quality: dict[str, float | None] = {
        name: sum(e.quality[name] for e in features if name in e.quality) / sum(name in e.quality for e in features)
        for name in names
    }
    quality["received"] = of.received_fraction[modality]
    return wire.ModalityReport(
        present=scores.present,
        coverage=_coverage(of, modality, evidence, settings) if scores.present else 0.0,
        events=len(units),
        quality=quality,
        contribution=scores.contribution,
        probabilities=None if scores.probabilities is None else _probabilities(scores.probabilities),
    )


def _coverage(
    of: _Evidence,
    modality: Modality,
    evidence: Sequence[tuple[EncodingUnit, UnitFeatures]],
    settings: PredictionSettings,
) -> float:
    """The part of the window with evidence, 0..1.

    That is pictures with a face, or seconds of voice; all of it where there is text.
    """
    match modality:
        case Modality.VIDEO:
            covered = len(evidence) * NS_PER_S / (settings.sample_hz * (of.end_ns - of.start_ns))
        case Modality.AUDIO:
            segments = settings.segments.count_within(of.start_ns, of.end_ns)
            covered = sum(float(e.weight.sum()) for _, e in evidence) / max(1, segments)
        case _:
            covered = float(bool(evidence))
    return min(1.0, covered)


def _risk(scores: Scores) -> wire.Risk:
    return wire.Risk(
        score=scores.risk.score,
        level=cast(wire.Level, scores.risk.level),
        categories=wire.RiskCategories(**{name: scores.risk.categories[name] for name in RISKS}),
        reasons=tuple(
            wire.Reason(
                code=cast(wire.ReasonCode, reason.code),
                modality=cast(wire.ModalityName, reason.modality),
                weight=reason.weight,
            )
            for reason in scores.risk.reasons
        ),
    )


def _probabilities(values: Sequence[float]) -> wire.EmotionProbabilities:
    return wire.EmotionProbabilities(**dict(zip(EMOTIONS, values, strict=True)))


def _transcript(window: ClosedWindow) -> str | None:
    """What was written and said, line by line.

    Of an utterance, the words in the window.
    """
    lines: dict[int, list[str]] = {}
    for unit in window.units[Modality.TEXT]:
        if isinstance(unit.payload, Line):
            whole = unit.result if unit.payload.spoken else unit  # the words of an utterance share its features
            lines.setdefault(id(whole), []).append(unit.payload.text)
    return "\n".join(join(words) for words in lines.values()) or None
