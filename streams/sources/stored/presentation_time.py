"""Presentation times of one media stream, from its time stamps.

Containers promise rising time stamps and do not keep it: streams are cut together, counters wrap, stamps are missing.
Rule: a stamp that goes back, or leaps further ahead than the container can mean, does not move the session: that frame
follows on from the one before, and later stamps are read from there. One missing stamp follows on likewise.
"""

from fractions import Fraction

from streams.clock import NS_PER_S


class PresentationTime:
    """Clock of one stream's presentation, in ns since its start.

    Owned by one stream's reader; no lock.
    """

    def __init__(self, origin_ns: int, leap_ns: int) -> None:
        self._shift_ns = -origin_ns
        self._leap_ns = leap_ns
        self._last_ns = 0
        self.end_ns = 0
        """Where the last frame ends: what a frame without a stamp begins at."""
        self.jumps = 0
        """Stamps that were not trusted."""

    def at(self, pts: int | None, time_base: Fraction | None, duration_ns: int) -> int:
        """Time of a frame with this stamp; it never goes back."""
        time_ns = self.end_ns
        if pts is not None and time_base is not None:
            stamp_ns = pts * time_base.numerator * NS_PER_S // time_base.denominator
            time_ns = stamp_ns + self._shift_ns
            if not self._last_ns <= time_ns <= self.end_ns + self._leap_ns:
                self.jumps += 1
                time_ns = self.end_ns
                self._shift_ns = time_ns - stamp_ns
        self._last_ns = time_ns
        self.end_ns = time_ns + duration_ns
        return time_ns
