"""Which sources are away, and whether the service is ready.

systemd counts it as started once one source is open: one that is away must not have the others killed. `/readyz` is
false while a source that is `required` is away or has failed.
"""

from collections.abc import Collection, Sequence

from streams.redaction import redacted_error
from streams.source_state import SourceState
from streams.sources.base import LogSource
from streams.sources.runner import SourceRunner


class Readiness:
    """Of the sources alone; callable from any thread."""

    def __init__(self, runners: Sequence[SourceRunner], optional: Collection[str]) -> None:
        """optional: names of sources that are not `required`."""
        self._runners = runners
        self._optional = frozenset(optional)

    def is_required(self, source: str) -> bool:
        """Whether the service is not ready without it."""
        return source not in self._optional

    def reasons(self) -> list[str]:
        """A sentence for each required source that is away."""
        return [why for name, why in self._away() if self.is_required(name)]

    @property
    def is_open(self) -> bool:
        """Whether a source is open, or has ended well."""
        return len(self._away()) < len(self._runners)

    def status(self) -> str:
        """A sentence for `systemctl status`.

        It says whether windows are scored, and names each source that is away, required or not.
        """
        return "; ".join(("scoring" if self.is_open else "waiting", *(why for _, why in self._away())))

    def _away(self) -> list[tuple[str, str]]:
        return [(runner.source.name, why) for runner in self._runners if (why := _why_away(runner)) is not None]


def _why_away(runner: SourceRunner) -> str | None:
    """Why nothing comes from a source that has not ended; without content."""
    if runner.state is SourceState.RUNNING:
        return runner.source.unready_reason() if isinstance(runner.source, LogSource) else None
    if runner.state in (SourceState.ENDED, SourceState.STOPPED):
        return None
    return f"source {runner.source.name} is {runner.state}" + (
        f": {redacted_error(runner.error)}" if runner.error else ""
    )
