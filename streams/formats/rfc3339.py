"""RFC 3339 time stamps to and from integer nanoseconds.

`datetime` holds microseconds only.

Rule: text names an instant with an offset (`Z` or `+hh:mm`) and up to nine fractional digits; we write UTC with `Z` and
as few fractional digits as say it exactly (none, three, six or nine). Left out: leap seconds (`:60` is refused, since
Unix time has no name for them) and years before 1970 or after 2262 (outside unsigned time and 64-bit nanoseconds).
"""

import re
from datetime import UTC, datetime, timedelta

from streams.clock import NS_PER_S

_PATTERN = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_NS = 2**63 - 1
"""The last instant that 64-bit nanoseconds can hold: 2262-04-11T23:47:16.854775807Z."""


def parse(text: str) -> int:
    """Nanoseconds since the Unix epoch, UTC; ValueError says what is wrong."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time such as 2000-01-31T12:00:00.5Z: {text[:64]!r}")
    date, clock, fraction, sign, hours, minutes = match.groups()
    try:
        local = datetime.fromisoformat(f"{date}T{clock}+00:00")
    except ValueError as error:
        raise ValueError(f"no such time: {text!r} ({error})") from None
    ns = (local - _EPOCH) // timedelta(seconds=1) * NS_PER_S + int((fraction or "").ljust(9, "0"))
    if sign is not None:
        if int(hours) > 23 or int(minutes) > 59:
            raise ValueError(f"no such offset from UTC: {text!r}")
        offset_ns = (int(hours) * 60 + int(minutes)) * 60 * NS_PER_S
        ns -= offset_ns if sign == "+" else -offset_ns
    if not 0 <= ns <= MAX_NS:
        raise ValueError(f"outside 1970 to 2262: {text!r}")
    return ns


def format_ns(ns: int) -> str:
    """Formats a time, with fractional digits where needed.

    Example: `2000-01-01T00:00:00.5Z`. ValueError outside 1970 to 2262.
    """
    if not 0 <= ns <= MAX_NS:
        raise ValueError(f"outside 1970 to 2262: {ns} ns since the epoch")
    seconds, fraction = divmod(ns, NS_PER_S)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if fraction == 0:
        return text + "Z"
    digits = f"{fraction:09d}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f"{text}.{digits}Z"
