"""Makes text records of chat lines, and reports progress of silent sessions.

All chat sources share it.

A line that begins with `{` is a JSON message `{"text", "author"?, "participant"?, "lang"?, "session"?}`,
anything else is plain text.
It is handed on as it was received. Whether it is valid UTF-8 and JSON is checked where records are decoded, which
keeps its bytes as a dead letter. Here only what has no payload to keep is refused: lines that are too long
(`oversized`) and invalid session names (`invalid_session`).
A message happens when it is received. For a session that had a message lately, progress is reported while it is
silent, so that it never holds a window open. Afterwards it counts as idle, and its memory is freed.
"""

import codecs
import json
from collections.abc import Iterator

import structlog

from streams.clock import NS_PER_S, Clock
from streams.reasons import DeadLetterReason
from streams.records import EndOfSession, Modality, Progress, Record, is_session_name
from streams.telemetry import Telemetry

log = structlog.get_logger(__name__)

TICK_S = 0.2
"""Period of progress reports, and how soon a chat source notices that it is to stop."""

_RECENT_NS = 10 * NS_PER_S  # longer than usual windows stay open; then the session is idle


class ChatReceiver:
    """Receives lines of chat. Owned by one source's thread; no lock."""

    def __init__(self, session: str, clock: Clock, telemetry: Telemetry) -> None:
        self._session = session
        self._clock = clock
        self._telemetry = telemetry
        self._last_ns: dict[str, int] = {}

    def line(self, line: bytes | None) -> Record | None:
        """The record of a line; None, and counted, if it is refused.

        line: None stands for one that was too long.
        """
        if line is None:
            self._refuse(DeadLetterReason.OVERSIZED)
            return None
        line = line.removeprefix(codecs.BOM_UTF8)
        is_json = line.lstrip().startswith(b"{")
        session = _named_session(line) if is_json else None
        return self.message(session or self._session, line, "application/json" if is_json else "text/plain")

    def message(self, session: str, payload: bytes, content_type: str) -> Record | None:
        """Record of a message; None, and counted, if its session is invalid."""
        if not is_session_name(session):
            self._refuse(DeadLetterReason.INVALID_SESSION)
            return None
        now_ns = self._clock.wall_ns()
        self._last_ns.pop(session, None)  # the dict is in order of the last message
        self._last_ns[session] = self._clock.monotonic_ns()
        return Record(session, Modality.TEXT, content_type, payload, now_ns, now_ns)

    def progress(self) -> Iterator[Progress]:
        """Progress until now of all sessions with a recent message."""
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        for session in [name for name, last_ns in self._last_ns.items() if now_ns - last_ns > _RECENT_NS]:
            del self._last_ns[session]
        for session in self._last_ns:
            yield Progress(session, Modality.TEXT, wall_ns)

    def session_ends(self) -> Iterator[EndOfSession]:
        """The end of every session with a recent message."""
        yield from map(EndOfSession, self._last_ns)

    def _refuse(self, reason: DeadLetterReason) -> None:
        self._telemetry.dead_letter(reason)
        log.warning("chat message left out", reason=reason)


class Ticker:
    """Timer of progress reports, one each `TICK_S`. Owned by one source's thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_ns = 0

    def is_due(self) -> bool:
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + round(TICK_S * NS_PER_S)
        return True


def _named_session(line: bytes) -> str | None:
    """The `session` of a JSON message.

    None if it names none, or is no JSON, which is judged when it is decoded.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    session = value.get("session") if isinstance(value, dict) else None
    return None if session is None else str(session)
