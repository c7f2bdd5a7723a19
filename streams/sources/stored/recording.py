"""Format of a recording: the records of one session in a folder.

`replay` reads it. The operator opts in: nothing else writes media.

A recording is three files: `session.json` (schema, session, start), `records.jsonl` (one line per record: modality,
event time, content type, sequence, whose it is, and where its payload lies) and `payloads.bin`. A payload is written
before the line that names it, so a crash leaves at most one torn line at the end, which readers skip and the next
writer cuts off.
Raw pictures are stored as JPEG. Coordinates and received times are not kept: they belong to how records arrived.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import quote

import av.video.frame
import cv2
import numpy as np

from streams.decoding import frames
from streams.formats import rfc3339
from streams.formats.text_files import read_text
from streams.participants import (
    CHANNEL_RULE,
    NAME_RULE,
    NamedBy,
    Participant,
    are_channel_names,
    is_participant_name,
)
from streams.records import RAW_PICTURE, Modality, Record, is_session_name

SCHEMA = "affectd.recording/1"
_LONGEST_NAME = 120  # file systems take 255 bytes; this leaves room for the folder to be copied under a longer name
SESSION_FILE, RECORDS_FILE, PAYLOADS_FILE = "session.json", "records.jsonl", "payloads.bin"


class RecordingError(ValueError):
    """A folder is not a recording, or of another session."""


@dataclass(frozen=True, slots=True)
class RecordingHeader:
    """`session.json`: whose records these are, and the event time of the first."""

    session: str
    start_ns: int


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One line of `records.jsonl`.

    The payload is the bytes [offset, offset + length) of `payloads.bin`.
    """

    modality: Modality
    event_time_ns: int
    content_type: str
    sequence: int | None
    offset: int
    length: int
    participant: Participant | None = None
    channels: tuple[str, ...] = ()


def folder_name(session: str) -> str:
    """A safe file name for any session name."""
    name = quote(session, safe=" @+=,", encoding="utf-8", errors="replace")
    if len(name) > _LONGEST_NAME:
        digest = hashlib.sha256(session.encode("utf-8", "replace")).hexdigest()
        name = f"{name[: _LONGEST_NAME - 17]}~{digest[:16]}"
    return "%2E" + name[1:] if name.startswith(".") else name


class RecordingWriter:
    """Writer of one session's recording. Owned by one thread; no lock."""

    def __init__(self, folder: Path, session: str, start_ns: int) -> None:
        """Begins or continues the recording in `folder`.

        Raises RecordingError if it holds something else.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._session = session
        if (folder / SESSION_FILE).exists():
            held = read_header(folder)
            if held.session != session:
                raise RecordingError(f"{folder}: holds session {held.session!r}, not {session!r}")
            _cut_torn_line(folder / RECORDS_FILE)
        else:
            header = {"schema": SCHEMA, "session": session, "start": rfc3339.format_ns(start_ns)}
            _write_whole(folder / SESSION_FILE, json.dumps(header, ensure_ascii=False) + "\n")
        self._payloads: BinaryIO = (folder / PAYLOADS_FILE).open("ab")
        self._lines: BinaryIO = (folder / RECORDS_FILE).open("ab")

    def append(self, record: Record) -> None:
        """Writes one record; OSError if the disk does not take it."""
        if record.session != self._session:
            raise RecordingError(f"a record of session {record.session!r} in the recording of {self._session!r}")
        content_type, payload = _as_stored(record)
        offset = self._payloads.tell()
        self._payloads.write(payload)
        self._payloads.flush()
        line: dict[str, object] = {
            "modality": record.modality,
            "event_time": rfc3339.format_ns(record.event_time_ns),
            "content_type": content_type,
            "sequence": record.sequence,
            "offset": offset,
            "length": len(payload),
        }
        if record.participant is not None:
            line["participant"] = record.participant.id
        if record.channels:
            line["channels"] = list(record.channels)
        self._lines.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._lines.flush()

    def close(self) -> None:
        self._payloads.close()
        self._lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_recording(path: Path) -> bool:
    """Whether `path` is a folder with a `session.json`."""
    return (path / SESSION_FILE).is_file()


def read_header(folder: Path) -> RecordingHeader:
    """Reads `session.json`; RecordingError names the folder."""
    try:
        value = json.loads(read_text(folder / SESSION_FILE))
        if value["schema"] != SCHEMA:
            raise RecordingError(f"{folder}: its schema is {value['schema']!r}, this version reads {SCHEMA!r}")
        if not is_session_name(session := _string(value["session"])):
            raise RecordingError(f"{folder / SESSION_FILE}: a session's name has 1 to 256 printable characters")
        return RecordingHeader(session, rfc3339.parse(_string(value["start"])))
    except RecordingError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RecordingError(f"{folder / SESSION_FILE}: not the header of a recording: {error!r}") from error


def read_line(line: bytes, payloads_bytes: int) -> StoredRecord:
    """Parses a line of `records.jsonl`; ValueError says what is wrong.

    payloads_bytes: the size of `payloads.bin`.
    """
    try:
        value = json.loads(line)
        offset, length, sequence = value["offset"], value["length"], value["sequence"]
        if not (
            isinstance(offset, int) and isinstance(length, int) and 0 <= offset <= offset + length <= payloads_bytes
        ):
            raise ValueError(f"its payload [{offset}, +{length}) is not in {PAYLOADS_FILE} ({payloads_bytes} bytes)")
        if sequence is not None and not isinstance(sequence, int):
            raise ValueError(f"its sequence is no whole number: {sequence!r}")
        event_time_ns = rfc3339.parse(_string(value["event_time"]))
        content_type = _string(value["content_type"])
        return StoredRecord(
            Modality(value["modality"]),
            event_time_ns,
            content_type,
            sequence,
            offset,
            length,
            _participant(value),
            _channels(value),
        )
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not the line of a record: {error!r}") from error


def _participant(value: dict[str, object]) -> Participant | None:
    name = value.get("participant")
    if name is None:
        return None
    if not is_participant_name(_string(name)):
        raise ValueError(f"participant: {NAME_RULE}")
    return Participant(_string(name), NamedBy.HEADER)


def _channels(value: dict[str, object]) -> tuple[str, ...]:
    channels = value.get("channels", [])
    if not isinstance(channels, list):
        raise TypeError(f"not a list: {channels!r}")
    names = tuple(_string(name) for name in channels)
    if names and not are_channel_names(names):
        raise ValueError(f"channels: {CHANNEL_RULE}")
    return names


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a string: {value!r}")
    return value


def _as_stored(record: Record) -> tuple[str, bytes]:
    """Content type and bytes, as they are kept."""
    if record.content_type != RAW_PICTURE:
        return record.content_type, record.payload
    picture = record.payload
    if isinstance(picture, av.video.frame.VideoFrame):
        picture = frames.to_pixels(picture)
    encoded, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(picture))
    if not encoded:
        raise RecordingError(f"a picture of shape {picture.shape} cannot be stored as JPEG")
    return "image/jpeg", jpeg.tobytes()


def _write_whole(path: Path, text: str) -> None:
    """Writes beside `path` and renames.

    So no reader meets half of it.
    """
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _cut_torn_line(path: Path) -> None:
    """Cuts off what a crash left after the last line end."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        keep = end = file.seek(0, 2)
        while keep > 0:
            start = max(0, keep - 4096)
            file.seek(start)
            at = file.read(keep - start).rfind(b"\n")
            if at >= 0:
                keep = start + at + 1
                break
            keep = start
        if keep < end:
            file.truncate(keep)
