"""What the streaming half reports, by what happened; the daemon counts it (`daemon.metrics`), tests ignore it.

Labels are bounded: modality, reason, source and state names from code and configuration, never a session id.
"""

from typing import Protocol

from streams.records import Modality


class Telemetry(Protocol):
    """Callable from any thread."""

    def record(self, source: str, modality: Modality, size_bytes: int) -> None:
        """A source received one record."""
        ...

    def source_state(self, source: str, state: str) -> None:
        """A source moved to `state`."""
        ...

    def reconnect(self, source: str) -> None:
        """A live source is opened again after a fault."""
        ...

    def event(self, modality: Modality) -> None:
        """A record became a valid event and entered the timeline."""
        ...

    def decoded(self, modality: Modality, seconds: float) -> None:
        """A record was decoded, or refused, in `seconds`."""
        ...

    def dropped(self, modality: Modality, reason: str, count: int = 1) -> None:
        """Events or records left out by a named policy."""
        ...

    def dead_letter(self, reason: str) -> None:
        """A record was set aside as unusable."""
        ...

    def late(self, modality: Modality) -> None:
        """An event missed at least one window that contains its time: closed, and past its grace."""
        ...

    def window_closed(self, closed_by: str) -> None:
        """A window closed."""
        ...

    def channel_wait(self, stage: str, seconds: float) -> None:
        """An item lay in a channel for `seconds`."""
        ...


class NullTelemetry:
    """Counts nothing."""

    def record(self, source: str, modality: Modality, size_bytes: int) -> None: ...
    def source_state(self, source: str, state: str) -> None: ...
    def reconnect(self, source: str) -> None: ...
    def event(self, modality: Modality) -> None: ...
    def decoded(self, modality: Modality, seconds: float) -> None: ...
    def dropped(self, modality: Modality, reason: str, count: int = 1) -> None: ...
    def dead_letter(self, reason: str) -> None: ...
    def late(self, modality: Modality) -> None: ...
    def window_closed(self, closed_by: str) -> None: ...
    def channel_wait(self, stage: str, seconds: float) -> None: ...
