"""Back-off before a broken source is opened again.

Capped exponential back-off with full jitter (Marc Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog,
2015): the n-th wait is uniform in [0, min(cap, first * 2^n)), so that a hundred cameras behind one switch that comes
back are not all opened in the same instant.
"""

import random


class Backoff:
    """Capped exponential back-off with full jitter. Owned by one thread; no lock."""

    def __init__(self, first_s: float = 1.0, cap_s: float = 30.0, rng: random.Random | None = None) -> None:
        if not 0 < first_s <= cap_s:
            raise ValueError(f"back-off needs 0 < first_s <= cap_s, got {first_s} and {cap_s}")
        self._first_s = first_s
        self._cap_s = cap_s
        self._rng = rng or random.Random()
        self._ceiling_s = first_s

    def next_s(self) -> float:
        """Seconds to wait now; the next wait may be twice as long."""
        wait_s = self._rng.uniform(0.0, self._ceiling_s)
        self._ceiling_s = min(self._cap_s, self._ceiling_s * 2)
        return wait_s

    def reset(self) -> None:
        """Makes the next wait short: the source works again."""
        self._ceiling_s = self._first_s
