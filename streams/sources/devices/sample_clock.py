"""Event times of sound from a device, by counting samples.

Problem: blocks arrive late and in bursts, so arrival times are not evenly spaced; but a sample count alone drifts from
the wall clock, and is wrong by the whole gap once samples are lost.
Rule: the first block anchors the count to the wall clock (its last sample was taken when it arrived). After a gap, or
when blocks lag the count for a second, or by a second, the count is anchored again. A block that is ahead of the wall
clock is refused: the device floods, or repeats itself. But if the wall clock itself was set back, the count follows.
"""

from streams.clock import NS_PER_MS, NS_PER_S

_TOLERANCE_NS = 100 * NS_PER_MS  # above the scheduling delays of a busy machine, below what lip reading notices
_LAGS_BEFORE_ANCHORING = 10  # blocks of a tenth of a second: a burst after a pause has caught up by then
_LAG_AT_ONCE_NS = NS_PER_S
_SET_BACK_NS = 2 * NS_PER_S  # blocks that run ahead are refused long before they are this far ahead


class SampleClock:
    """Sample count anchored to wall time. Owned by one thread; no lock."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._anchor_ns: int | None = None
        self._samples = 0
        self._lags = 0

    @property
    def end_ns(self) -> int:
        """End of the last accepted block.

        No block begins before it, unless the wall clock was set back.
        """
        return 0 if self._anchor_ns is None else self._anchor_ns + self._samples * NS_PER_S // self._rate_hz

    def accept(self, samples: int, arrived_ns: int, *, after_gap: bool) -> int | None:
        """Event time of a block's first sample; None if refused."""
        duration_ns = samples * NS_PER_S // self._rate_hz
        lag_ns = arrived_ns - self.end_ns - duration_ns
        if lag_ns < -_SET_BACK_NS:
            self._anchor_ns = None
        elif lag_ns < -_TOLERANCE_NS:
            return None
        self._lags = self._lags + 1 if lag_ns > _TOLERANCE_NS else 0
        if after_gap or self._anchor_ns is None or self._lags >= _LAGS_BEFORE_ANCHORING or lag_ns > _LAG_AT_ONCE_NS:
            self._anchor_ns = max(self.end_ns, arrived_ns - duration_ns)
            self._samples = 0
            self._lags = 0
        first_ns = self.end_ns
        self._samples += samples
        return first_ns
