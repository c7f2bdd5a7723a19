"""Chat of a stored session: `NAME.chat.jsonl`.

A line is `{"at_s": 1.5, "text": "...", "author"?, "participant"?, "lang"?}`. Any other line is a dead letter, reported
with file and line, and the rest goes on. Lines may end as on any system, and a byte order mark before the first is
skipped.
"""

import codecs
import json
from dataclasses import dataclass
from pathlib import Path

import structlog

from streams.clock import NS_PER_S
from streams.decoding.decode import LINE_KEYS, check_names
from streams.formats.lines import LINE_LIMIT_BYTES, numbered_lines
from streams.formats.strict_json import loads_object
from streams.formats.text_files import FileError, check_utf_16, open_file
from streams.reasons import BadRecord, DeadLetterReason
from streams.sources.base import SourceError
from streams.telemetry import Telemetry

log = structlog.get_logger(__name__)

_LATEST_S = 366 * 86_400  # a session longer than a year is a mistaken unit


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """One chat line.

    `at_ns` counts from the start of the session; `payload` is the JSON of a text record.
    """

    at_ns: int
    payload: bytes


def read_script(path: Path, telemetry: Telemetry) -> list[ScriptLine]:
    """The lines of a file in time order; SourceError if unreadable.

    Lines of the same time keep their order.
    """
    lines: list[ScriptLine] = []
    first = b""
    try:
        with open_file(path) as file:
            for number, line in numbered_lines(file):
                if number == 1 and line is not None:
                    first = line
                    line = line.removeprefix(codecs.BOM_UTF8)
                if line is not None and not line.strip():
                    continue
                try:
                    lines.append(_script_line(line))
                except BadRecord as error:
                    telemetry.dead_letter(error.reason)
                    log.warning("chat line left out", at=f"{path}:{number}", reason=error.reason, error=str(error))
        if not lines:
            check_utf_16(first)
    except FileError as problem:
        raise SourceError(f"{path}: {problem}") from problem
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error
    lines.sort(key=lambda line: line.at_ns)
    return lines


def _script_line(line: bytes | None) -> ScriptLine:
    if line is None:
        raise BadRecord(DeadLetterReason.OVERSIZED, f"a line of more than {LINE_LIMIT_BYTES} bytes")
    try:
        value = loads_object(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BadRecord(DeadLetterReason.INVALID_UTF8, f"byte {error.start} of the line is not UTF-8") from None
    except ValueError as error:
        raise BadRecord(DeadLetterReason.INVALID_JSON, str(error)) from None
    message = {key: value[key] for key in LINE_KEYS if value.get(key) is not None}
    if "text" not in message or not all(isinstance(part, str) for part in message.values()):
        strings = f"text (needed) and {', '.join(LINE_KEYS[1:])} must be strings"
        raise BadRecord(DeadLetterReason.INVALID_CHAT_LINE, strings)
    check_names(message)
    return ScriptLine(_at_ns(value.get("at_s")), json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))


def _at_ns(at_s: object) -> int:
    if isinstance(at_s, bool) or not isinstance(at_s, int | float):
        raise BadRecord(DeadLetterReason.INVALID_CHAT_LINE, "at_s must be a number of seconds from the start")
    if not 0 <= at_s <= _LATEST_S:  # refuses NaN too
        raise BadRecord(DeadLetterReason.INVALID_CHAT_LINE, f"at_s must be 0 to {_LATEST_S} seconds (is {at_s})")
    return round(at_s * NS_PER_S)
