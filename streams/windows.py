"""Sliding windows as arithmetic: which windows contain a time, and which are complete at a watermark.

Window k is the half-open span [k * step, k * step + size) of event time, counted from the Unix epoch, so that every
instance of the service and every replay cuts the same windows. There is no state here.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Windows of `size_ns` that start every `step_ns`; both above 0, the step at most the size (so that none is
    missed).
    """

    size_ns: int
    step_ns: int

    def __post_init__(self) -> None:
        if not 0 < self.step_ns <= self.size_ns:
            raise ValueError(f"windows need 0 < step <= size (step {self.step_ns} ns, size {self.size_ns} ns)")

    def start_ns(self, index: int) -> int:
        """Where window `index` starts."""
        return index * self.step_ns

    def end_ns(self, index: int) -> int:
        """Where window `index` ends; not part of it."""
        return index * self.step_ns + self.size_ns

    def first_containing(self, start_ns: int, end_ns: int) -> int:
        """The first window that contains the span; see `last_containing`."""
        last_needed_ns = max(end_ns, start_ns + 1)  # an instant needs the nanosecond it lies in
        return -((self.size_ns - last_needed_ns) // self.step_ns)  # rounds up

    def last_containing(self, start_ns: int) -> int:
        """The last window that contains a span from `start_ns`.

        A span longer than a window is in none: then the last is before the first.
        """
        return start_ns // self.step_ns

    def contains_every(self, segment_ns: int) -> bool:
        """Whether each span [n * segment, (n + 1) * segment) lies whole in some window, so that no sound is missed."""
        furthest_ns = self.step_ns - math.gcd(self.step_ns, segment_ns)  # from a window's start to a segment's
        return 0 < segment_ns <= self.size_ns - furthest_ns

    def first_open(self, watermark_ns: int) -> int:
        """The first window that is not complete at the watermark: its end is after it."""
        return (watermark_ns - self.size_ns) // self.step_ns + 1
