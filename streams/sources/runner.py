"""Thread of one source: opens, reads, and opens a broken device again.

A live source is opened again for ever, since a cable may be plugged in at any hour. A source with an end that breaks
has failed: to read it again would emit its beginning twice. An exception that is not a SourceError is a bug. It is
logged with its traceback, and the source counts as broken like any other; the rest of the service goes on.
"""

import logging
import threading
from dataclasses import dataclass, field
from typing import Any

import structlog

from streams.clock import NS_PER_S, Clock
from streams.records import Item, Record
from streams.source_state import SourceState, moved
from streams.sources.backoff import Backoff
from streams.sources.base import Emit, Source, SourceError
from streams.telemetry import NullTelemetry, Telemetry

log = structlog.get_logger(__name__)

_STABLE_AFTER_NS = 10 * NS_PER_S  # a source that broke sooner than this after opening keeps its back-off


@dataclass
class SourceRunner:
    """Runner of one source. Any thread may read `state` and `error`."""

    source: Source
    emit: Emit
    clock: Clock
    telemetry: Telemetry = field(default_factory=NullTelemetry)
    backoff: Backoff = field(default_factory=Backoff)
    state: SourceState = field(default=SourceState.CREATED, init=False)
    error: Exception | None = field(default=None, init=False)
    """The last error; None while the source works."""

    def __post_init__(self) -> None:
        self._reported, self._broke_ns = "", 0  # the error that was logged, and when the source broke first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"source-{self.source.name}", daemon=True)

    @property
    def failed_by_bug(self) -> bool:
        """Whether the last error is not a SourceError."""
        return self.error is not None and not isinstance(self.error, SourceError)

    def start(self) -> None:
        """Starts the thread; once."""
        self._thread.start()

    def stop(self) -> None:
        """Asks the source to stop; `join` waits for it."""
        self._stop.set()

    def join(self, timeout_s: float | None = None) -> bool:
        """Waits for the thread; True if it ended or never started."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stop.is_set() and not self._open_and_read():
                self._wait()
            if not self.state.is_final:
                self._move(SourceState.STOPPED)
        except Exception as error:  # a fault of the runner itself
            log.exception("source failed by a bug", source=self.source.name)
            self._fail(error)

    def _open_and_read(self) -> bool:
        """Opens, reads and closes once.

        True if it is not to be opened again.
        """
        self._move(SourceState.OPENING)
        running_since_ns: int | None = None
        try:
            self.source.open()
            if self._stop.is_set():
                return True
            self._move(SourceState.RUNNING)
            self.error = None
            running_since_ns = self.clock.monotonic_ns()
            self.source.read(self._emit_counted, self._stop)
        except Exception as error:
            if not isinstance(error, SourceError):
                log.exception("source broke by a bug", source=self.source.name)
            return self._broken(error, running_since_ns)
        finally:
            self._close()
        self._move(SourceState.STOPPED if self._stop.is_set() else SourceState.ENDED)
        return True

    def _close(self) -> None:
        try:
            self.source.close()
        except Exception:  # it is opened again whatever it still holds
            log.exception("source did not close cleanly", source=self.source.name)

    def _broken(self, error: Exception, running_since_ns: int | None) -> bool:
        if self._stop.is_set():
            if not isinstance(error, SourceError):
                self.error = error
            return True
        if not self.source.live:
            log.error("source failed", source=self.source.name, error=error)
            self._fail(error)
            return True
        if running_since_ns is not None and self.clock.monotonic_ns() - running_since_ns >= _STABLE_AFTER_NS:
            self.backoff.reset()
        self.error = error
        self._broke_ns = self._broke_ns if self._reported else self.clock.monotonic_ns()
        self._move(SourceState.WAITING)
        return False

    def _wait(self) -> None:
        wait_s = self.backoff.next_s()
        again, self._reported = str(self.error) == self._reported, str(self.error)
        level = logging.DEBUG if again else logging.WARNING
        log.log(level, "source broke; it is opened again", source=self.source.name, error=self.error, wait_s=wait_s)
        if not self.clock.wait(self._stop, wait_s):
            self.telemetry.reconnect(self.source.name)

    def _emit_counted(self, item: Item) -> None:
        if isinstance(item, Record):
            self.telemetry.record(self.source.name, item.modality, _size_bytes(item.payload))
        if self._reported:  # only a source that gives something again works
            away_s = (self.clock.monotonic_ns() - self._broke_ns) / NS_PER_S
            log.info("source is back", source=self.source.name, away_s=round(away_s, 1))
            self._reported = ""
        self.emit(item)

    def _fail(self, error: Exception) -> None:
        self.error = error
        self._move(SourceState.FAILED)

    def _move(self, to: SourceState) -> None:
        self.state = moved(self.state, to)
        self.telemetry.source_state(self.source.name, to)


def _size_bytes(payload: Any) -> int:
    """Bytes of an encoded payload or of a camera's array.

    A PyAV frame, which stays in the decoder's pool, counts 0.
    """
    return len(payload) if isinstance(payload, bytes) else int(getattr(payload, "nbytes", 0))
