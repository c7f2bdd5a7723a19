"""The life of the service: start, supervision, drain, exit status.

The main thread owns it: it starts the parts in order (HTTP first, so that probes get an answer while the model is
imported and warms up; sources last), watches them, notifies systemd, and drains them in the order the data flows. A
service whose sources have all ended drains by itself. How the parts are built is in `daemon.wiring`.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from daemon.config import Config
from daemon.exit_codes import ExitCode
from daemon.http.feed import EventFeed
from daemon.lifecycle import LifecycleState, transition
from daemon.runtime import signals
from daemon.runtime.drain import EXIT_S, ShutdownDeadline
from daemon.runtime.sdnotify import ServiceNotifier
from daemon.runtime.sources import Sources
from daemon.runtime.view import ServiceView
from daemon.scoring.pipeline import TimelineMessage
from daemon.telemetry.instruments import Instruments
from daemon.wiring import Endpoints, build_endpoints, limits
from streams.alignment.driver import RecordCounts
from streams.channels.inlet import Inlet
from streams.predictions import Prediction

if TYPE_CHECKING:
    from daemon.http.server import HttpServer  # brings a web framework: imported where HTTP is on
    from daemon.scoring.threads import ScoringThreads  # brings torch: imported while warming

log = structlog.get_logger(__name__)

_WATCH_S = 0.25
_STARTED_WITHIN_S = 60.0  # what systemd is asked to wait while no source is open; asked again at every look
_LEAVE_LOGS_S = 5.0  # of the closing: the last commit, and leaving the group


class Service:
    """One daemon, of which the main thread calls `run` once."""

    def __init__(
        self,
        config: Config,
        endpoints: Endpoints,
        instruments: Instruments,
        on_prediction: Callable[[Prediction], None] = lambda prediction: None,
    ) -> None:
        """on_prediction: called with every prediction, on the publish thread."""
        self._config = config
        self._endpoints = endpoints
        self._instruments = instruments
        self._on_prediction = on_prediction
        self._clock = instruments.clock
        self._inlet: Inlet[TimelineMessage] = Inlet(self._clock, instruments.metrics)
        self._sources = Sources(endpoints.feeds, self._inlet, instruments)
        self.view = ServiceView(self._sources, instruments)
        self._stop_requested = threading.Event()
        self._stopped_status: int = ExitCode.OK
        self._abandoned = False
        self._published_predictions = 0
        self._notifier = ServiceNotifier.from_environment()
        self._feed = EventFeed()

    def run(self) -> int:
        """Runs until the sources end or a stop is requested.

        Returns the exit status.
        """
        http = self._start_http()
        self._move(LifecycleState.WARMING)
        from daemon.scoring.threads import ScoringThreads

        scoring = self.view.scoring = ScoringThreads(
            self._config, self._inlet, self._endpoints, self._published, self._instruments
        )
        scoring.start()
        self._move(LifecycleState.OPENING)
        self._sources.start()
        self._supervise(scoring)
        self._move(LifecycleState.DRAINING)
        shutdown = ShutdownDeadline(self._clock, self._config.lifecycle.drain_timeout_s, self._stop_requested)
        drained = self._drain(scoring, shutdown)
        closing = shutdown.close()
        self._notifier.stopping("stopping", closing.remaining_s + EXIT_S)
        scoring.stop(closing.earlier_by(_LEAVE_LOGS_S))
        self._sources.leave_logs(closing)
        self._move(LifecycleState.STOPPED)
        if http is not None:
            http.stop(closing)
        return self._exit_status(scoring, drained)

    @property
    def counts(self) -> RecordCounts:
        """What became of records so far."""
        return RecordCounts() if self.view.scoring is None else self.view.scoring.counts

    def stop(self) -> None:
        """Requests a drain; from any thread or signal handler."""
        self._stop_requested.set()

    def abandon(self) -> None:
        """Ends without a drain; from any thread.

        For when nobody takes what is published.
        """
        self._abandoned = True
        self._stop_requested.set()

    def handle_signals(self, *, unfinished: bool = False) -> None:
        """Has signals stop the service; for the main thread.

        The first drains, or ends the process at once before there is anything to drain; a second one ends it at once.
        unfinished: whether to be stopped means that the work is not done, which the exit status then says (128 and the
        signal's number).
        """

        def stop(number: int) -> None:
            if self._stop_requested.is_set():
                os._exit(128 + number)
            self._stopped_status = 128 + number if unfinished else ExitCode.OK
            self._stop_requested.set()
            if self.view.state in (LifecycleState.STARTING, LifecycleState.WARMING):
                _log_in_handler("stopped before it had started")
                self._notifier.stopping("stopped", EXIT_S)
                os._exit(self._stopped_status)

        ignored = "SIGHUP is ignored: reload is not supported; restart to reconfigure"
        signals.install(stop, lambda: _log_in_handler(ignored))

    def _start_http(self) -> "HttpServer | None":
        if not self._config.http.bind:
            return None
        from daemon.http.server import start_http

        return start_http(self._config.http, self.view, self._feed, self._clock, limits(self._config))

    def _published(self, prediction: Prediction, line: bytes) -> None:
        self._published_predictions += 1
        self._feed.publish("prediction", prediction.id, line.decode())
        self._on_prediction(prediction)

    def _supervise(self, scoring: "ScoringThreads") -> None:
        """Watches until there is a reason to drain."""
        started, status, readiness = False, "", self._sources.readiness
        while not self._stop_requested.wait(_WATCH_S):
            if self._sources.ended or scoring.broken:
                return
            ready = self.view.ready().ok
            if ready != (self.view.state is LifecycleState.RUNNING):
                self._move(LifecycleState.RUNNING if ready else LifecycleState.OPENING)
            previous, status = status, readiness.status()
            live = self.view.live().ok
            if started and status != previous:
                self._notifier.status(status)
            elif not started and readiness.is_open:
                self._notifier.ready(status)
                started = True
            elif not started and live:
                self._notifier.starting(status, _STARTED_WITHIN_S)
            if live:
                self._notifier.alive()

    def _drain(self, scoring: "ScoringThreads", shutdown: ShutdownDeadline) -> bool:
        """Whether everything under way was finished within the deadline."""
        if (stop := shutdown.stop) is not None:  # from here on systemd counts the seconds too
            self._notifier.stopping("draining", stop.remaining_s + EXIT_S)
        self._sources.drain(shutdown.drain())
        scoring.drain()
        while not self._abandoned and not scoring.drained(min(_WATCH_S, self._remaining_s(shutdown, scoring))):
            if scoring.broken or self._remaining_s(shutdown, scoring) == 0:
                log.error("not everything was published before the drain ended", in_flight=scoring.in_flight)
                return False
            if self.view.live().ok:
                self._notifier.alive()
        return True

    def _remaining_s(self, shutdown: ShutdownDeadline, scoring: "ScoringThreads") -> float:
        progress = (self._published_predictions, scoring.in_flight, *self._sources.depths().values())
        return shutdown.drain(progress, bool(scoring.blocked)).remaining_s

    def _exit_status(self, scoring: "ScoringThreads", drained: bool) -> int:
        if scoring.broken:
            return ExitCode.DEVICE_FAULT
        if self._sources.failed_by_bug:
            return ExitCode.BUG
        if not drained or scoring.undelivered:
            return ExitCode.UNAVAILABLE
        if self._stop_requested.is_set():  # what was refused in a long life is counted; the status is of the drain
            return self._stopped_status
        if scoring.refused:
            return ExitCode.UNAVAILABLE
        return ExitCode.BAD_DATA if self._sources.failed else ExitCode.OK

    def _move(self, to: LifecycleState) -> None:
        self.view.state = transition(self.view.state, to)
        self._instruments.metrics.lifecycle(to)
        self._notifier.status(to)
        log.info("lifecycle", state=to)


def _log_in_handler(event: str) -> None:
    """Logs from a signal handler.

    It may have interrupted a write to the same stream.
    """
    with contextlib.suppress(RuntimeError):
        log.warning(event)


def run(config: Config) -> int:
    """Runs the daemon, from configuration to exit status."""
    instruments = Instruments()
    service = Service(config, build_endpoints(config, instruments), instruments)
    service.handle_signals()
    return service.run()
