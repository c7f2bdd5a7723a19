"""Every metric, in one place, called by what happened.

Names carry the prefix `affectd_` and base units. Labels take their values from code and configuration, never from a
session, so the number of series is known beforehand. Values that can be asked for (depths, ages, memory) are read when
somebody scrapes; nothing here has a thread of its own.
"""

import threading
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from daemon.http.view import RefusalReason
from daemon.lifecycle import LifecycleState
from daemon.version import package_version
from models.scores import Abstention, RiskLevel
from streams.reasons import ClosedBy, DeadLetterReason, DropReason, UntoldReason, UtteranceOutcome
from streams.records import Modality
from streams.source_state import SourceState
from streams.telemetry import CommitOutcome, OffsetResetReason, SequenceFault, SoundFault

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the series and say when we started

Metric = TypeVar("Metric", Counter, Histogram)
Read = Callable[[], float]
"""Asked by the HTTP thread at every scrape: must be quick and safe from any thread."""

# One picture or one second of sound: a small JPEG takes 1 ms, a large one at full scale 50 ms; more is a fault.
_DECODE_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
# Waits are of the order of the batching delay (20 ms) when all is well, and of seconds when scoring falls behind.
_WAIT_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# From fusion of one window (below 1 ms) to a full batch of sound on a CPU (seconds).
_INFERENCE_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# A round trip to a broker takes milliseconds; a sink that is away holds predictions for as long as it is.
_PUBLISH_S = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
# A window waits for the disorder bound (half a second) and for idle streams (3 s) before anything is computed.
_END_TO_END_S = (0.1, 0.2, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
_COVERAGE = tuple(tenth / 10 for tenth in range(11))
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Implements `streams.telemetry.Telemetry`, and what only the daemon sees. Callable from any thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._states_lock = threading.Lock()
        self._source_states: dict[str, str] = {}
        self._register_input()
        self._register_windows()
        self._register_inference()
        self._register_output()
        self._register_life()

    def _register_input(self) -> None:
        self._records = self._counter("source_records", "Records received", "source", "modality")
        self._bytes = self._counter("source_bytes", "Bytes of records received", "source", "modality")
        self._source_state = self._gauge(
            "source_state",
            f"1 for the state a source is in (waiting is broken, or without brokers): {', '.join(SourceState)}",
            "source",
            "state",
        )
        self._reconnects = self._counter(
            "source_reconnects", "Times a source was opened again, or its brokers answered again", "source"
        )
        self._lag_records = self._gauge(
            "source_lag_records",
            "Records of a log not read yet; NaN while no broker says where it ends",
            "source",
            "modality",
        )
        self._lag_seconds = self._gauge(
            "source_lag_seconds",
            "Age of the newest record read of a log that goes on, 0 at its end; grows while no broker answers",
            "source",
            "modality",
        )
        self._offset_resets = self._counter(
            "source_offset_resets",
            f"Partitions read from another place than where they were left: {', '.join(OffsetResetReason)}",
            "source",
            "reason",
        )
        self._paused = self._gauge("partitions_paused", "Partitions held back until what was read is taken")
        self._discontinuities = self._counter(
            "sound_discontinuities",
            f"Frames of sound that do not continue the one before: {', '.join(SoundFault)}",
            "fault",
        )
        self._sequence = self._counter(
            "sequence_faults",
            f"Records that a stream's sequence numbers show missing, or twice: {', '.join(SequenceFault)}",
            "modality",
            "fault",
        )
        self._events = self._counter("events", "Events that entered a timeline", "modality")
        self._dropped = self._counter(
            "events_dropped", f"Events left out by a policy: {', '.join(DropReason)}", "modality", "reason"
        )
        self._untold = self._counter(
            "participants_untold",
            f"Participants that are in the session's row only: {', '.join(UntoldReason)}",
            "reason",
        )
        self._decode = self._histogram("decode_seconds", "Decoding of one record", _DECODE_S, "modality")
        self._dead_letters = self._counter(
            "dead_letters", f"Records that cannot be used: {', '.join(DeadLetterReason)}", "reason"
        )
        self._http_refused = self._counter(
            "http_refused", f"Connections and requests that were not served: {', '.join(RefusalReason)}", "reason"
        )

    def _register_windows(self) -> None:
        self._watermark_lag = self._gauge(
            "watermark_lag_seconds", "Wall clock minus the oldest watermark of sessions that happen now"
        )
        self._sessions = self._gauge("sessions_active", "Sessions held in memory")
        self._idle = self._gauge("streams_idle", "Streams that no longer hold up their session's windows")
        self._open = self._gauge("windows_open", "Windows that are not closed yet")
        self._closed = self._counter(
            "windows_closed", f"Windows closed, by what closed them: {', '.join(ClosedBy)}", "closed_by"
        )
        self._windows_dropped = self._counter("windows_dropped", "Windows that will not be published", "reason")
        self._late = self._counter("late_events", "Events that missed a window", "modality")
        self._coverage = self._histogram(
            "window_coverage_ratio", "Part of a window with evidence: a face, a voice, a line", _COVERAGE, "modality"
        )
        self._depth = self._gauge("channel_depth", "Items that lie in a channel", "stage")
        self._channel_wait = self._histogram("channel_wait_seconds", "Time an item lay in a channel", _WAIT_S, "stage")

    def _register_inference(self) -> None:
        self._rows = self._histogram("batch_rows", "Rows of one device call", _ROWS, "lane")
        self._batch_wait = self._histogram(
            "batch_wait_seconds", "Time the oldest row of a batch waited for it", _WAIT_S, "lane"
        )
        self._inference = self._histogram(
            "inference_seconds", "One batch, by phase: prepare, encode, transcribe, fuse", _INFERENCE_S, "lane", "phase"
        )
        self._failures = self._counter("inference_failures", "Batches that failed", "reason")
        self._utterances = self._counter(
            "utterances", f"Utterances, by what became of them: {', '.join(UtteranceOutcome)}", "outcome"
        )
        self._recognizer = Info("affectd_recognizer", "The speech recogniser", registry=self.registry)
        self._memory = self._gauge("device_memory_bytes", "Memory of the accelerator", "kind")

    def _register_output(self) -> None:
        self._predictions = self._counter("predictions", "Predictions delivered")
        self._abstentions = self._counter(
            "abstentions", f"Predictions that name no emotion: {', '.join(Abstention)}", "reason"
        )
        self._risk = self._counter("risk_level", f"Predictions by risk level: {', '.join(RiskLevel)}", "level")
        self._end_to_end = self._histogram(
            "end_to_end_seconds", "Window end to delivered, of what happens now", _END_TO_END_S
        )
        self._processing = self._histogram(
            "processing_seconds", "Last needed event received, to delivered, of what happens now", _END_TO_END_S
        )
        self._publish = self._histogram(
            "publish_seconds", "A prediction, handed over until every sink has acknowledged it", _PUBLISH_S
        )
        self._publish_errors = self._counter("publish_errors", "Predictions and dead letters that were refused")
        self._publish_blocked = self._counter("publish_blocked", "Times a sink could deliver nothing, and tried again")
        outcomes = ", ".join(CommitOutcome)
        self._commits = self._counter("commits", f"Checkpoints written to the log, or not: {outcomes}", "outcome")
        self._uncommitted = self._gauge("uncommitted_records", "Records that would be read again after a crash")

    def _register_life(self) -> None:
        self._lifecycle = self._gauge(
            "lifecycle_state", f"1 for the state the daemon is in: {', '.join(LifecycleState)}", "state"
        )
        self._heartbeat = self._gauge(
            "worker_heartbeat_age_seconds", "Time since a thread last made progress", "worker"
        )
        self._model = Info("affectd_model", "The model that scores", registry=self.registry)
        build = Info("affectd_build", "The running version", registry=self.registry)
        build.info({"version": package_version()})

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return _remembering(Counter(f"affectd_{name}", about, labels, registry=self.registry))

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"affectd_{name}", about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return _remembering(Histogram(f"affectd_{name}", about, labels, buckets=buckets, registry=self.registry))

    def record(self, source: str, modality: Modality, size_bytes: int) -> None:
        """A source received one record."""
        self._records.labels(source, modality).inc()
        self._bytes.labels(source, modality).inc(size_bytes)

    def source_state(self, source: str, state: SourceState) -> None:
        """A source moved to `state`."""
        with self._states_lock:
            previous = self._source_states.get(source)
            if previous is not None:
                self._source_state.labels(source, previous).set(0)
            self._source_state.labels(source, state).set(1)
            self._source_states[source] = state

    def reconnect(self, source: str) -> None:
        """A live source is opened again after a fault."""
        self._reconnects.labels(source).inc()

    def event(self, modality: Modality) -> None:
        """A record became a valid event and entered the timeline."""
        self._events.labels(modality).inc()

    def decoded(self, modality: Modality, seconds: float) -> None:
        """A record was decoded, or refused, in `seconds`."""
        self._decode.labels(modality).observe(seconds)

    def dropped(self, modality: Modality, reason: DropReason, count: int = 1) -> None:
        """Events or records left out by a named policy."""
        self._dropped.labels(modality, reason).inc(count)

    def http_refused(self, reason: RefusalReason) -> None:
        """A connection or request was not served."""
        self._http_refused.labels(reason).inc()

    def dead_letter(self, reason: DeadLetterReason) -> None:
        """A record was set aside as unusable."""
        self._dead_letters.labels(reason).inc()

    def late(self, modality: Modality) -> None:
        """An event missed at least one window that contains its time."""
        self._late.labels(modality).inc()

    def window_closed(self, closed_by: ClosedBy) -> None:
        """A window closed."""
        self._closed.labels(closed_by).inc()

    def window_dropped(self, reason: str) -> None:
        """A closed window will never be published."""
        self._windows_dropped.labels(reason).inc()

    def coverage(self, modality: Modality, ratio: float) -> None:
        """The part of a window, 0..1, for which a modality gave evidence."""
        self._coverage.labels(modality).observe(ratio)

    def channel_wait(self, stage: str, seconds: float) -> None:
        """An item lay in a channel for `seconds`."""
        self._channel_wait.labels(stage).observe(seconds)

    def lag(self, source: str, modality: Modality, records: float, seconds: float) -> None:
        """The lag behind a log's end; NaN records while unknown."""
        self._lag_records.labels(source, modality).set(records)
        self._lag_seconds.labels(source, modality).set(seconds)

    def paused(self, partitions: int) -> None:
        """So many partitions are held back."""
        self._paused.set(partitions)

    def offset_reset(self, source: str, reason: OffsetResetReason) -> None:
        """A partition is read from another offset than it was left."""
        self._offset_resets.labels(source, reason).inc()

    def commit(self, outcome: CommitOutcome) -> None:
        """A checkpoint was committed, or was not."""
        self._commits.labels(outcome).inc()

    def uncommitted(self, records: int) -> None:
        """So many records were read and would be read again."""
        self._uncommitted.set(records)

    def sequence(self, modality: Modality, fault: SequenceFault, count: int = 1) -> None:
        """A stream's sequence numbers show a gap, or a repeat."""
        self._sequence.labels(modality, fault).inc(count)

    def untold(self, reason: UntoldReason, count: int = 1) -> None:
        """Participants have no row of their own."""
        self._untold.labels(reason).inc(count)

    def discontinuity(self, fault: SoundFault) -> None:
        """A frame of sound does not follow the one before."""
        self._discontinuities.labels(fault).inc()

    def batch(self, lane: str, rows: int, waited_s: float) -> None:
        """A batch of `rows` left its lane; its oldest row waited `waited_s`."""
        self._rows.labels(lane).observe(rows)
        self._batch_wait.labels(lane).observe(waited_s)

    def inference(self, lane: str, phase: str, seconds: float) -> None:
        """A batch passed `phase`: prepare, encode, transcribe or fuse."""
        self._inference.labels(lane, phase).observe(seconds)

    def inference_failed(self, reason: str) -> None:
        """A batch could not be computed."""
        self._failures.labels(reason).inc()

    def utterance(self, outcome: UtteranceOutcome) -> None:
        """An utterance was transcribed, or was not."""
        self._utterances.labels(outcome).inc()

    def prediction(self, risk_level: RiskLevel, abstention: Abstention | None) -> None:
        """A prediction was delivered; `abstention` is its reason, if it abstained."""
        self._predictions.inc()
        self._risk.labels(risk_level).inc()
        if abstention is not None:
            self._abstentions.labels(abstention).inc()

    def delivered(self, end_to_end_s: float, processing_s: float) -> None:
        """A prediction's delay since window end, and since its last event."""
        self._end_to_end.observe(end_to_end_s)
        self._processing.observe(processing_s)

    def published(self, seconds: float) -> None:
        """Every sink has acknowledged a prediction, `seconds` after it was handed over."""
        self._publish.observe(seconds)

    def publish_failed(self) -> None:
        """A sink, or the schema, refused a prediction or a dead letter."""
        self._publish_errors.inc()

    def publish_blocked(self) -> None:
        """A sink could deliver nothing, and tries again."""
        self._publish_blocked.inc()

    def lifecycle(self, state: LifecycleState) -> None:
        """The daemon moved to `state`."""
        with self._states_lock:
            self._lifecycle.clear()
            self._lifecycle.labels(state).set(1)

    def model(self, name: str, version: str, digest: str, device: str) -> None:
        """The model that is loaded, and what it runs on."""
        self._model.info({"name": name, "version": version, "digest": digest, "device": device})

    def recognizer(self, name: str, digest: str) -> None:
        """The recogniser that is loaded."""
        self._recognizer.info({"name": name, "digest": digest})

    def refused(self) -> dict[str, int]:
        """How many records became dead letters so far, by reason."""
        samples = [sample for metric in self._dead_letters.collect() for sample in metric.samples]
        return {s.labels["reason"]: round(s.value) for s in samples if s.name.endswith("_total")}

    def watch_timeline(self, *, watermark_lag_s: Read, sessions: Read, idle_streams: Read, open_windows: Read) -> None:
        """What the timeline thread holds, to be read at every scrape."""
        self._watermark_lag.set_function(watermark_lag_s)
        self._sessions.set_function(sessions)
        self._idle.set_function(idle_streams)
        self._open.set_function(open_windows)

    def watch_channel(self, stage: str, depth: Read) -> None:
        """The number of items in a channel."""
        self._depth.labels(stage).set_function(depth)

    def watch_worker(self, worker: str, age_s: Read) -> None:
        """The time since a thread last made progress."""
        self._heartbeat.labels(worker).set_function(age_s)

    def watch_device_memory(self, kind: str, size_bytes: Read) -> None:
        """Memory of the accelerator: allocated, reserved."""
        self._memory.labels(kind).set_function(size_bytes)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type.

        Prometheus text, or OpenMetrics for those who accept it.
        """
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # prometheus_client compares a version that is no number
            encode, content_type = choose_encoder("")
        return encode(self.registry), content_type


def _remembering(metric: Metric) -> Metric:
    """Caches the child of each set of labels.

    Looking it up would be a third of what a short record costs. Sets of labels are bounded anyway.
    """
    metric.labels = cache(metric.labels)  # type: ignore[method-assign]
    return metric
