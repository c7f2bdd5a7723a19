"""The daemon put together: sources, scoring and HTTP, from start to drain.

The main thread owns the life of it all: it starts the parts in order (HTTP first, so that probes get an answer while
the model warms up; sources last), watches them, tells systemd, and drains them in the order the data flows. A service
whose sources have all ended drains by itself.
"""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import structlog

from daemon.config import Config
from daemon.config.values import split_address
from daemon.exit_codes import ExitCode
from daemon.feed import EventFeed
from daemon.http import Health, HttpServer, Posted, build_app
from daemon.http_access import Access, RefusalReason
from daemon.instruments import Instruments
from daemon.lifecycle import LifecycleState, moved
from daemon.pipeline import Message, Tally
from daemon.scoring import Scoring
from daemon.sdnotify import ServiceNotifier
from daemon.wiring import Endpoints, build_endpoints, limits
from streams.channel import Inlet
from streams.clock import NS_PER_S
from streams.kafka.source import KafkaSource
from streams.predictions import Prediction
from streams.records import Record
from streams.sources.chat_posted import PostedChat
from streams.sources.runner import SourceRunner
from streams.sources.state import SourceState

log = structlog.get_logger(__name__)

_WATCH_S = 0.25
_SOURCE_STOP_S = 5.0  # a network camera takes its read timeout, 3 s, to notice anything


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
        self._inlet: Inlet[Message] = Inlet(self._clock, self._metrics)
        self._stop = threading.Event()
        self._notifier = ServiceNotifier.from_environment()
        self._feed = EventFeed()
        self._state = LifecycleState.STARTING
        self._started_ns = self._clock.monotonic_ns()
        self._scoring: Scoring | None = None
        self._channels = [
            self._inlet.channel(feed.source.name, feed.policy, feed.capacity, feed.source.live)
            for feed in endpoints.feeds
        ]
        self._runners = [
            SourceRunner(feed.source, channel.put, self._clock, self._metrics)
            for feed, channel in zip(endpoints.feeds, self._channels, strict=True)
        ]
        self._posted_chat = next((feed.source for feed in endpoints.feeds if isinstance(feed.source, PostedChat)), None)
        for channel in self._channels:
            self._metrics.watch_channel(f"source.{channel.name}", channel.depth)

    def run(self) -> int:
        """Runs until the sources end or a signal says so; returns the exit status."""
        http = self._start_http()
        self._move(LifecycleState.WARMING)
        scoring = self._scoring = Scoring(
            self._config, self._inlet, self._endpoints, self._published, self._instruments
        )
        scoring.start()
        self._move(LifecycleState.OPENING)
        for runner in self._runners:
            runner.start()
        self._watch_over(scoring)
        self._move(LifecycleState.DRAINING)
        drained = self._drain(scoring)
        scoring.stop()
        self._leave_logs()
        self._move(LifecycleState.STOPPED)
        if http is not None:
            http.stop()
        return self._exit_status(scoring, drained)

    @property
    def tally(self) -> Tally:
        """What became of records so far."""
        return Tally() if self._scoring is None else self._scoring.tally

    def stop(self) -> None:
        """Asks the service to drain; from any thread or signal handler."""
        self._stop.set()

    def handle_signals(self) -> None:
        """SIGTERM and SIGINT drain; a second one stops at once. For the main thread."""

        def received(number: int, frame: FrameType | None) -> None:
            if self._stop.is_set():
                os._exit(128 + number)
            self._stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, received)

    # What HTTP sees (`daemon.http.DaemonView`).

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
        reasons += [
            f"source {runner.source.name} is {runner.state}" + (f": {runner.error}" if runner.error else "")
            for runner in self._runners
            if not (runner.state is SourceState.RUNNING or runner.state.is_final)
        ]
        reasons += [reason for reason in (source.unready() for source in self._logs()) if reason is not None]
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
                    "error": str(runner.error) if runner.error else None,
                }
                for runner in self._runners
            ],
            "partitions": {source.name: list(source.numbers) for source in self._logs()},
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

    def refused(self, reason: str) -> None:
        self._metrics.dead_letter(reason)

    def http_refused(self, reason: RefusalReason) -> None:
        self._metrics.http_refused(reason)

    def post_chat(self, record: Record) -> Posted:
        if self._posted_chat is None:
            return Posted.NO_SOURCE
        return Posted.ACCEPTED if self._posted_chat.offer(record) else Posted.FULL

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
        self._feed.publish("prediction", prediction.id, line.decode())
        self._watch(prediction)

    # Run.

    def _watch_over(self, scoring: Scoring) -> None:
        """Until there is a reason to drain."""
        told_ready = False
        while not self._stop.wait(_WATCH_S):
            if all(runner.state.is_final for runner in self._runners):
                return
            if scoring.broken:
                return
            ready = self.ready().ok
            if ready != (self._state is LifecycleState.RUNNING):
                self._move(LifecycleState.RUNNING if ready else LifecycleState.OPENING)
            if ready and not told_ready:
                self._notifier.ready("scoring")
                told_ready = True
            if self.live().ok:
                self._notifier.alive()

    def _drain(self, scoring: Scoring) -> bool:
        """Whether everything under way was finished within the deadline."""
        self._notifier.stopping("draining")
        deadline_ns = self._clock.monotonic_ns() + round(self._config.lifecycle.drain_timeout_s * NS_PER_S)
        for log_source in self._logs():
            log_source.drain()
        others = [runner for runner in self._runners if not isinstance(runner.source, KafkaSource)]
        for runner in others:
            runner.stop()
        for runner in others:
            runner.join(min(_SOURCE_STOP_S, self._left_s(deadline_ns)))
        for channel in self._channels:
            channel.close()
        scoring.drain()
        while not scoring.drained(min(_WATCH_S, self._left_s(deadline_ns))):
            if self._left_s(deadline_ns) == 0 or scoring.broken:
                log.error("not everything was published before the drain ended", under_way=scoring.under_way)
                return False
            if self.live().ok:
                self._notifier.alive()
        return True

    def _leave_logs(self) -> None:
        """What is published is committed, and others take over; not before nothing more will be published."""
        for runner in self._runners:
            runner.stop()
        for runner in self._runners:
            runner.join(_SOURCE_STOP_S)

    def _logs(self) -> list[KafkaSource]:
        return [runner.source for runner in self._runners if isinstance(runner.source, KafkaSource)]

    def _left_s(self, deadline_ns: int) -> float:
        return max(0.0, (deadline_ns - self._clock.monotonic_ns()) / NS_PER_S)

    def _exit_status(self, scoring: Scoring, drained: bool) -> ExitCode:
        if scoring.broken:
            return ExitCode.DEVICE_FAULT
        if not drained or scoring.undelivered:
            return ExitCode.UNAVAILABLE
        if self._stop.is_set():  # what was refused in a long life is counted; the status is that of the drain
            return ExitCode.OK
        if scoring.refused:
            return ExitCode.UNAVAILABLE
        failed = any(runner.state is SourceState.FAILED for runner in self._runners)
        return ExitCode.BAD_DATA if failed else ExitCode.OK

    def _move(self, to: LifecycleState) -> None:
        self._state = moved(self._state, to)
        self._metrics.lifecycle(to)
        self._notifier.status(to)
        log.info("lifecycle", state=to)


def run(config: Config) -> int:
    """The daemon, from configuration to exit status."""
    instruments = Instruments()
    service = Service(config, build_endpoints(config, instruments), instruments)
    service.handle_signals()
    return service.run()
