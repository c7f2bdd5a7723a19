"""Smoothing over time, so that labels do not flicker between windows.

The rule is the forward filter of a hidden Markov model (Rabiner, 1989, "A tutorial on hidden Markov models"). Between
two windows an emotion stays with probability exp(-step / dwell), and otherwise becomes any of the others alike; each
window's posterior, being for labels equally likely beforehand, is its likelihood. Windows that overlap share evidence,
so the log-evidence of one of the past counts step / size of its weight: every second of the past counts once. The
newest counts whole, so that a clear change shows at once. The probability of staying is the hysteresis, and the label
is the most probable one, so label and probabilities always agree.

There is no state: the filter starts from labels equally likely at the oldest window of the lookback. The same windows
always give the same answer. What the newest window shares with those before it counts up to twice; were it left out of
the past, older answers would return. Left out: smoothing backwards, which would need later windows, and transition
probabilities that differ between emotions.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

DWELL_S = 10.0
"""How long an emotion lasts on average: a few sentences, and the mean span of a mood in the sample session. Half of it
lets more flicker through there; twice of it brings old answers back.
"""


@dataclass(frozen=True, slots=True)
class Smoothing:
    """The smoothing filter of one window size and step.

    All three are above 0, and the step is at most the size.
    """

    size_s: float
    step_s: float
    dwell_s: float = DWELL_S

    def __post_init__(self) -> None:
        if not (0 < self.step_s <= self.size_s and self.dwell_s > 0):
            raise ValueError(
                f"smoothing needs 0 < step <= size, and a dwell above 0 (step {self.step_s} s, size {self.size_s} s, "
                f"dwell {self.dwell_s} s)"
            )

    @property
    def stay(self) -> float:
        """The probability that an emotion is the same one step later."""
        return math.exp(-self.step_s / self.dwell_s)

    def smooth(self, log_posterior: Tensor, evident: Tensor) -> Tensor:
        """Smooths the newest window of each row: (rows, 7) float64.

        log_posterior: (rows, windows, 7), one window a step, the oldest first; finite where `evident`, (rows, windows)
        bool. A window without evidence neither confirms nor denies, but time passes. With one window that is its own
        posterior. A row's answer does not depend on the other rows.
        """
        *_, windows, labels = log_posterior.shape
        log_likelihood = torch.where(evident[..., None], log_posterior.double(), 0.0)
        if windows == 1:
            return log_likelihood[:, 0].softmax(dim=-1)
        weight = torch.full((windows,), self.step_s / self.size_s, dtype=torch.float64, device=log_posterior.device)
        weight[-1] = 1.0
        evidence, now = weight[:, None] * log_likelihood, torch.full_like(log_likelihood[:, 0], 1 / labels)
        for at in range(windows):
            before = self.stay * now + (1 - self.stay) / (labels - 1) * (1 - now)
            now = torch.softmax(before.log() + evidence[:, at], dim=-1)
        return now
