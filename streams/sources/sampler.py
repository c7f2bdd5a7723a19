"""Samples a stream at a fixed rate, by event time alone.

Time is cut into slots of 1/rate seconds, and the first picture of each slot is taken. So the choice does not depend on
arrival or on what was taken before, and a jittery camera does not drift off its rate.
"""

from streams.clock import NS_PER_S


class Sampler:
    """Sampler with one slot a period. Owned by one thread; no lock."""

    def __init__(self, rate_hz: float | None) -> None:
        if rate_hz is not None and rate_hz <= 0:
            raise ValueError(f"a sampling rate must be above 0 Hz (is {rate_hz})")
        self._slot_ns = None if rate_hz is None else round(NS_PER_S / rate_hz)
        self._last_slot: int | None = None

    def takes(self, time_ns: int) -> bool:
        """Whether this is the first of its slot; always without a rate."""
        if self._slot_ns is None:
            return True
        slot = time_ns // self._slot_ns
        if slot == self._last_slot:
            return False
        self._last_slot = slot
        return True
