"""The running service as HTTP sees it: health, status, metrics, posted chat."""

from typing import TYPE_CHECKING, Any

from daemon.http.view import Health, PostOutcome, RefusalReason
from daemon.lifecycle import LifecycleState
from daemon.runtime.sources import Sources
from daemon.telemetry.instruments import Instruments
from streams.clock import NS_PER_S
from streams.reasons import DeadLetterReason
from streams.records import Record

if TYPE_CHECKING:
    from daemon.scoring.threads import ScoringThreads  # brings torch: imported while warming


class ServiceView:
    """Implements `daemon.http.view.DaemonView`; callable from any thread.

    state and scoring are set by the main thread as the service starts; scoring is None until the model is loaded.
    """

    def __init__(self, sources: Sources, instruments: Instruments) -> None:
        self.state = LifecycleState.STARTING
        self.scoring: ScoringThreads | None = None
        self._sources = sources
        self._clock = instruments.clock
        self._metrics = instruments.metrics
        self._heartbeats = instruments.heartbeats
        self._started_ns = self._clock.monotonic_ns()

    def live(self) -> Health:
        reasons = [
            f"thread {name} has made no progress for {self._heartbeats.age_s(name):.0f} s"
            for name in self._heartbeats.overdue()
        ]
        if self.scoring is not None and self.scoring.broken:
            reasons.append("the device computes nothing any more")
        return Health(not reasons, tuple(reasons))

    def ready(self) -> Health:
        reasons = list(self.live().reasons)
        if self.state not in (LifecycleState.OPENING, LifecycleState.RUNNING):
            reasons.append(f"the daemon is {self.state}")
        reasons += self._sources.readiness.reasons()
        reasons += [] if self.scoring is None else self.scoring.blocked
        return Health(not reasons, tuple(reasons))

    def status(self) -> dict[str, Any]:
        scoring = self.scoring
        model = None if scoring is None else scoring.model_ref.model_dump() | {"device": scoring.device_name}
        sessions = None if scoring is None else scoring.sessions
        return {
            "state": self.state,
            "uptime_s": (self._clock.monotonic_ns() - self._started_ns) / NS_PER_S,
            "ready": self.ready().ok,
            "model": model,
            "sources": self._sources.status(),
            "partitions": self._sources.partitions(),
            "sessions": sessions.sessions if sessions else 0,
            "streams_idle": sessions.idle_streams if sessions else 0,
            "windows_open": sessions.open_windows if sessions else 0,
            "channels": self._sources.depths(),
            "heartbeat_age_s": {name: self._heartbeats.age_s(name) for name in self._heartbeats.names()},
        }

    def metrics(self, accept: str) -> tuple[bytes, str]:
        return self._metrics.render(accept)

    def refused(self, reason: DeadLetterReason) -> None:
        self._metrics.dead_letter(reason)

    def http_refused(self, reason: RefusalReason) -> None:
        self._metrics.http_refused(reason)

    def post_chat(self, record: Record) -> PostOutcome:
        chat = self._sources.posted_chat
        if chat is None:
            return PostOutcome.NO_SOURCE
        if chat.offer(record):
            return PostOutcome.ACCEPTED
        return PostOutcome.FULL if chat.is_open else PostOutcome.CLOSED
