"""Smoothing over time, with hysteresis: labels do not flicker between windows.

The rule is the forward filter of a hidden Markov model (Rabiner, 1989, "A tutorial on hidden Markov models"). Between
two windows an emotion stays with probability exp(-step / dwell), and otherwise becomes any of the others alike; each
window's posterior, being for labels equally likely beforehand, is its likelihood. Windows that overlap share evidence,
so the log-evidence of one of the past counts step / size of its weight: every second of the past counts once. The
newest counts whole, and is joined to what was believed when it began: the windows that overlap with it hold the same.

Hysteresis: the label that was named last has higher odds in the next window, by `KEEP_ODDS` where that window named
it, by the square root of that where it abstained. So it is easier to go on than to begin, for labels and for
abstention. What lasts is followed: where the label is not the best of any window for longer than a window lasts, the
filter begins again there. So a change shows at once where it is plain, and else a window later at most. All this is
in the probabilities: the label is the most probable one.

There is no state: the filter starts from labels equally likely at the oldest window of the lookback. The same windows
always give the same answer. Left out: smoothing backwards, which would need later windows, and transition probabilities
that differ between emotions.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

DWELL_S = 30.0
"""How long an emotion lasts on average. In the sample session twice of it hides a change that is shorter than a window
and plain.
"""

KEEP_ODDS = math.exp(3.0)
"""By what the odds of the last label are raised. With more, a label that was misread is kept for too long."""


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

    def smooth(self, log_posterior: Tensor, evident: Tensor, least_confidence: float = 0.0) -> Tensor:
        """Smooths the newest window of each row: (rows, 7) float64.

        log_posterior: (rows, windows, 7), one window a step, the oldest first; finite where `evident`, (rows, windows)
        bool. least_confidence: a window whose best label is less probable names none. A window without evidence neither
        confirms nor denies, but time passes. With one window that is its own posterior. A row's answer does not depend
        on the other rows.
        """
        own, seen = log_posterior.double().numpy(force=True), evident.numpy(force=True)
        rows, windows, labels = own.shape
        own = np.where(seen[..., None], own - own.max(axis=-1, keepdims=True), 0.0)
        likelihood, shared = np.exp(own), np.exp(own * (self.step_s / self.size_s))
        best, lasting = own.argmax(axis=-1), math.floor(self.size_s / self.step_s) + 1
        leaves = (1 - self.stay) / (labels - 1)
        flat = np.full((rows, labels), 1 / labels)
        answer = now = flat
        apart = math.ceil(self.size_s / self.step_s)  # steps to the last window that does not overlap
        believed = deque([flat] * apart, maxlen=apart)
        remains = (self.stay - leaves) ** apart
        named, odds, row = np.full(rows, -1), np.ones(rows), np.arange(rows)
        denied = np.zeros(rows, np.int64)  # windows since the label was the best of one
        for at in range(windows):
            before = leaves + (self.stay - leaves) * now
            denied = np.where(seen[:, at], np.where(best[:, at] == named, 0, denied + 1), denied)
            if (anew := (named >= 0) & (denied >= lasting)).any():
                before[anew], odds[anew] = 1 / labels, 1.0
                believed = deque([np.where(anew[:, None], flat, each) for each in believed], maxlen=apart)
            answer = ((1 - remains) / labels + remains * believed[0]) * likelihood[:, at]
            answer[row, named] *= odds
            answer /= answer.sum(axis=-1, keepdims=True)
            now = before * shared[:, at]
            now /= now.sum(axis=-1, keepdims=True)
            believed.append(now)
            sure = answer.max(axis=-1) >= least_confidence
            last, named = named, np.where(seen[:, at] & sure, answer.argmax(axis=-1), named)
            denied = np.where(anew | (named != last), 0, denied)
            kept = np.where(sure, KEEP_ODDS, math.sqrt(KEEP_ODDS))
            odds = np.where(seen[:, at] & (named >= 0), kept, odds)
        return torch.from_numpy(answer)
