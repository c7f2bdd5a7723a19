"""Predictions for tests of what reads them: probable, and different only where a test says so."""

from streams import predictions as wire
from streams.clock import NS_PER_S
from streams.formats.rfc3339 import format_ns
from streams.sources.stored.media_session import START_NS

FLAT = wire.EmotionProbabilities(
    neutral=0.16, happiness=0.14, surprise=0.14, sadness=0.14, anger=0.14, disgust=0.14, fear=0.14
)
SAD = wire.EmotionProbabilities(
    neutral=0.2, happiness=0.02, surprise=0.02, sadness=0.61, anger=0.05, disgust=0.02, fear=0.08
)


def modality(coverage: float, contribution: float = 1.0) -> wire.ModalityReport:
    """One that is there."""
    return wire.ModalityReport(
        present=True, coverage=coverage, events=4, quality={}, contribution=contribution, probabilities=SAD
    )


ABSENT = wire.ModalityReport(present=False, coverage=0, events=0, quality={}, contribution=0, probabilities=None)


def prediction(
    start_s: float = 12.0,
    modalities: wire.Modalities | None = None,
    level: wire.Level = "medium",
    abstained: wire.AbstentionReason | None = None,
    revision: int = 0,
) -> wire.Prediction:
    """A window of 4 s that is sad, or abstained from."""
    start, end = (format_ns(START_NS + round(at_s * NS_PER_S)) for at_s in (start_s, start_s + 4))
    return wire.Prediction(
        id=wire.prediction_id("room", start, end, "sha256:0"),
        revision=revision,
        session="room",
        window=wire.Window(start=start, end=end, closed_by="watermark"),
        emotion=wire.Emotion(
            label=None if abstained else "sadness",
            probabilities=FLAT if abstained else SAD,
            valence=-0.4,
            arousal=-0.2,
            entropy=1.2,
        ),
        risk=wire.Risk(
            score=0.4,
            level=level,
            categories=wire.RiskCategories(distress=0.4, self_harm=0.1, abuse=0.0),
            reasons=(),
        ),
        abstained=wire.Abstained(reason=abstained) if abstained else False,
        modalities=modalities or wire.Modalities(video=modality(0.9), audio=modality(0.5, -0.5), text=modality(1.0)),
        alignment=wire.Alignment(audio_video_offset_ms=None, watermark_lag_ms=500),
        transcript=None,
        model=wire.ModelRef(name="model", version="1", digest="sha256:0"),
        profile="default",
        timing=wire.Timing(processing_ms=1, queue_ms=1, encode_ms=1, fuse_ms=1),
    )
