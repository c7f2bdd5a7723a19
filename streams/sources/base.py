"""What every source is: something that opens, yields items until it ends or breaks, and closes.

Reconnecting, back-off, state and counting are the runner's (`streams.sources.runner`), so that a source says only how
its own device or file is read. `SourceError` carries a sentence a person can act on and names the device, codec or
file.
"""

import threading
from collections.abc import Callable
from typing import Protocol

from streams.records import Item, Modality

Emit = Callable[[Item], None]
"""Hands one item on; may block (back-pressure) or drop the oldest, by the policy of the channel behind it."""


class SourceError(Exception):
    """A source cannot be opened or has broken; the message names it and says what to do."""


class Source(Protocol):
    """Owned by its runner's thread; only `name`, `modalities` and `live` are read from elsewhere."""

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
