"""Stored session of a media file, a chat script, or both.

Picture, sound and chat are merged in presentation order, and event time is a fixed start plus presentation time, so
that identifiers do not depend on when a file is played. Any of the three may be missing, and a fault in one leaves the
others: a cut file is played up to its cut.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from streams.clock import NS_PER_S
from streams.participants import Participant
from streams.records import MEDIA, RAW_PICTURE, Modality, Record
from streams.sources.base import SourceError
from streams.sources.sampler import Sampler
from streams.sources.stored.chat_script import ScriptLine, read_script
from streams.sources.stored.media_stream import StreamReader, cut_short, open_stream
from streams.telemetry import NullTelemetry, Telemetry

START_NS = 946_684_800 * NS_PER_S
"""2000-01-01T00:00:00Z: when a media session happens if nobody says otherwise."""


@dataclass
class MediaSession:
    """A stored session (see `streams.sources.stored.playback`). Owned by the thread that plays it.

    `sample_hz` limits the pictures handed on (the first in each 1/sample_hz s of event time); None hands on all.
    `received_ns` of its records is left 0 for the playback to fill.
    """

    session: str
    media: Path | None = None
    chat: Path | None = None
    start_ns: int = START_NS
    sample_hz: float | None = None
    telemetry: Telemetry = field(default_factory=NullTelemetry)
    wanted: frozenset[Modality] = frozenset(MEDIA)
    """What of it is opened."""
    participant: Participant | None = None
    """Whose pictures and sound it holds."""
    channels: tuple[str, ...] = ()
    """Names of the channels of its sound."""
    faults: list[str] = field(default_factory=list, init=False)
    modalities: frozenset[Modality] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        self._picture: StreamReader | None = None
        self._sound: StreamReader | None = None
        self._lines: list[ScriptLine] = []

    def open(self) -> None:
        if self.chat is not None and Modality.TEXT in self.wanted:
            self._lines = self._read_chat(self.chat)
        if self.media is not None:
            self._picture = self._opened(self.media, "video") if Modality.VIDEO in self.wanted else None
            self._sound = self._opened(self.media, "audio") if Modality.AUDIO in self.wanted else None
        present = {Modality.VIDEO: self._picture, Modality.AUDIO: self._sound, Modality.TEXT: self._lines}
        self.modalities = frozenset(modality for modality, found in present.items() if found)
        if not self.modalities:
            faults = dict.fromkeys(self.faults)  # both streams of a file that cannot be opened say the same
            named = self.media or self.chat or self.session
            raise SourceError("; ".join(faults) or f"{named}: holds {self._lacking()}")

    def records(self) -> Iterator[Record]:
        yield from heapq.merge(self._pictures(), self._sounds(), self._texts(), key=lambda record: record.event_time_ns)
        readers = [reader for reader in (self._picture, self._sound) if reader is not None]
        for reader in readers:
            self.faults += reader.faults
        if readers and (fault := cut_short(readers)) is not None:
            self.faults.append(fault)

    def _lacking(self) -> str:
        names = {Modality.VIDEO: "picture", Modality.AUDIO: "sound", Modality.TEXT: "chat"}
        wanted = [name for modality, name in names.items() if modality in self.wanted]
        return f"{'neither' if len(wanted) > 1 else 'no'} {' nor '.join(wanted)}"

    def close(self) -> None:
        for reader in (self._picture, self._sound):
            if reader is not None:
                reader.close()

    def _opened(self, path: Path, kind: str) -> StreamReader | None:
        try:
            return open_stream(path, kind, self.telemetry)
        except SourceError as error:
            if str(error) not in self.faults:
                self.faults.append(str(error))
            return None

    def _read_chat(self, path: Path) -> list[ScriptLine]:
        try:
            return read_script(path, self.telemetry)
        except SourceError as error:
            self.faults.append(str(error))
            return []

    def _pictures(self) -> Iterator[Record]:
        if self._picture is None:
            return
        sampler = Sampler(self.sample_hz)
        for picture in self._picture.pictures():
            if sampler.takes(self.start_ns + picture.at_ns):
                yield self._record(Modality.VIDEO, RAW_PICTURE, picture.frame, picture.at_ns)

    def _sounds(self) -> Iterator[Record]:
        if self._sound is None:
            return
        for sound in self._sound.sound():
            content_type = f"audio/L16;rate={sound.rate_hz};channels={sound.channels}"
            yield self._record(Modality.AUDIO, content_type, sound.pcm, sound.at_ns)

    def _texts(self) -> Iterator[Record]:
        for line in self._lines:
            yield self._record(Modality.TEXT, "application/json", line.payload, line.at_ns)

    def _record(self, modality: Modality, content_type: str, payload: object, at_ns: int) -> Record:
        participant = None if modality is Modality.TEXT else self.participant
        channels = self.channels if modality is Modality.AUDIO else ()
        return Record(
            self.session,
            modality,
            content_type,
            payload,
            self.start_ns + at_ns,
            received_ns=0,
            participant=participant,
            channels=channels,
        )
