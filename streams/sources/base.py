"""Interface of a source: open, read until it ends or breaks, close.

Reconnecting, back-off, state and counting are the runner's (`streams.sources.runner`), so that a source says only how
its own device or file is read. The message of a `SourceError` names the device, codec or file, and a person can act on
it.
"""

import threading
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from streams.records import Item, Modality

Emit = Callable[[Item], None]
"""Hands one item on; may block (back-pressure) or drop the oldest, by the policy of the channel behind it."""


class SourceError(Exception):
    """A source cannot be opened, or broke; the message names it."""


class Source(Protocol):
    """Where records enter. Owned by its runner's thread.

    Other threads read `name`, `modalities` and `live` only.
    """

    name: str
    modalities: frozenset[Modality]
    live: bool
    """Paced by the world (a device): reopened when it breaks. Otherwise it has an end, and reading waits for the rest
    of the service.
    """

    def open(self) -> None:
        """Opens the device or file; SourceError if it cannot be."""
        ...

    def read(self, emit: Emit, stop: threading.Event) -> None:
        """Emits until the end (returns), `stop` (returns soon) or a fault (SourceError)."""
        ...

    def close(self) -> None:
        """Releases the device; safe after a failed `open`."""
        ...


@runtime_checkable
class LogSource(Source, Protocol):
    """A source that reads partitions of a log, shared with other instances.

    What it hands on stays in the log until it is committed, so it leaves in two steps: `drain`, and, when everything
    is published, `close`, which commits. All of this may be called from any thread.
    """

    @property
    def partitions(self) -> tuple[int, ...]:
        """The numbers of the partitions that this instance reads now."""
        ...

    def unready_reason(self) -> str | None:
        """Why records of this instance do not arrive; None where they do."""
        ...

    def drain(self) -> None:
        """Hands on nothing more; commits go on until it is closed."""
        ...
