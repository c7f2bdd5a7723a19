"""Tracks which sinks are blocked: they deliver nothing now.

A blocked_sinks is logged once when it begins, once when its cause is known, and once when it is over. A sink retries by
itself and for ever. Until it delivers, nothing that follows is published, and the service is not ready.
"""

from dataclasses import dataclass

import structlog

from streams.clock import NS_PER_S, Clock

log = structlog.get_logger(__name__)

_SILENT_NS = 5 * NS_PER_S  # a round trip takes milliseconds


@dataclass(slots=True)
class _Blocked:
    since_ns: int
    cause: str = ""


class BlockedSinks:
    """Owned by the publish thread; `reasons` may be called by any."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._blocked: dict[str, _Blocked] = {}

    def reasons(self) -> list[str]:
        """A sentence for each sink that is blocked."""
        now_ns = self._clock.monotonic_ns()
        return [
            f"sink {name} has delivered nothing for {(now_ns - blocked.since_ns) / NS_PER_S:.0f} s"
            + (f": {blocked.cause}" if blocked.cause else "")
            for name, blocked in list(self._blocked.items())
        ]

    def waits(self, sink: str, since_ns: int) -> None:
        """`sink` has not settled what it was given at `since_ns`."""
        if sink not in self._blocked and self._clock.monotonic_ns() - since_ns >= _SILENT_NS:
            self._blocked[sink] = _Blocked(since_ns)
            log.warning("a sink is blocked: it acknowledges nothing", sink=sink)

    def fails(self, sink: str, since_ns: int, cause: str) -> None:
        """`sink` could deliver nothing, and tries again."""
        blocked = self._blocked.setdefault(sink, _Blocked(since_ns))
        if not blocked.cause:
            log.warning("a sink is blocked", sink=sink, why=cause)
        blocked.cause = cause

    def delivers(self, sink: str) -> None:
        """`sink` has settled everything."""
        blocked = self._blocked.pop(sink, None)
        if blocked is not None:
            away_s = (self._clock.monotonic_ns() - blocked.since_ns) / NS_PER_S
            log.info("a sink delivers again", sink=sink, away_s=round(away_s, 1))
