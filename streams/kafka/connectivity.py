"""Logs once when a source loses its cluster, and once when back.

The second line says how long it was away. The client connects again by itself, so the source stays open all the while;
its state is told as waiting nevertheless. Rebalances of a second or two, in which the source is no member of its group
for a moment, are not told.
"""

import structlog

from streams.clock import NS_PER_S, Clock
from streams.sources.state import SourceState
from streams.telemetry import Telemetry

log = structlog.get_logger(__name__)

_TOLD_AFTER_NS = 3 * NS_PER_S


class Connectivity:
    """Owned by the source's thread."""

    def __init__(self, source: str, clock: Clock, telemetry: Telemetry) -> None:
        self._source = source
        self._clock = clock
        self._telemetry = telemetry
        self._since_ns: int | None = None
        self._told = False

    def look(self, fault: str | None, since_ns: int) -> None:
        """fault: why nothing arrives now, None where something does; since_ns: from when on, if it has just begun."""
        if fault is None:
            self._over()
            return
        self._since_ns = since_ns if self._since_ns is None else self._since_ns
        if not self._told and self._clock.monotonic_ns() - self._since_ns >= _TOLD_AFTER_NS:
            self._told = True
            log.warning("the source is interrupted", source=self._source, why=fault)
            self._telemetry.source_state(self._source, SourceState.WAITING)

    def _over(self) -> None:
        if self._told and self._since_ns is not None:
            away_s = (self._clock.monotonic_ns() - self._since_ns) / NS_PER_S
            log.info("the source is back", source=self._source, away_s=round(away_s, 1))
            self._telemetry.source_state(self._source, SourceState.RUNNING)
            self._telemetry.reconnect(self._source)
        self._since_ns, self._told = None, False
