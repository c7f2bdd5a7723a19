"""The interface between HTTP and the daemon.

Nothing of a web framework is imported, so that what serves no HTTP needs none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from streams.reasons import DeadLetterReason
from streams.records import Record


class RefusalReason(StrEnum):
    """Why a connection or request was not served; a metric's label."""

    HOST = "host"
    CROSS_SITE = "cross_site"
    TOKEN = "token"
    INVALID_REQUEST = "invalid_request"
    TIMEOUT = "timeout"
    DISCONNECTED = "disconnected"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    TOO_MANY_LISTENERS = "too_many_listeners"
    NO_FILE_DESCRIPTOR = "no_file_descriptor"


OnRefused = Callable[[RefusalReason], None]
"""Counts what was not served."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether all is well, and if not, a sentence for each reason."""

    ok: bool
    reasons: tuple[str, ...] = ()


class PostOutcome(StrEnum):
    """What became of a chat line."""

    ACCEPTED = "accepted"
    FULL = "full"
    CLOSED = "closed"
    NO_SOURCE = "no_source"


class DaemonView(Protocol):
    """The daemon as HTTP sees it."""

    def live(self) -> Health:
        """Every thread and the device make progress."""
        ...

    def ready(self) -> Health:
        """Warm, and the sources are open."""
        ...

    def status(self) -> dict[str, Any]:
        """A JSON object for people and tools."""
        ...

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type."""
        ...

    def refused(self, reason: DeadLetterReason) -> None:
        """Counts a line that was not taken."""
        ...

    def http_refused(self, reason: RefusalReason) -> None:
        """Counts a connection or request that was not served."""
        ...

    def post_chat(self, record: Record) -> PostOutcome:
        """Hands on a line that has been checked; never blocks."""
        ...
