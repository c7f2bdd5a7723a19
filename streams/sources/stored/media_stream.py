"""Reads one stream of a media file, with true presentation times.

Each stream is read through a container of its own: files interleave their streams as they please (all pictures before
all sound is legal), and with two readers neither ever holds back more than one frame for the other.
Pictures stay PyAV frames, not converted: most of them no window uses. Sound changes its sample format only (s16le), at
its own rate and channels. Faults end a stream, never the reader: what came before them has been yielded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.audio.frame
import av.audio.resampler
import av.container
import av.error
import av.video.frame
import structlog

from streams.clock import NS_PER_MS, NS_PER_S
from streams.decoding import riff
from streams.decoding.frames import with_pixel_shape
from streams.formats.text_files import FileError, open_file
from streams.reasons import DeadLetterReason
from streams.sources.base import SourceError
from streams.sources.stored.file_clock import FileClock
from streams.sources.stored.presentation_time import PresentationTime
from streams.sources.stored.tracks import chosen_track
from streams.telemetry import Telemetry

log = structlog.get_logger(__name__)

_SOUND_CHUNK_NS = 200 * NS_PER_MS
_SOUND_BREAK_NS = 20 * NS_PER_MS  # containers that count in ms round each stamp; a true break is longer than a frame
_MAX_START_NS = 3600 * NS_PER_S  # a first stamp beyond an hour is an arbitrary origin, not an hour without anything
_LEAP_NS = 3600 * NS_PER_S
_DISCONTINUOUS_LEAP_NS = 10 * NS_PER_S  # what ffmpeg takes for a discontinuity in a format that allows them
_TS_DISCONT = 0x0200  # AVFMT_TS_DISCONT: MPEG-TS, MPEG-PS, Ogg: arbitrary origins, and jumps are no fault
_MEASURED_DURATION = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "wav", "flac", "avi"}  # others only estimate it
_CUT_SHORT_NS = NS_PER_S


@dataclass(frozen=True, slots=True)
class MediaSound:
    """Interleaved s16le samples; `at_ns` is the first one's time since the start."""

    at_ns: int
    rate_hz: int
    channels: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class MediaPicture:
    """One picture, `at_ns` after the start."""

    at_ns: int
    frame: av.video.frame.VideoFrame


