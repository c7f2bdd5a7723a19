"""From record to event: the one place where bytes from outside are judged.

A record that cannot be used raises `BadRecord` with a bounded reason for the counters and a sentence for the log; it
costs only itself. Pictures are not decoded here (see `streams.pictures`), only their headers are read.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from streams import pictures, rfc3339, sound
from streams.clock import NS_PER_S
from streams.events import Event, Line, Picture, Sound
from streams.records import RAW_PICTURE, Modality, Record

_EARLIEST_NS = 631_152_000 * NS_PER_S  # 1990-01-01: before it, a clock was never set
_SHOWN_CHARACTERS = 64  # of a content type in messages; the longest that is read has 16
_LATEST_NS = 4_102_444_800 * NS_PER_S  # 2100-01-01


class BadRecord(Exception):
    """A record to be set aside; `reason` is a bounded word for counting."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Limits:
    """What is too large, too old or too far ahead.

    The last two hold for live records, against the time of receipt; records of a log may be as old as they like, but
    not ahead of when they were written.
    """

    max_pixels: int = 33_000_000
    max_record_bytes: int = 16 * 2**20
    max_line_bytes: int = 65_536
    max_samples: int = 2**25
    """Of one sound, over its channels: 128 MiB as float32, half an hour of speech."""
    max_age_ns: int = 24 * 3600 * NS_PER_S
    max_ahead_ns: int = 60 * NS_PER_S


def decode(record: Record, limits: Limits, live: bool) -> Event:
    """The event in `record`, or BadRecord. `live` records are also held against the time they were received at."""
    _check_time(record, limits, live)
    if isinstance(record.payload, bytes) and len(record.payload) > limits.max_record_bytes:
        raise BadRecord("oversized", f"{len(record.payload)} bytes; the limit is {limits.max_record_bytes}")
    try:
        payload = _PAYLOADS[record.modality](record, limits)
    except (pictures.BadPicture, sound.BadSound) as error:
        raise BadRecord(error.reason, str(error)) from error
    return Event(
        session=record.session,
        modality=record.modality,
        time_ns=record.event_time_ns,
        duration_ns=len(payload.samples) * NS_PER_S // payload.rate_hz if isinstance(payload, Sound) else 0,
        received_ns=record.received_ns,
        payload=payload,
        sequence=record.sequence,
        record=None if record.coordinates is None else record,
    )


def _check_time(record: Record, limits: Limits, live: bool) -> None:
    time_ns = record.event_time_ns
    if not _EARLIEST_NS <= time_ns < _LATEST_NS:
        shown = rfc3339.format_ns(time_ns) if 0 <= time_ns < 2**63 else f"{time_ns} ns"
        raise BadRecord("absurd_time", f"event time {shown} is before 1990 or after 2099")
    if record.coordinates is not None:
        ahead_ns, since = time_ns - record.coordinates.written_ns, "written"
        absurd = ahead_ns > limits.max_ahead_ns
    else:
        ahead_ns, since = time_ns - record.received_ns, "received"
        absurd = live and not -limits.max_age_ns <= ahead_ns <= limits.max_ahead_ns
    if absurd:
        raise BadRecord(
            "absurd_time",
            f"event time {rfc3339.format_ns(time_ns)} is {ahead_ns / NS_PER_S:+.1f} s from the time it was {since}",
        )


def _picture(record: Record, limits: Limits) -> Picture:
    kind = _kind(record)
    if kind != RAW_PICTURE and kind not in pictures.FORMATS:
        raise BadRecord("content_type", f"video of type {kind!r}; {', '.join(pictures.FORMATS)} are read")
    pictures.check_header(kind, record.payload, limits.max_pixels)
    return Picture(kind, record.payload)


def _sound(record: Record, limits: Limits) -> Sound:
    kind = _kind(record)
    if kind != "audio/l16" and kind not in sound.CONTAINERS:
        raise BadRecord("content_type", f"audio of type {kind!r}; L16, wav, flac and ogg are read")
    return sound.decode(record.content_type, record.payload, limits.max_samples)


def _line(record: Record, limits: Limits) -> Line:
    if len(record.payload) > limits.max_line_bytes:
        raise BadRecord("oversized", f"a line of {len(record.payload)} bytes; the limit is {limits.max_line_bytes}")
    try:
        text = record.payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRecord("invalid_utf8", f"byte {error.start} of {len(record.payload)} is not UTF-8") from error
    match _kind(record):
        case "text/plain":
            line = Line(text)
        case "application/json":
            line = _json_line(text)
        case kind:
            raise BadRecord("content_type", f"text of type {kind!r}; text/plain and application/json are read")
    if not line.text.strip():
        raise BadRecord("empty", "a line without text")
    return line


def _kind(record: Record) -> str:
    """The content type without its parameters, as it is compared and shown."""
    return record.content_type.partition(";")[0].strip().lower()[:_SHOWN_CHARACTERS]


def _json_line(text: str) -> Line:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRecord("invalid_json", f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadRecord("invalid_json", f"a JSON object with a text is needed, not {type(value).__name__}")
    fields = {key: value[key] for key in ("text", "author", "lang") if value.get(key) is not None}
    wrong = [key for key, field in fields.items() if not isinstance(field, str)]
    if wrong or "text" not in fields:
        raise BadRecord("invalid_json", f"{', '.join(wrong) or 'text'}: a string is needed")
    return Line(**{key: _well_formed(field) for key, field in fields.items()})


def _well_formed(text: str) -> str:
    """Text that can be written as UTF-8: JSON may spell half a character (`\\ud83d`), which becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_PAYLOADS: dict[Modality, Callable[[Record, Limits], Picture | Sound | Line]] = {
    Modality.VIDEO: _picture,
    Modality.AUDIO: _sound,
    Modality.TEXT: _line,
}
