"""Builds the scoring threads around a model: timeline, engine, publisher."""

from collections.abc import Callable, Mapping

import torch
from pydantic import ValidationError

from daemon.config import Config
from daemon.config.errors import ConfigurationError
from daemon.scoring.engine import BatchLimits, ScoringEngine
from daemon.scoring.fusing import Lookback, WindowFusion
from daemon.scoring.pipeline import Pipeline, TimelineMessage, UnitEncoded, WindowPublished
from daemon.scoring.prediction_builder import PredictionSettings
from daemon.scoring.preparer import build_preparer
from daemon.scoring.publisher import Publisher
from daemon.scoring.recognizer import build_transcriber, load_recognizer
from daemon.telemetry.instruments import Instruments
from daemon.wiring import Endpoints, limits, open_crash_journal, timeline_config
from models.fusion.smoothed_scores import Course
from models.model import AffectModel
from models.risk import RiskRule
from streams.alignment.driver import AlignmentDriver, RecordCounts
from streams.alignment.sessions import Sessions, SessionsState
from streams.channels.inlet import Inlet, InletClock
from streams.deadline import Deadline
from streams.predictions import ModelRef, Prediction
from streams.telemetry import Telemetry

_BATCHES_IN_FLIGHT = 4  # one on the device, one filling in each of three encoder lanes


class ScoringThreads:
    """The loaded model and the threads around it.

    Owned by the main thread; its properties may be read by any.
    """

    def __init__(
        self,
        config: Config,
        inlet: Inlet[TimelineMessage],
        endpoints: Endpoints,
        published: Callable[[Prediction, bytes], None],
        instruments: Instruments,
    ) -> None:
        """Loads the model and warms it up.

        published: called with each prediction and its JSON, on the publish thread.
        Raises models.artifact.ModelError for a model or a recogniser that cannot be used, DeviceUnavailableError
        without its device, ConfigurationError for sets that the model cannot promise, and levels that do not rise.
        """
        settings = config.model
        model = self._model = AffectModel.load(settings.path, settings.device, settings.threads)
        promise_sets(model, settings.set_coverage)
        set_levels(model, config.risk.levels)
        recognizer = load_recognizer(config)
        if endpoints.warm_up:
            model.warm_up(settings.batch_rows)
        self.model_ref = ModelRef(name=model.name, version=model.version, digest=model.digest)
        self.device_name = str(model.device)
        _watch_model(model, instruments)

        def done(prediction: Prediction | None, line: bytes) -> None:
            if prediction is not None:
                published(prediction, line)
            inlet.post(WindowPublished())

        transcript, sample_hz = config.privacy.transcript, config.video.sample_hz
        predictions = PredictionSettings(
            self.model_ref, config.profile_name, transcript, sample_hz, config.windows.segments
        )
        ledger, crash_journal = endpoints.ledger, open_crash_journal(config, instruments.clock)
        self._publisher = Publisher(predictions, endpoints.sinks, done, instruments, ledger, endpoints.transactions)
        self._engine = ScoringEngine(
            model,
            build_preparer(config, model, recognizer),
            BatchLimits(settings.batch_rows, settings.max_delay_ms / 1e3),
            lambda unit: inlet.post(UnitEncoded(unit)),
            self._publisher.submit,
            instruments,
            window_fusion(config, model, instruments.metrics),
            crash_journal,
            build_transcriber(config, recognizer, endpoints.warm_up, instruments),
        )
        timeouts_ns, clock = config.windows.session_timeout_ns, InletClock(inlet)
        sessions = Sessions(
            timeline_config(config), timeouts_ns, clock, instruments.metrics, ledger, inlet.taken_until_ns
        )
        driver = AlignmentDriver(
            sessions,
            limits(config),
            instruments.clock,
            instruments.metrics,
            self._publisher.submit_dead_letter,
            crash_journal,
        )
        most = settings.batch_rows * _BATCHES_IN_FLIGHT
        self._pipeline = Pipeline(inlet, driver, self._engine, most, instruments, crash_journal)

    def start(self) -> None:
        """Starts the threads, the last step first."""
        self._publisher.start()
        self._engine.start()
        self._pipeline.start()

    def drain(self) -> None:
        """Begins to score what is queued, and to close every window.

        The sources must have stopped.
        """
        self._pipeline.drain()

    def drained(self, timeout_s: float) -> bool:
        """Waits until the last window is published; False on timeout."""
        return self._pipeline.finished.wait(timeout_s)

    def stop(self, deadline: Deadline) -> None:
        """Ends the threads and closes the sinks.

        What is not done at the deadline is given up.
        """
        self._publisher.stop(deadline)
        self._engine.stop(deadline)

    @property
    def broken(self) -> bool:
        """Whether the device computes nothing any more."""
        return self._engine.broken

    @property
    def undelivered(self) -> bool:
        """Whether something was not acknowledged before the end."""
        return self._publisher.undelivered

    @property
    def blocked(self) -> list[str]:
        """A sentence for each sink that delivers nothing now."""
        return self._publisher.blocked_sinks.reasons()

    @property
    def refused(self) -> int:
        """How many predictions a sink or the schema has refused."""
        return self._publisher.refused

    @property
    def counts(self) -> RecordCounts:
        """Records taken and refused so far, and units encoded."""
        return self._pipeline.counts

    @property
    def in_flight(self) -> int:
        """Units and windows that are being scored."""
        return self._pipeline.in_flight

    @property
    def sessions(self) -> SessionsState:
        """A recent snapshot of the sessions."""
        return self._pipeline.state


