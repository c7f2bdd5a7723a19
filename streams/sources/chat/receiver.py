"""What all ways of receiving chat share: a line becomes a text record, and a silent room is said to be silent.

A line that begins with `{` is a JSON message `{"text", "author"?, "lang"?, "session"?}`, anything else is plain text.
It is handed on as it was received; whether it is valid UTF-8 and JSON is judged where records are decoded, which sets
it aside with its bytes. Here only what has no payload to keep is refused: lines that are too long (`oversized`) and
session names that cannot be one (`invalid_session`).
A message happens when it is received. While a session was heard lately, its silence is told (`Progress`), so that it
never holds a window; afterwards it counts as idle and its memory is given back.
"""

import codecs
import json
from collections.abc import Iterator

import structlog

from streams.clock import NS_PER_S, Clock
from streams.reasons import DeadLetterReason
from streams.records import EndOfSession, Modality, Progress, Record
from streams.telemetry import Telemetry

log = structlog.get_logger(__name__)

TICK_S = 0.2
"""How often silence is told, and how soon a chat source notices that it is to stop."""

_HEARD_LATELY_NS = 10 * NS_PER_S  # longer than usual windows stay open; then the session is idle
_SESSION_LIMIT_CHARS = 256


class ChatReceiver:
    """Makes records of lines, and remembers which sessions spoke lately. Owned by one source's thread; no lock."""

    def __init__(self, session: str, clock: Clock, telemetry: Telemetry) -> None:
        self._session = session
        self._clock = clock
        self._telemetry = telemetry
        self._heard_ns: dict[str, int] = {}

    def received(self, line: bytes | None) -> Record | None:
        """The record of a line (None: one that was too long); None, and counted, if there is to be none."""
        if line is None:
            self._refuse(DeadLetterReason.OVERSIZED)
            return None
        line = line.removeprefix(codecs.BOM_UTF8)
        is_json = line.lstrip().startswith(b"{")
        session = _named_session(line) if is_json else None
        return self.message(session or self._session, line, "application/json" if is_json else "text/plain")

    def message(self, session: str, payload: bytes, content_type: str) -> Record | None:
        """The record of one message; None, and counted, if its session cannot be one."""
        if not is_session_name(session):
            self._refuse(DeadLetterReason.INVALID_SESSION)
            return None
        now_ns = self._clock.wall_ns()
        self._heard_ns.pop(session, None)  # the dict is in order of last heard
        self._heard_ns[session] = self._clock.monotonic_ns()
        return Record(session, Modality.TEXT, content_type, payload, now_ns, now_ns)

    def silence(self) -> Iterator[Progress]:
        """That the sessions heard lately have said all they said until now."""
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        for session in [name for name, heard_ns in self._heard_ns.items() if now_ns - heard_ns > _HEARD_LATELY_NS]:
            del self._heard_ns[session]
        for session in self._heard_ns:
            yield Progress(session, Modality.TEXT, wall_ns)

    def ends(self) -> Iterator[EndOfSession]:
        """The end of every session heard lately."""
        yield from map(EndOfSession, self._heard_ns)

    def _refuse(self, reason: DeadLetterReason) -> None:
        self._telemetry.dead_letter(reason)
        log.warning("chat message left out", reason=reason)


class Ticker:
    """Says when it is time to tell of silence: every `TICK_S`, however much is said. Owned by one source's thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_ns = 0

    def is_due(self) -> bool:
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + round(TICK_S * NS_PER_S)
        return True


def is_session_name(session: str) -> bool:
    """1 to 256 printable characters."""
    return 0 < len(session) <= _SESSION_LIMIT_CHARS and session.isprintable()


def _named_session(line: bytes) -> str | None:
    """The `session` of a JSON message; None if it names none, or is no JSON (which is judged when it is decoded)."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    session = value.get("session") if isinstance(value, dict) else None
    return None if session is None else str(session)
