"""Bounds how many warnings of one kind are written.

Those between are counted, and the count is written now and then. A source of bad records warns of each of them, which
would fill a disk and bury all else. A kind is what a call site says, with its reason; of each kind the first few of an
interval are written, and the others counted. The count is written with the next of its kind, or when the interval is
over and anything else is logged. Neither structlog nor the standard library has this. kafka-python warns in a dozen
ways, ten times a second, of a broker that is away, which the source tells once itself: all it says at one level is one
kind, of which one is written. Left out: entries below a warning, and exceptions with their traces, which are rare.
"""

import logging
from dataclasses import dataclass

_INTERVAL_S = 30.0
_WRITTEN_PER_INTERVAL = 5  # enough to see what they have in common
_CLIENT = "kafka"
_MOST_KINDS = 1000  # other packages may put anything into their messages

Kind = tuple[str, int, str, str]


@dataclass(slots=True)
class _Count:
    """One kind in the interval that began at `since_s`."""

    since_s: float
    last: logging.LogRecord
    written: int = 0
    held_back: int = 0


class FloodGuard(logging.Filter):
    """Filters what a handler writes.

    Owned by the handler, which calls it with no lock: counts may be off by a few.
    """

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__()
        self._handler = handler
        self._counts: dict[Kind, _Count] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written.

        Before it, counts of other kinds whose interval is over are.
        """
        self._write_lapsed(record.created)
        if record.levelno < logging.WARNING or record.exc_info:
            return True
        kind = _kind(record)
        count = self._counts.get(kind)
        if count is None:
            if len(self._counts) >= _MOST_KINDS:
                return True
            count = self._counts[kind] = _Count(record.created, record)
        count.last = record
        if count.written < (1 if kind[0] == _CLIENT else _WRITTEN_PER_INTERVAL):
            count.written += 1
            return True
        count.held_back += 1
        return False

    def _write_lapsed(self, now_s: float) -> None:
        """Writes how many lines were held back in intervals now over."""
        for kind, count in list(self._counts.items()):
            if not 0 <= now_s - count.since_s < _INTERVAL_S:
                self._counts.pop(kind, None)
                if count.held_back:
                    self._handler.emit(_with_count(count.last, count.held_back))


def _kind(record: logging.LogRecord) -> Kind:
    if record.name.partition(".")[0] == _CLIENT:
        return _CLIENT, record.levelno, "", ""
    event = record.msg if isinstance(record.msg, dict) else {"event": record.msg}
    return record.name, record.levelno, str(event.get("event")), str(event.get("reason", ""))


def _with_count(record: logging.LogRecord, count: int) -> logging.LogRecord:
    """The last line of its kind, with the count held back."""
    if isinstance(record.msg, dict):
        record.msg = {**record.msg, "repeated": count}
    else:
        record.msg, record.args = f"{record.getMessage()} (the last of {count} held back)", None
    return record