def window_fusion(config: Config, model: AffectModel, telemetry: Telemetry) -> WindowFusion:
    """Builds what fuses windows."""
    most, risk = config.participants.most_participants, config.risk
    return WindowFusion(model, telemetry, _lookback(config, model), most, risk.signals, risk.drowsiness)


def _lookback(config: Config, model: AffectModel) -> Lookback | None:
    """What windows are scored by; None for each by itself."""
    windows, timeline = config.windows, timeline_config(config)
    if not timeline.lookback_windows:
        return None
    course = Course.of_windows(windows.size_s, windows.step_s, model.manifest.risk)
    return Lookback(timeline.lookback_windows, timeline.grid.step_ns, course)


def promise_sets(model: AffectModel, coverage: float) -> None:
    """Switches the model's label sets to a coverage; 0 is off.

    Raises ConfigurationError for a coverage that the model has no sets for.
    """
    if coverage and coverage not in model.coverages:
        fitted = f"0 or one of {', '.join(map(str, model.coverages))}" if model.coverages else "0"
        sentence = f"must be {fitted}: {model.name} {model.version} promises no other sets (is {coverage})"
        raise ConfigurationError([f"model.set_coverage: {sentence}"])
    model.set_coverage = coverage


def set_levels(model: AffectModel, levels: Mapping[str, float]) -> None:
    """Puts levels of risk in place of the model's.

    Raises ConfigurationError for one that there is not, and where they do not rise.
    """
    if not levels:
        return
    rule = model.manifest.risk
    try:
        changed = RiskRule(heads=rule.heads, levels={**rule.levels, **levels}, affect_from=rule.affect_from)
    except ValidationError as wrong:
        sentences = [f"risk.levels: {error['msg'].removeprefix('Value error, ')}" for error in wrong.errors()]
        raise ConfigurationError(sentences) from wrong
    model.manifest = model.manifest.model_copy(update={"risk": changed})


def _watch_model(model: AffectModel, instruments: Instruments) -> None:
    metrics = instruments.metrics
    metrics.model(model.name, model.version, model.digest, str(model.device))
    if model.device.type == "cuda":
        metrics.watch_device_memory("allocated", lambda: float(torch.cuda.memory_allocated(model.device)))
        metrics.watch_device_memory("reserved", lambda: float(torch.cuda.memory_reserved(model.device)))
