"""A point in monotonic time that all steps of a shutdown share.

Problem: steps with a timeout of their own each add up to a total that nobody chose. Rule: whoever begins the shutdown
makes one deadline and hands it through; a step asks what remains, and leaves a part of it to the steps after it. Left
out: cancelling. A step that does not look at its deadline is not ended by it.
"""

from dataclasses import dataclass
from typing import Self

from streams.clock import NS_PER_S, Clock


@dataclass(frozen=True, slots=True)
class Deadline:
    """Immutable, so that any thread may read it."""

    clock: Clock
    at_ns: int
    """Monotonic time of `clock`."""

    @classmethod
    def after(cls, clock: Clock, timeout_s: float) -> Self:
        """The deadline `timeout_s` from now."""
        return cls(clock, clock.monotonic_ns() + round(timeout_s * NS_PER_S))

    @property
    def remaining_s(self) -> float:
        """Seconds until then; 0 once it has passed."""
        return max(0.0, (self.at_ns - self.clock.monotonic_ns()) / NS_PER_S)

    @property
    def has_passed(self) -> bool:
        """Whether nothing remains."""
        return self.clock.monotonic_ns() >= self.at_ns

    def earlier_by(self, reserve_s: float) -> Self:
        """The deadline less a reserve for the steps after."""
        return type(self)(self.clock, self.at_ns - round(reserve_s * NS_PER_S))

    def at_most(self, timeout_s: float) -> Self:
        """The earlier of the deadline and `timeout_s` from now."""
        return type(self)(self.clock, min(self.at_ns, self.after(self.clock, timeout_s).at_ns))
