"""Decodes records into events, and checks untrusted bytes.

A record that cannot be used raises `BadRecord`, with a bounded reason for the counters and a sentence for the log. It
costs only itself. Of a picture only the header is read here; its pixels are decoded when a window uses them
(`streams.decoding.pictures`).
"""

import codecs
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from streams.clock import NS_PER_S
from streams.decoding import pictures, sound
from streams.decoding.content_type import ContentType, parse_content_type
from streams.events import Event, Line, Picture, Signal, Sound
from streams.formats import rfc3339
from streams.formats.strict_json import loads_object
from streams.participants import NAME_RULE, NamedBy, Participant, is_participant_name
from streams.reasons import BadRecord, DeadLetterReason
from streams.records import RAW_PICTURE, Modality, Record

LINE_KEYS = ("text", "author", "participant", "lang")
"""Keys that are read of a line as JSON; `text` is needed."""

_EARLIEST_NS = 631_152_000 * NS_PER_S  # 1990-01-01: before it, a clock was never set
_SHOWN_CHARACTERS = 64  # of a content type in messages; the longest that is read has 16
_CHARSETS = re.compile(
    r"utf-8|ascii|utf-16(-[lb]e)?|utf-32(-[lb]e)?|iso8859-\d+|cp125\d|koi8-[ru]|gbk?|gb2312|gb18030|big5"
    r"|shift_jis|euc_jp|euc_kr"
)
"""Python's names of the character sets that texts are read in: those that turn bytes into text and nothing else."""
_MOST_SIGNAL_BYTES = 4096
_SIGNAL_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LATEST_NS = 4_102_444_800 * NS_PER_S  # 2100-01-01


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of size, age and lead.

    The last two hold for live records, against the time of receipt; records of a log may be as old as they like, but
    not ahead of when they were written.
    """

    max_pixels: int = 33_000_000
    max_record_bytes: int = 16 * 2**20
    max_line_bytes: int = 65_536
    max_samples: int = 2**23
    """Of one sound, over its channels: as many as the largest record of PCM holds."""
    max_sound_s: float = 60.0
    """A sound is decoded at once, while everything else waits: a minute takes some 0.1 s."""
    max_age_ns: int = 24 * 3600 * NS_PER_S
    max_ahead_ns: int = 60 * NS_PER_S


def decode_record(record: Record, limits: Limits, live: bool) -> Event:
    """Decodes one record into an event; BadRecord if it cannot be used.

    live: the event time is also compared with the time of receipt.
    """
    _check_time(record, limits, live)
    if isinstance(record.payload, bytes) and len(record.payload) > limits.max_record_bytes:
        raise BadRecord(
            DeadLetterReason.OVERSIZED, f"{len(record.payload)} bytes; the limit is {limits.max_record_bytes}"
        )
    payload = _PAYLOADS[record.modality](record, limits)
    participant, channels = _named(record, payload)
    return Event(
        session=record.session,
        modality=record.modality,
        time_ns=record.event_time_ns,
        duration_ns=len(payload.samples) * NS_PER_S // payload.rate_hz if isinstance(payload, Sound) else 0,
        received_ns=record.received_ns,
        payload=payload,
        sequence=record.sequence,
        record=None if record.coordinates is None else record,
        participant=participant,
        channels=channels,
    )


def _named(record: Record, payload: Picture | Sound | Line | Signal) -> tuple[Participant | None, tuple[str, ...]]:
    """Whose it is, or else the names of its channels.

    What names the record goes first. One name of a channel is that of a whole sound, and the role of whoever is named.
    """
    named, channels = record.participant, record.channels
    if isinstance(payload, Line):
        name = payload.participant if payload.participant is not None else payload.author
        return (named or (None if name is None else Participant(name, NamedBy.AUTHOR))), ()
    if isinstance(payload, Signal) and payload.participant is not None:
        return (named or Participant(payload.participant, NamedBy.AUTHOR)), ()
    if not isinstance(payload, Sound) or not channels:
        return named, ()
    if len(channels) == 1:
        named = named or Participant(channels[0], NamedBy.CHANNEL)
        return replace(named, role=named.role or channels[0]), ()
    return named, () if named is not None else channels


def _check_time(record: Record, limits: Limits, live: bool) -> None:
    time_ns = record.event_time_ns
    if not _EARLIEST_NS <= time_ns < _LATEST_NS:
        shown = rfc3339.format_ns(time_ns) if 0 <= time_ns < 2**63 else f"{time_ns} ns"
        raise BadRecord(DeadLetterReason.ABSURD_TIME, f"event time {shown} is before 1990 or after 2099")
    if record.coordinates is not None:
        ahead_ns, since = time_ns - record.coordinates.written_ns, "written"
        absurd = ahead_ns > limits.max_ahead_ns
    else:
        ahead_ns, since = time_ns - record.received_ns, "received"
        absurd = live and not -limits.max_age_ns <= ahead_ns <= limits.max_ahead_ns
    if absurd:
        raise BadRecord(
            DeadLetterReason.ABSURD_TIME,
            f"event time {rfc3339.format_ns(time_ns)} is {ahead_ns / NS_PER_S:+.1f} s from the time it was {since}",
        )


def _picture(record: Record, limits: Limits) -> Picture:
    stated = parse_content_type(record.content_type)
    if stated.kind != RAW_PICTURE and stated.kind not in pictures.FORMATS:
        raise _of_other_kind("video", stated, ", ".join(pictures.FORMATS))
    stated.allow()
    pictures.check_header(stated.kind, record.payload, limits.max_pixels)
    return Picture(stated.kind, record.payload)


def _sound(record: Record, limits: Limits) -> Sound:
    stated = parse_content_type(record.content_type)
    if stated.kind != "audio/l16" and stated.kind not in sound.CONTAINERS:
        raise _of_other_kind("audio", stated, "L16, wav, flac and ogg")
    return sound.decode_sound(record.content_type, record.payload, limits.max_samples, limits.max_sound_s)


def _line(record: Record, limits: Limits) -> Line:
    if len(record.payload) > limits.max_line_bytes:
        raise BadRecord(
            DeadLetterReason.OVERSIZED, f"a line of {len(record.payload)} bytes; the limit is {limits.max_line_bytes}"
        )
    stated = parse_content_type(record.content_type)
    if stated.kind not in ("text/plain", "application/json"):
        raise _of_other_kind("text", stated, "text/plain and application/json")
    stated.allow("charset")
    text = _text(record.payload, stated.parameters.get("charset", "utf-8"))
    line = Line(text) if stated.kind == "text/plain" else _json_line(text)
    if not line.text.strip():
        raise BadRecord(DeadLetterReason.EMPTY, "a line without text")
    return line


def _signal(record: Record, limits: Limits) -> Signal:
    if len(record.payload) > _MOST_SIGNAL_BYTES:
        sentence = f"a signal of {len(record.payload)} bytes; the limit is {_MOST_SIGNAL_BYTES}"
        raise BadRecord(DeadLetterReason.OVERSIZED, sentence)
    stated = parse_content_type(record.content_type)
    if stated.kind != "application/json":
        raise _of_other_kind("signals", stated, "application/json")
    stated.allow("charset")
    try:
        fields = loads_object(_text(record.payload, stated.parameters.get("charset", "utf-8")))
    except ValueError as error:
        raise BadRecord(DeadLetterReason.INVALID_JSON, str(error)) from error
    name = fields.get("name")
    if not isinstance(name, str) or not _SIGNAL_NAME.fullmatch(name):
        sentence = "name: 1 to 64 letters, digits, '.', '_' and '-' are needed"
        raise BadRecord(DeadLetterReason.INVALID_SIGNAL, sentence)
    whose = fields.get("participant")
    if whose is not None and not (isinstance(whose, str) and is_participant_name(whose)):
        raise BadRecord(DeadLetterReason.INVALID_PARTICIPANT, f"participant: {NAME_RULE}")
    return Signal(name, _share(fields, "value"), _share(fields, "confidence", 1.0), whose)


def _share(fields: dict[str, Any], key: str, default: float | None = None) -> float:
    value = fields.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BadRecord(DeadLetterReason.INVALID_SIGNAL, f"{key}: a number from 0 to 1 is needed")
    return float(value)


def _of_other_kind(modality: str, stated: ContentType, read: str) -> BadRecord:
    if stated.kind.startswith("application/cloudevents"):
        return BadRecord(
            DeadLetterReason.CONTENT_TYPE, "CloudEvents in structured or batched mode are not read, only in binary mode"
        )
    return BadRecord(
        DeadLetterReason.CONTENT_TYPE, f"{modality} of type {stated.kind[:_SHOWN_CHARACTERS]!r}; {read} are read"
    )


def _text(payload: bytes, charset: str) -> str:
    """Decodes text in its stated character set, without a byte order mark."""
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):  # ValueError: a name with a null character
        name = ""
    if not _CHARSETS.fullmatch(name):
        raise BadRecord(
            DeadLetterReason.CONTENT_TYPE, f"parameter charset={charset[:_SHOWN_CHARACTERS]!r} is not supported"
        )
    try:
        return payload.decode(name).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        reason = DeadLetterReason.INVALID_UTF8 if name == "utf-8" else DeadLetterReason.INVALID_TEXT
        hint = "; it begins as UTF-16 does (charset=utf-16)" if payload[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise BadRecord(reason, f"byte {error.start} of {len(payload)} is not {name.upper()}{hint}") from error


def _json_line(text: str) -> Line:
    try:
        value = loads_object(text)
    except ValueError as error:
        raise BadRecord(DeadLetterReason.INVALID_JSON, str(error)) from error
    fields = {key: value[key] for key in LINE_KEYS if value.get(key) is not None}
    wrong = [key for key, field in fields.items() if not isinstance(field, str)]
    if wrong or "text" not in fields:
        raise BadRecord(DeadLetterReason.INVALID_JSON, f"{', '.join(wrong) or 'text'}: a string is needed")
    written = {key: _well_formed(field) for key, field in fields.items()}
    check_names(written)
    return Line(written["text"], written.get("author"), written.get("lang"), participant=written.get("participant"))


def check_names(line: Mapping[str, str]) -> None:
    """BadRecord if the author or participant of a line cannot name anybody."""
    for key in ("author", "participant"):
        if key in line and not is_participant_name(line[key]):
            raise BadRecord(DeadLetterReason.INVALID_PARTICIPANT, f"{key}: {NAME_RULE}")


def _well_formed(text: str) -> str:
    """Text that can be written as UTF-8.

    JSON may spell half a character (`\\ud83d`), which becomes U+FFFD.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_PAYLOADS: dict[Modality, Callable[[Record, Limits], Picture | Sound | Line | Signal]] = {
    Modality.VIDEO: _picture,
    Modality.AUDIO: _sound,
    Modality.TEXT: _line,
    Modality.SIGNALS: _signal,
}
