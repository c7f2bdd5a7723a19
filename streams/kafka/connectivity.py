"""Reports when a source loses its cluster, and when it returns.

Each is logged once, the second with how long it was away. The client reconnects by itself, so the source stays open;
its state is reported as waiting nevertheless. Interruptions below three seconds, as a rebalance makes them, are not
reported.
"""

import structlog

from streams.clock import NS_PER_S, Clock
from streams.source_state import SourceState
from streams.telemetry import Telemetry

log = structlog.get_logger(__name__)

_REPORTED_AFTER_NS = 3 * NS_PER_S


class Connectivity:
    """Tracks the interruptions of one source.

    Owned by the source's thread.
    """

    def __init__(self, source: str, clock: Clock, telemetry: Telemetry) -> None:
        self._source = source
        self._clock = clock
        self._telemetry = telemetry
        self._since_ns: int | None = None
        self._is_reported = False

    def update(self, fault: str | None, since_ns: int) -> None:
        """Reports the begin or the end of an interruption.

        fault: why nothing arrives now; None where something does. since_ns: when it began, monotonic.
        """
        if fault is None:
            self._end()
            return
        self._since_ns = since_ns if self._since_ns is None else self._since_ns
        if not self._is_reported and self._clock.monotonic_ns() - self._since_ns >= _REPORTED_AFTER_NS:
            self._is_reported = True
            log.warning("the source is interrupted", source=self._source, why=fault)
            self._telemetry.source_state(self._source, SourceState.WAITING)

    def _end(self) -> None:
        if self._is_reported and self._since_ns is not None:
            away_s = (self._clock.monotonic_ns() - self._since_ns) / NS_PER_S
            log.info("the source is back", source=self._source, away_s=round(away_s, 1))
            self._telemetry.source_state(self._source, SourceState.RUNNING)
            self._telemetry.reconnect(self._source)
        self._since_ns, self._is_reported = None, False
