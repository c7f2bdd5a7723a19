"""Puts the packets of a transport stream on one clock.

The clock of a file may jump; all its streams are corrected together.
Problem: a broadcast is cut together, a recorder stops and starts, a counter of 33 bits wraps. A stream corrected by
itself takes a gap of its own (a microphone that was off) for such a jump, and is early from then on.
Rule: packets are read in the order they lie in the file, whichever stream they are of. What follows no more than
`leap_ns` after the newest of all, and not before its own stream's last, is on the clock that its stream had; else on
the newest clock, if it fits there; else a clock begins, where all that came before has ended. So readers of different
streams of one file compute the same, and streams that jump together stay together.

    video  0 1 2 3 4 5 6 7 8 | 0 1 2 ...        a clock begins at 9 for both
    sound  0 1 2     5 6 7 8 |   1 2 ...        the gap from 3 to 4 stays a gap
"""

from dataclasses import dataclass
from typing import Any

from streams.clock import NS_PER_S


@dataclass(slots=True)
class _Stream:
    shift_ns: int
    last_ns: int
    end_ns: int


class FileClock:
    """Common clock of a file's streams. Owned by one reader; no lock."""

    def __init__(self, leap_ns: int) -> None:
        self._leap_ns = leap_ns
        self._streams: dict[int, _Stream] = {}
        self._shift_ns = 0
        self._newest_ns: int | None = None

    def correct(self, packet: Any) -> None:
        """Corrects a packet's time stamps in place.

        It must be called with every packet of sound and picture.
        """
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None or not packet.time_base or packet.stream.type not in ("audio", "video"):
            return
        tick_ns = packet.time_base * NS_PER_S
        shift_ns = self.shift_ns(packet.stream.index, round(stamp * tick_ns), round((packet.duration or 0) * tick_ns))
        shift = round(shift_ns / tick_ns)
        packet.dts = None if packet.dts is None else packet.dts + shift
        packet.pts = None if packet.pts is None else packet.pts + shift

    def shift_ns(self, stream: int, stamp_ns: int, duration_ns: int) -> int:
        """Correction to add to the time stamp of a packet."""
        known = self._streams.get(stream)
        shifts = (self._shift_ns,) if known is None else (known.shift_ns, self._shift_ns)
        shift_ns = next((shift_ns for shift_ns in shifts if self._fits(known, stamp_ns + shift_ns)), None)
        if shift_ns is None:
            shift_ns = self._shift_ns = max(each.end_ns for each in self._streams.values()) - stamp_ns
        time_ns = stamp_ns + shift_ns
        self._streams[stream] = _Stream(shift_ns, time_ns, time_ns + duration_ns)
        self._newest_ns = time_ns if self._newest_ns is None else max(self._newest_ns, time_ns)
        return shift_ns

    def _fits(self, stream: _Stream | None, time_ns: int) -> bool:
        if self._newest_ns is None:
            return True
        earliest_ns = self._newest_ns - self._leap_ns if stream is None else stream.last_ns
        return earliest_ns <= time_ns <= self._newest_ns + self._leap_ns