class StreamReader:
    """Reader of one stream, "video" or "audio", made by `open_stream`.

    Owned by one thread; read once.
    """

    def __init__(self, path: Path, container: av.container.InputContainer, stream: Any, telemetry: Telemetry) -> None:
        self.path = path
        self.kind: str = stream.type
        self.faults: list[str] = []
        """What could not be read; complete once the stream is exhausted."""
        self.end_ns = 0
        """Where the last frame read ends, since the start."""
        self._container = container
        self._stream = stream
        self._time = _presentation_time(container)
        self._clock = FileClock(_DISCONTINUOUS_LEAP_NS) if _is_discontinuous(container) else None
        self._telemetry = telemetry
        self._undecodable = 0

    @property
    def declared_end_ns(self) -> int | None:
        """Duration in the file's header; None where its format only estimates it."""
        duration = self._container.duration
        if duration is None or self._container.format.name not in _MEASURED_DURATION:
            return None
        return int(duration) * NS_PER_S // av.time_base

    def pictures(self) -> Iterator[MediaPicture]:
        """Every picture of a video stream."""
        rate = self._stream.guessed_rate or Fraction(25)
        duration_ns = round(NS_PER_S / rate)
        for frame in self._frames():
            at_ns = self._time.at(frame.pts, frame.time_base, duration_ns)
            yield MediaPicture(at_ns, with_pixel_shape(frame, self._stream.sample_aspect_ratio))

    def sound(self) -> Iterator[MediaSound]:
        """Sound of an audio stream, in chunks of 200 ms.

        A chunk ends early where the sound has a gap.
        """
        chunk: _SoundChunk | None = None
        for frame in self._frames():
            at_ns = self._time.at(frame.pts, frame.time_base, frame.samples * NS_PER_S // frame.sample_rate)
            if chunk is None or not chunk.continues(at_ns, frame):
                if chunk is not None:
                    yield chunk.sound()
                chunk = _SoundChunk(at_ns, frame)
            try:
                chunk.add(frame)
            except av.error.FFmpegError:
                self._count_undecodable()
            if chunk.duration_ns >= _SOUND_CHUNK_NS:
                yield chunk.sound()
                chunk = None
        if chunk is not None:
            yield chunk.sound()

    def close(self) -> None:
        """Closes the file; may be repeated."""
        self._container.close()

    def _frames(self) -> Iterator[Any]:
        decoded = 0
        try:
            for packet in self._packets():
                for frame in self._decoded(packet):
                    decoded += 1
                    yield frame
                    self.end_ns = self._time.end_ns
        except (av.error.FFmpegError, OSError, IndexError) as error:  # IndexError: PyAV meets a stream that begins late
            self.faults.append(f"{self.path}: its {self.kind} breaks off at {_seconds(self.end_ns)}: {_reason(error)}")
        if self._time.jumps:
            log.warning(
                "time stamps jump; read as continuous", file=str(self.path), stream=self.kind, jumps=self._time.jumps
            )
        if self._undecodable:
            self.faults.append(f"{self.path}: {self._undecodable} packets of its {self.kind} could not be decoded")
        if not decoded:
            self.faults.append(f"{self.path}: its {self.kind} stream holds nothing that can be decoded")

    def _packets(self) -> Iterator[Any]:
        """The stream's packets, on one clock."""
        if self._clock is None:
            yield from self._container.demux(self._stream)
            return
        for packet in self._container.demux():
            self._clock.correct(packet)
            if packet.stream.index == self._stream.index:
                yield packet

    def _decoded(self, packet: Any) -> list[Any]:
        """The frames of one packet.

        None, and counted, if the decoder refuses it.
        """
        try:
            return list(packet.decode())
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            self._count_undecodable()
            return []

    def _count_undecodable(self) -> None:
        self._undecodable += 1
        self._telemetry.dead_letter(DeadLetterReason.UNDECODABLE)


class _SoundChunk:
    """Collects the frames of one chunk, converted to s16le."""

    def __init__(self, at_ns: int, first: av.audio.frame.AudioFrame) -> None:
        self._at_ns = at_ns
        self._form = _form(first)
        self._rate_hz = first.sample_rate
        self._channels = len(first.layout.channels)
        self._samples = 0
        self._pcm: list[bytes] = []
        self._to_s16 = av.audio.resampler.AudioResampler("s16", first.layout, first.sample_rate)

    @property
    def duration_ns(self) -> int:
        return self._samples * NS_PER_S // self._rate_hz

    def continues(self, at_ns: int, frame: av.audio.frame.AudioFrame) -> bool:
        return abs(at_ns - self._at_ns - self.duration_ns) <= _SOUND_BREAK_NS and _form(frame) == self._form

    def add(self, frame: av.audio.frame.AudioFrame) -> None:
        self._samples += frame.samples
        frame.pts = None  # the chunk keeps the time; the resampler would refuse stamps that jump
        self._pcm += [part.to_ndarray().astype("<i2", copy=False).tobytes() for part in self._to_s16.resample(frame)]

    def sound(self) -> MediaSound:
        return MediaSound(self._at_ns, self._rate_hz, self._channels, b"".join(self._pcm))


def open_stream(path: Path, kind: str, telemetry: Telemetry) -> StreamReader | None:
    """A reader of the stream of `kind`; None without one.

    SourceError if the file or its codec cannot be read.
    """
    container = _open_container(path)
    stream = chosen_track(path, container, kind)
    if stream is not None and stream.codec_context is not None:
        return StreamReader(path, container, stream, telemetry)
    container.close()
    if stream is None:
        return None
    raise SourceError(f"{path}: there is no decoder for its {kind}")


def _open_container(path: Path) -> av.container.InputContainer:
    """SourceError naming the file and the reason."""
    try:
        with open_file(path) as file:
            if not file.read(1):
                raise SourceError(f"{path}: is empty")
        return av.open(str(path), metadata_errors="replace")
    except FileError as problem:
        raise SourceError(f"{path}: {problem}") from problem
    except OSError as error:  # the base of PyAV's errors too, but not of all
        raise SourceError(f"{path}: {_reason(error)}") from error
    except av.error.FFmpegError as error:
        raise SourceError(f"{path}: not a readable media file, or cut short: {_reason(error)}") from error


def cut_short(readers: list[StreamReader]) -> str | None:
    """Fault of a file shorter than its header says; None if whole.

    Its streams must have been read to their ends.
    """
    path = readers[0].path
    if (missing_bytes := _riff_bytes_missing(path)) > 0:
        return f"{path}: cut short: {missing_bytes} bytes are missing at its end"
    declared_ns = max((reader.declared_end_ns or 0 for reader in readers), default=0)
    end_ns = max((reader.end_ns for reader in readers), default=0)
    if declared_ns - end_ns < _CUT_SHORT_NS:
        return None
    return f"{path}: cut short: ends at {_seconds(end_ns)} of {_seconds(declared_ns)}"


def _presentation_time(container: av.container.InputContainer) -> PresentationTime:
    """Counts from the container's start where that is arbitrary.

    Else from zero: what starts late stays late.
    """
    start_ns = (container.start_time or 0) * NS_PER_S // av.time_base
    primed = container.format.name == "mp3"  # counts the samples before the first that is heard
    arbitrary = primed or _is_discontinuous(container) or not 0 <= start_ns <= _MAX_START_NS
    return PresentationTime(start_ns if arbitrary else 0, _LEAP_NS)


def _is_discontinuous(container: av.container.InputContainer) -> bool:
    return bool(container.format.flags & _TS_DISCONT)


def _riff_bytes_missing(path: Path) -> int:
    with path.open("rb") as file:
        return riff.missing_bytes(file.read(riff.HEADER_BYTES), path.stat().st_size)


def _form(frame: av.audio.frame.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _seconds(ns: int) -> str:
    return f"{ns / NS_PER_S:.2f} s"
