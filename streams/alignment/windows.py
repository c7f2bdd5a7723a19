"""Computes which sliding windows and sound segments contain a time.

Window k is the half-open span [k * step, k * step + size) of event time, counted from the Unix epoch, so that every
instance of the service and every replay cuts the same windows. There is no state here.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Windows of `size_ns` that start every `step_ns`.

    Both are above 0, and the step is at most the size, so that no event is missed; else ValueError.
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

    def holds(self, start_ns: int, end_ns: int) -> bool:
        """Whether some window contains the span whole."""
        return self.first_containing(start_ns, end_ns) <= self.last_containing(start_ns)

    def covers_every(self, segments: "SegmentGrid") -> bool:
        """Whether the windows miss no sound.

        All of it must lie in a segment that lies whole in some window. A segment is held where it starts at most `size
        - length` after a window does. Those that start later after every window are missed; sound is missed where that
        befalls each of the segments it lies in.
        """
        spare_ns, unit_ns = self.size_ns - segments.length_ns, math.gcd(self.step_ns, segments.hop_ns)
        if spare_ns < 0:
            return False
        first_ns = (spare_ns // unit_ns + 1) * unit_ns
        missed_ns = self.step_ns - first_ns  # starts after a window's in [first, first + missed) are too late
        late_ns = [first_ns + hops * segments.hop_ns for hops in range(segments.length_ns // segments.hop_ns)]
        return not any(all((one - other) % self.step_ns < missed_ns for other in late_ns) for one in late_ns)

    def first_open(self, watermark_ns: int) -> int:
        """The first window that ends after the watermark."""
        return (watermark_ns - self.size_ns) // self.step_ns + 1


@dataclass(frozen=True, slots=True)
class SegmentGrid:
    """Segments of sound of `length_ns` that start every `hop_ns`.

    Counted from the Unix epoch. Both are above 0, and the length is whole hops, so that every instant lies in as many
    segments; else ValueError.
    """

    length_ns: int
    hop_ns: int

    def __post_init__(self) -> None:
        if not 0 < self.hop_ns <= self.length_ns or self.length_ns % self.hop_ns:
            raise ValueError(f"segments are whole hops long (length {self.length_ns} ns, hop {self.hop_ns} ns)")

    def start_ns(self, index: int) -> int:
        """Where segment `index` starts."""
        return index * self.hop_ns

    def end_ns(self, index: int) -> int:
        """Where segment `index` ends; not part of it."""
        return index * self.hop_ns + self.length_ns

    def overlapping(self, start_ns: int, end_ns: int) -> range:
        """The segments that a span overlaps; an instant lasts a nanosecond."""
        first = (start_ns - self.length_ns) // self.hop_ns + 1
        return range(first, max(start_ns, end_ns - 1) // self.hop_ns + 1)

    def count_within(self, start_ns: int, end_ns: int) -> int:
        """How many segments lie whole in a span."""
        first = -(-start_ns // self.hop_ns)
        return max(0, (end_ns - self.length_ns) // self.hop_ns - first + 1)
