"""Stored session of a recording, read in event-time order.

Records may have been written out of order, as they arrived; the index is small, so it is sorted whole and payloads are
read as they are played. A line that cannot be read is a dead letter with its file and line; a torn last line is what a
crash leaves, and is skipped.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from streams.formats.lines import LINE_LIMIT_BYTES, numbered_lines
from streams.formats.text_files import FileError, open_file
from streams.reasons import DeadLetterReason
from streams.records import MEDIA, Modality, Record
from streams.sources.base import SourceError
from streams.sources.stored.recording import (
    PAYLOADS_FILE,
    RECORDS_FILE,
    RecordingError,
    StoredRecord,
    read_header,
    read_line,
)
from streams.telemetry import NullTelemetry, Telemetry

log = structlog.get_logger(__name__)


@dataclass
class RecordedSession:
    """A stored session (see `streams.sources.stored.playback`). Owned by the thread that plays it."""

    folder: Path
    telemetry: Telemetry = field(default_factory=NullTelemetry)
    wanted: frozenset[Modality] = frozenset(MEDIA)
    """What of it is read."""
    session: str = field(default="", init=False)
    """Known once the header is read, which is when this object is made."""
    start_ns: int = field(default=0, init=False)
    modalities: frozenset[Modality] = field(default=frozenset(), init=False)
    faults: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        """SourceError if the folder is no recording."""
        self._index: list[StoredRecord] = []
        try:
            header = read_header(self.folder)
        except RecordingError as error:
            raise SourceError(str(error)) from error
        self.session, self.start_ns = header.session, header.start_ns

    def open(self) -> None:
        try:
            payloads_bytes = (self.folder / PAYLOADS_FILE).stat().st_size
            with open_file(self.folder / RECORDS_FILE) as file:
                for number, line in numbered_lines(file):
                    if line is None or line.endswith(b"\n"):
                        self._read_line(number, line, payloads_bytes)
        except FileError as problem:
            raise SourceError(f"{self.folder / RECORDS_FILE}: {problem}") from problem
        except OSError as error:
            raise SourceError(f"{self.folder}: {error.filename}: {error.strerror or error}") from error
        wanted = (stored for stored in self._index if stored.modality in self.wanted)
        self._index = sorted(wanted, key=lambda stored: stored.event_time_ns)
        self.modalities = frozenset(stored.modality for stored in self._index)
        if not self._index:
            of = "" if self.wanted == frozenset(MEDIA) else f" of {' or '.join(sorted(self.wanted))}"
            raise SourceError(f"{self.folder}: holds no records{of}")

    def records(self) -> Iterator[Record]:
        try:
            with io.BufferedReader(open_file(self.folder / PAYLOADS_FILE)) as payloads:
                for stored in self._index:
                    payloads.seek(stored.offset)
                    payload = payloads.read(stored.length)
                    yield Record(
                        self.session,
                        stored.modality,
                        stored.content_type,
                        payload,
                        stored.event_time_ns,
                        received_ns=0,
                        sequence=stored.sequence,
                        participant=stored.participant,
                        channels=stored.channels,
                    )
        except FileError as problem:
            self.faults.append(f"{self.folder / PAYLOADS_FILE}: {problem}")
        except OSError as error:
            self.faults.append(f"{self.folder / PAYLOADS_FILE}: {error.strerror or error}")

    def close(self) -> None:
        self._index = []

    def _read_line(self, number: int, line: bytes | None, payloads_bytes: int) -> None:
        try:
            if line is None:
                raise ValueError(f"it is longer than {LINE_LIMIT_BYTES} bytes")
            self._index.append(read_line(line, payloads_bytes))
        except ValueError as error:
            self.telemetry.dead_letter(DeadLetterReason.INVALID_RECORD)
            at = f"{self.folder / RECORDS_FILE}:{number}"
            log.warning("recorded line left out", at=at, error=str(error))
