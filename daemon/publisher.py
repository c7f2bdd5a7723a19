"""The publish thread: a scored window becomes a prediction and leaves through the sinks.

Nothing here decides anything: it puts together what the timeline, the encoders and the fusion have said, checks it
against the schema by building it, and delivers. A sink that refuses is counted and the others still get the prediction.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import structlog

from daemon.engine import Scored
from daemon.instruments import Instruments
from daemon.preparation import Evidence, with_evidence
from models.labels import EMOTIONS, RISKS
from models.model import ModalityScores, Scores
from streams import predictions as wire
from streams.clock import NS_PER_MS, NS_PER_S
from streams.events import Line, Unit
from streams.records import Modality
from streams.rfc3339 import format_ns
from streams.sinks.base import Sink, SinkError
from streams.timeline import ClosedWindow

log = structlog.get_logger(__name__)

_NAP_S = 1.0  # how often an idle publish thread shows that it is alive


@dataclass(frozen=True, slots=True)
class Publication:
    """What every prediction of this daemon carries alike."""

    model: wire.ModelRef
    profile: str
    transcript: bool
    sample_hz: float


class Publisher:
    """Owned by the main thread but for `submit`, which any thread may call; the sinks belong to the publish thread."""

    def __init__(
        self,
        publication: Publication,
        sinks: Sequence[Sink],
        published: Callable[[wire.Prediction | None, bytes], None],
        instruments: Instruments,
    ) -> None:
        """published: told, on the publish thread, of each window that is done, with its prediction if there is one."""
        self._publication = publication
        self._sinks = sinks
        self._published = published
        self._clock = instruments.clock
        self._metrics = instruments.metrics
        self._heartbeats = instruments.heartbeats
        self._beat = self._heartbeats.worker("publish")
        self._queue: queue.SimpleQueue[Scored | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)
        self.failed = False
        """Whether a prediction was refused, by a sink or by the schema."""
        self._metrics.watch_channel("publish", self._queue.qsize)

    def start(self) -> None:
        """Begins to publish."""
        self._thread.start()

    def submit(self, scored: Scored) -> None:
        """Queues a scored window; never blocks (the timeline bounds what is under way)."""
        self._queue.put(scored)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Publishes what is queued, then flushes and closes the sinks."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            self._beat()
            try:
                scored = self._queue.get(timeout=_NAP_S)
            except queue.Empty:
                continue
            if scored is None:
                break
            self._publish(scored)
        for sink in self._sinks:
            self._close(sink)
        self._heartbeats.retire("publish")

    def _close(self, sink: Sink) -> None:
        try:
            sink.flush()
            sink.close()
        except SinkError as error:
            self._refused(error, sink=sink.name)

    def _publish(self, scored: Scored) -> None:
        """Whatever comes of it, the window is told to be done: the timeline counts on every one."""
        window, prediction, line = scored.window, None, b""
        try:
            if scored.scores is None:
                log.error("a window could not be scored", session=window.session, start=format_ns(window.start_ns))
            else:
                prediction, line = self._deliver(scored, scored.scores)
        except Exception as error:  # scores that the schema refuses, or a fault of ours: it costs this window only
            self._refused(error, session=window.session, start=format_ns(window.start_ns))
        self._published(prediction, line)

    def _deliver(self, scored: Scored, scores: Scores) -> tuple[wire.Prediction, bytes]:
        window = scored.window
        began_ns = self._clock.monotonic_ns()
        last_received_ns = max((u.received_ns for units in window.units.values() for u in units), default=0)
        processing_s = max(0.0, (self._clock.wall_ns() - last_received_ns) / NS_PER_S)
        prediction = build(scored, scores, self._publication, processing_s)
        line = prediction.json_line()
        for sink in self._sinks:
            try:
                sink.publish(prediction, line)
            except SinkError as error:
                self._refused(error, sink=sink.name, id=prediction.id)
        self._metrics.published((self._clock.monotonic_ns() - began_ns) / NS_PER_S)
        for modality in Modality:
            self._metrics.coverage(modality, getattr(prediction.modalities, modality).coverage)
        self._metrics.prediction(prediction.risk.level, prediction.abstained.reason if prediction.abstained else None)
        self._metrics.delivered(max(0.0, (self._clock.wall_ns() - window.end_ns) / NS_PER_S), processing_s)
        return prediction, line

    def _refused(self, error: Exception, **what: str) -> None:
        self.failed = True
        self._metrics.publish_failed()
        log.error("a prediction was refused", error=type(error).__name__, why=str(error), **what)


def build(scored: Scored, scores: Scores, publication: Publication, processing_s: float) -> wire.Prediction:
    """The prediction of one scored window."""
    window, start, end = scored.window, format_ns(scored.window.start_ns), format_ns(scored.window.end_ns)
    reports = {m: _modality(window, m, scores.modality[m], publication.sample_hz) for m in Modality}
    evidence = [unit.result for units in window.units.values() for unit in units if isinstance(unit.result, Evidence)]
    return wire.Prediction(
        id=wire.prediction_id(window.session, start, end, publication.model.digest),
        revision=window.revision,
        session=window.session,
        window=wire.Window(start=start, end=end, closed_by=cast(wire.ClosedBy, window.closed_by)),
        emotion=wire.Emotion(
            label=scores.label,
            probabilities=_probabilities(scores.emotion),
            valence=scores.valence,
            arousal=scores.arousal,
            entropy=scores.entropy,
        ),
        risk=_risk(scores),
        abstained=False if scores.abstained is None else wire.Abstained(reason=scores.abstained),
        modalities=wire.Modalities(
            video=reports[Modality.VIDEO], audio=reports[Modality.AUDIO], text=reports[Modality.TEXT]
        ),
        alignment=wire.Alignment(audio_video_offset_ms=None, watermark_lag_ms=window.watermark_lag_ns / NS_PER_MS),
        transcript=_transcript(window) if publication.transcript else None,
        model=publication.model,
        profile=publication.profile,
        timing=wire.Timing(
            processing_ms=processing_s * 1e3,
            queue_ms=scored.queue_ms,
            encode_ms=max((e.encode_ms for e in evidence), default=0.0),
            fuse_ms=scored.fuse_ms,
        ),
    )


def _modality(
    window: ClosedWindow, modality: Modality, scores: ModalityScores, sample_hz: float
) -> wire.ModalityReport:
    units = window.units[modality]
    found = with_evidence(units)
    seen = [evidence for _, evidence in found]
    names = sorted({name for e in seen for name in e.quality})
    quality: dict[str, float | None] = {
        name: sum(e.quality[name] for e in seen if name in e.quality) / sum(name in e.quality for e in seen)
        for name in names
    }
    quality["received"] = window.received_fraction[modality]
    return wire.ModalityReport(
        present=scores.present,
        coverage=_coverage(window, modality, found, sample_hz) if scores.present else 0.0,
        events=len(units),
        quality=quality,
        contribution=scores.contribution,
        probabilities=None if scores.probabilities is None else _probabilities(scores.probabilities),
    )


def _coverage(
    window: ClosedWindow, modality: Modality, evidence: Sequence[tuple[Unit, Evidence]], sample_hz: float
) -> float:
    """The part of the window with evidence: pictures with a face, seconds of voice; all of it for text."""
    size_ns = window.end_ns - window.start_ns
    match modality:
        case Modality.VIDEO:
            covered = len(evidence) * NS_PER_S / (sample_hz * size_ns)
        case Modality.AUDIO:
            covered = sum(float(e.weight.sum()) * (u.end_ns - u.start_ns) for u, e in evidence) / size_ns
        case Modality.TEXT:
            covered = float(bool(evidence))
    return min(1.0, covered)


def _risk(scores: Scores) -> wire.Risk:
    return wire.Risk(
        score=scores.risk.score,
        level=cast(wire.Level, scores.risk.level),
        categories=wire.RiskCategories(**{name: scores.risk.categories[name] for name in RISKS}),
        reasons=tuple(
            wire.Reason(code=reason.code, modality=reason.modality, weight=reason.weight)
            for reason in scores.risk.reasons
        ),
    )


def _probabilities(values: Sequence[float]) -> wire.EmotionProbabilities:
    return wire.EmotionProbabilities(**dict(zip(EMOTIONS, values, strict=True)))


def _transcript(window: ClosedWindow) -> str | None:
    lines = [unit.payload.text for unit in window.units[Modality.TEXT] if isinstance(unit.payload, Line)]
    return "\n".join(lines) or None
