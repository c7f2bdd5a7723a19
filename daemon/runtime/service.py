"""The daemon put together: sources, scoring and HTTP, from start to drain.

The main thread owns the life of it all: it starts the parts in order (HTTP first, so that probes get an answer while
the model is imported and warms up; sources last), watches them, tells systemd, and drains them in the order the data
flows. A service whose sources have all ended drains by itself.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from daemon.config import Config
from daemon.config.values import split_address
from daemon.exit_codes import ExitCode
from daemon.http.access import Access, RefusalReason
from daemon.http.feed import EventFeed
from daemon.http.server import Health, HttpServer, PostOutcome, build_app
from daemon.runtime import signals
from daemon.runtime.drain import EXIT_S, ShutdownDeadline
from daemon.runtime.lifecycle import LifecycleState, transition
from daemon.runtime.readiness import Readiness
from daemon.runtime.sdnotify import ServiceNotifier
from daemon.runtime.wiring import Endpoints, build_endpoints, limits
from daemon.scoring.pipeline import TimelineMessage
from daemon.telemetry.instruments import Instruments
from streams.alignment.driver import RecordCounts
from streams.channels.inlet import Inlet
from streams.clock import NS_PER_S
from streams.deadline import Deadline
from streams.predictions import Prediction
from streams.reasons import DeadLetterReason
from streams.records import Record
from streams.redaction import redacted_error
from streams.sources.base import LogSource
from streams.sources.chat.posted import PostedChat
from streams.sources.runner import SourceRunner
from streams.sources.state import SourceState

if TYPE_CHECKING:
    from daemon.scoring.threads import ScoringThreads  # brings torch: imported while warming

log = structlog.get_logger(__name__)

_WATCH_S = 0.25
_STARTED_WITHIN_S = 60.0  # what systemd is asked to wait while no source is open; asked again at every look
_SOURCES_STOP_S = 5.0  # a network camera takes its read timeout, 3 s, to notice anything
_LEAVE_LOGS_S = 5.0  # of the closing: the last commit, and leaving the group


class Service:
    """One daemon. `run` is called once, by the main thread; the `DaemonView` methods may be called by any."""

    def __init__(
        self,
        config: Config,
        endpoints: Endpoints,
        instruments: Instruments,
        watch: Callable[[Prediction], None] = lambda prediction: None,
    ) -> None:
        """watch: told of every prediction, on the publish thread."""
        self._config = config
        self._endpoints = endpoints
        self._instruments = instruments
        self._watch = watch
        self._clock = instruments.clock
        self._metrics = instruments.metrics
        self._inlet: Inlet[TimelineMessage] = Inlet(self._clock, self._metrics)
        self._stop = threading.Event()
        self._stopped_status: int = ExitCode.OK
        self._abandoned = False
        self._published_predictions = 0
        self._notifier = ServiceNotifier.from_environment()
        self._feed = EventFeed()
        self._state = LifecycleState.STARTING
        self._started_ns = self._clock.monotonic_ns()
        self._scoring: ScoringThreads | None = None
        self._channels = [
            self._inlet.channel(feed.source.name, feed.policy, feed.capacity, feed.source.live)
            for feed in endpoints.feeds
        ]
        self._runners = [
            SourceRunner(feed.source, channel.put, self._clock, self._metrics)
            for feed, channel in zip(endpoints.feeds, self._channels, strict=True)
        ]
        self._readiness = Readiness(self._runners, [feed.source.name for feed in endpoints.feeds if not feed.required])
        self._posted_chat = next((feed.source for feed in endpoints.feeds if isinstance(feed.source, PostedChat)), None)
        for channel in self._channels:
            self._metrics.watch_channel(f"source.{channel.name}", channel.depth)

    def run(self) -> int:
        """Runs until the sources end or a signal says so; returns the exit status."""
        http = self._start_http()
        self._move(LifecycleState.WARMING)
        from daemon.scoring.threads import ScoringThreads

        scoring = self._scoring = ScoringThreads(
            self._config, self._inlet, self._endpoints, self._published, self._instruments
        )
        scoring.start()
        self._move(LifecycleState.OPENING)
        for runner in self._runners:
            runner.start()
        self._watch_over(scoring)
        self._move(LifecycleState.DRAINING)
        shutdown = ShutdownDeadline(self._clock, self._config.lifecycle.drain_timeout_s, self._stop)
        drained = self._drain(scoring, shutdown)
        closing = shutdown.close()
        self._notifier.stopping("stopping", closing.remaining_s + EXIT_S)
        scoring.stop(closing.earlier_by(_LEAVE_LOGS_S))
        self._leave_logs(closing)
        self._move(LifecycleState.STOPPED)
        if http is not None:
            http.stop(closing)
        return self._exit_status(scoring, drained)

    @property
    def counts(self) -> RecordCounts:
        """What became of records so far."""
        return RecordCounts() if self._scoring is None else self._scoring.counts

    def stop(self) -> None:
        """Asks the service to drain; from any thread or signal handler."""
        self._stop.set()

    def abandon(self) -> None:
        """Ends it without finishing anything, as nobody takes what it publishes; from any thread."""
        self._abandoned = True
        self._stop.set()

    def handle_signals(self, *, unfinished: bool = False) -> None:
        """A signal to stop drains, or ends it at once before there is anything to drain; a second one ends it at once.

        unfinished: whether to be stopped means that the work is not done, which the exit status then says (128 and the
        signal's number). For the main thread.
        """

        def stop(number: int) -> None:
            if self._stop.is_set():
                os._exit(128 + number)
            self._stopped_status = 128 + number if unfinished else ExitCode.OK
            self._stop.set()
            if self._state in (LifecycleState.STARTING, LifecycleState.WARMING):
                self._tell("stopped before it had started")
                self._notifier.stopping("stopped", EXIT_S)
                os._exit(self._stopped_status)

        signals.install(stop, lambda: self._tell("SIGHUP is ignored: reload is not supported; restart to reconfigure"))

    def _tell(self, event: str) -> None:
        """Logs from a signal handler, which may have interrupted a write to the same stream."""
        with contextlib.suppress(RuntimeError):
            log.warning(event)

    # What HTTP sees (`daemon.http.server.DaemonView`).

    def live(self) -> Health:
        reasons = [
            f"thread {name} has made no progress for {self._instruments.heartbeats.age_s(name):.0f} s"
            for name in self._instruments.heartbeats.overdue()
        ]
        if self._scoring is not None and self._scoring.broken:
            reasons.append("the device computes nothing any more")
        return Health(not reasons, tuple(reasons))

    def ready(self) -> Health:
        reasons = list(self.live().reasons)
        if self._state not in (LifecycleState.OPENING, LifecycleState.RUNNING):
            reasons.append(f"the daemon is {self._state}")
        reasons += self._readiness.reasons()
        reasons += [] if self._scoring is None else self._scoring.blocked
        return Health(not reasons, tuple(reasons))

    def status(self) -> dict[str, Any]:
        scoring = self._scoring
        model = None if scoring is None else scoring.model_ref.model_dump() | {"device": scoring.device_name}
        sessions = None if scoring is None else scoring.sessions
        return {
            "state": self._state,
            "uptime_s": (self._clock.monotonic_ns() - self._started_ns) / NS_PER_S,
            "ready": self.ready().ok,
            "model": model,
            "sources": [
                {
                    "name": runner.source.name,
                    "state": runner.state,
                    "error": redacted_error(runner.error) if runner.error else None,
                    "required": self._readiness.is_required(runner.source.name),
                }
                for runner in self._runners
            ],
            "partitions": {source.name: list(source.partitions) for source in self._logs()},
            "sessions": sessions.sessions if sessions else 0,
            "streams_idle": sessions.idle_streams if sessions else 0,
            "windows_open": sessions.open_windows if sessions else 0,
            "channels": {channel.name: channel.depth() for channel in self._channels},
            "heartbeat_age_s": {
                name: self._instruments.heartbeats.age_s(name) for name in self._instruments.heartbeats.names()
            },
        }

    def metrics(self, accept: str) -> tuple[bytes, str]:
        return self._metrics.render(accept)

    def refused(self, reason: DeadLetterReason) -> None:
        self._metrics.dead_letter(reason)

    def http_refused(self, reason: RefusalReason) -> None:
        self._metrics.http_refused(reason)

    def post_chat(self, record: Record) -> PostOutcome:
        if self._posted_chat is None:
            return PostOutcome.NO_SOURCE
        if self._posted_chat.offer(record):
            return PostOutcome.ACCEPTED
        return PostOutcome.FULL if self._posted_chat.is_open else PostOutcome.CLOSED

    # Start.

    def _start_http(self) -> HttpServer | None:
        http = self._config.http
        if not http.bind:
            return None
        access = Access(http.bind, http.allowed_hosts, http.token_file)
        app = build_app(self, self._feed, self._clock, limits(self._config), access)
        server = HttpServer(http.bind, app, self._feed, self.http_refused)
        server.start()
        log.info("listening", http=f"{split_address(http.bind)[0]}:{server.port}")
        return server

    def _published(self, prediction: Prediction, line: bytes) -> None:
        self._published_predictions += 1
        self._feed.publish("prediction", prediction.id, line.decode())
        self._watch(prediction)

    # Run.

    def _watch_over(self, scoring: "ScoringThreads") -> None:
        """Until there is a reason to drain."""
        started, status = False, ""
        while not self._stop.wait(_WATCH_S):
            if all(runner.state.is_final for runner in self._runners):
                return
            if scoring.broken:
                return
            ready = self.ready().ok
            if ready != (self._state is LifecycleState.RUNNING):
                self._move(LifecycleState.RUNNING if ready else LifecycleState.OPENING)
            previous, status = status, self._readiness.status()
            live = self.live().ok
            if started and status != previous:
                self._notifier.status(status)
            elif not started and self._readiness.is_open:
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
        for log_source in self._logs():
            log_source.drain()
        others = [runner for runner in self._runners if not isinstance(runner.source, LogSource)]
        for runner in others:
            runner.stop()
        sources_stop = shutdown.drain().at_most(_SOURCES_STOP_S)
        for runner in others:
            runner.join(sources_stop.remaining_s)
        for channel in self._channels:
            channel.close()
        scoring.drain()
        while not self._abandoned and not scoring.drained(min(_WATCH_S, self._remaining_s(shutdown, scoring))):
            if scoring.broken or self._remaining_s(shutdown, scoring) == 0:
                log.error("not everything was published before the drain ended", in_flight=scoring.in_flight)
                return False
            if self.live().ok:
                self._notifier.alive()
        return True

    def _leave_logs(self, deadline: Deadline) -> None:
        """What is published is committed, and others take over; not before nothing more will be published."""
        for runner in self._runners:
            runner.stop()
        for runner in self._runners:
            runner.join(deadline.remaining_s)

    def _logs(self) -> list[LogSource]:
        return [runner.source for runner in self._runners if isinstance(runner.source, LogSource)]

    def _remaining_s(self, shutdown: ShutdownDeadline, scoring: "ScoringThreads") -> float:
        progress = (self._published_predictions, scoring.in_flight, *(channel.depth() for channel in self._channels))
        return shutdown.drain(progress, bool(scoring.blocked)).remaining_s

    def _exit_status(self, scoring: "ScoringThreads", drained: bool) -> int:
        if scoring.broken:
            return ExitCode.DEVICE_FAULT
        if any(runner.failed_by_bug for runner in self._runners):
            return ExitCode.BUG
        if not drained or scoring.undelivered:
            return ExitCode.UNAVAILABLE
        if self._stop.is_set():  # what was refused in a long life is counted; the status is that of the drain
            return self._stopped_status
        if scoring.refused:
            return ExitCode.UNAVAILABLE
        failed = any(runner.state is SourceState.FAILED for runner in self._runners)
        return ExitCode.BAD_DATA if failed else ExitCode.OK

    def _move(self, to: LifecycleState) -> None:
        self._state = transition(self._state, to)
        self._metrics.lifecycle(to)
        self._notifier.status(to)
        log.info("lifecycle", state=to)


def run(config: Config) -> int:
    """The daemon, from configuration to exit status."""
    instruments = Instruments()
    service = Service(config, build_endpoints(config, instruments), instruments)
    service.handle_signals()
    return service.run()
