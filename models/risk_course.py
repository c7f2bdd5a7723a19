"""Risk over time: what was said adds up, and fades.

The state is a leaky accumulator (Usher and McClelland, 2001) of one-sided evidence (the cumulative sum of Page, 1954,
with the level `low` as its reference). The evidence e of a window is by how many log-odds its worst words, or signals,
pass `low`; words that do not reach it add nothing, and take nothing back:

    state(t) = min(most, exp(-step / decay) * state(t - step) + step / size * e(t))

A line lies in size / step windows, so it counts once. Log-odds of independent lines add up, so what the window itself
says (e) and the state where it begins make the score, as the probability with the log-odds low + state + e; it is at
least what the whole state gives. When nothing more is said, what is left of the state is the score, and fades to 0. So
one line that says it plainly is enough, in its own window; several that each say less come to more; and the score falls
when no more is said. The state is bounded a little above `critical`, so that it falls as soon after many lines of
crisis as after one.

Face and voice do not accumulate: ten sour faces say what one says. Where one of them bears out words that reach a
level, it raises their odds, at most to twice. An agitated voice (anger and fear together) is a reason of its own if it
lasts: it counts by its share of the lookback, and reaches `medium` at most.

There is no state but the windows of the lookback: the same windows always give the same answer. Left out: words that
take others back, because who is in danger often says so.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from models.labels import EMOTIONS
from models.risk import NEGATIVE, RiskRule
from models.scores import RiskCode, RiskLevel, RiskReason, RiskScores, Scores

DECAY_S = 15.0
"""What was said counts for 1 / e after so long: hardly anything is left of it at the end of the usual lookback."""

_BEYOND_CRITICAL = 2.0  # log-odds of the most that is kept: a plain line of crisis leaves about as much
_MOST_ODDS = 2.0  # by which a face or a voice raises those of words: it never makes a level of words that reach none
_LEAST_CERTAIN = 1e-9  # probabilities are at least so far from 0 and 1
_AGITATED = (EMOTIONS.index("anger"), EMOTIONS.index("fear"))
_FELT = (RiskCode.NEGATIVE_AFFECT, RiskCode.AGITATED_VOICE)


@dataclass(frozen=True, slots=True)
class RiskCourse:
    """Scores the risk of a window and those before it.

    rule: as of the model. All lengths are above 0, and the step is at most the size.
    """

    rule: RiskRule
    size_s: float
    step_s: float
    decay_s: float = DECAY_S

    def __post_init__(self) -> None:
        if not (0 < self.step_s <= self.size_s and self.decay_s > 0):
            raise ValueError(
                f"a course needs 0 < step <= size, and a decay above 0 (step {self.step_s} s, size {self.size_s} s, "
                f"decay {self.decay_s} s)"
            )

    def risk(self, row: Sequence[Scores]) -> RiskScores:
        """Scores the newest window.

        row: the windows' own scores, one a step, the oldest first. The categories stay those of the newest window.
        """
        own, rule = row[-1].risk, self.rule
        evidence = [_evidence(scores.risk, rule) for scores in row]
        new, state, apart = evidence[-1], self._state(evidence[:-1]), self._apart(evidence)
        voice = self._agitated_voice(row)
        if not (new or state or voice):
            return own
        low, reasons, scored = _log_odds(rule.levels[RiskLevel.LOW]), list[RiskReason](), 0.0
        if max(state, apart + new) > new:
            earlier = max(state, apart)
            fading = _probability(low + earlier) * min(1.0, earlier)
            reasons.append(RiskReason(RiskCode.RECENT_COURSE, _modality(row, evidence), fading))
        if voice:
            reasons.append(RiskReason(RiskCode.AGITATED_VOICE, "audio", voice))
        if new:
            felt = _borne_out(row[-1], rule) * math.log(_MOST_ODDS)
            scored = _probability(low + max(state, apart + new + felt))
        return rule.raised(own, reasons, scored)

    def _state(self, evidence: Sequence[float]) -> float:
        """The accumulated log-odds, one step after the last window."""
        levels = self.rule.levels
        most = _log_odds(levels[RiskLevel.CRITICAL]) - _log_odds(levels[RiskLevel.LOW]) + _BEYOND_CRITICAL
        state = 0.0
        for value in evidence:
            state = self._kept * min(most, state + self.step_s / self.size_s * value)
        return state

    def _apart(self, evidence: Sequence[float]) -> float:
        """The state of the windows that the newest does not overlap.

        What overlaps may be the same words.
        """
        overlapping = min(len(evidence), math.ceil(self.size_s / self.step_s))
        return self._state(evidence[: len(evidence) - overlapping]) * self._kept ** (overlapping - 1)

    def _agitated_voice(self, row: Sequence[Scores]) -> float:
        """Score of a voice that is agitated for most of the lookback.

        It is between `medium` and `high` where all of it is; newer windows count more.
        """
        agitated = whole = 0.0
        for scores in row:
            heard = scores.modality["audio"].probabilities
            found = 0.0 if heard is None else self.rule.beyond_mixed(sum(heard[i] for i in _AGITATED))
            agitated, whole = self._kept * agitated + found, self._kept * whole + 1
        levels = self.rule.levels
        ceiling = (levels[RiskLevel.MEDIUM] + levels[RiskLevel.HIGH]) / 2
        return ceiling * agitated / whole if len(row) * self.step_s >= self.decay_s else 0.0

    @property
    def _kept(self) -> float:
        return math.exp(-self.step_s / self.decay_s)


def _evidence(risk: RiskScores, rule: RiskRule) -> float:
    """By how many log-odds the worst words or signals pass `low`."""
    weights = [reason.weight for reason in risk.reasons if reason.code not in _FELT]
    return max(0.0, _log_odds(max(weights)) - _log_odds(rule.levels[RiskLevel.LOW])) if weights else 0.0


def _borne_out(scores: Scores, rule: RiskRule) -> float:
    """How far a face or a voice bears out words, 0..1."""
    alone = (scores.modality[name].probabilities for name in ("video", "audio"))
    return max((rule.beyond_mixed(sum(found[i] for i in NEGATIVE)) for found in alone if found is not None), default=0)


def _modality(row: Sequence[Scores], evidence: Sequence[float]) -> str:
    """The modality of the strongest evidence of a row."""
    strongest = row[max(range(len(row)), key=evidence.__getitem__)]
    return next(reason.modality for reason in strongest.risk.reasons if reason.code not in _FELT)


def _log_odds(probability: float) -> float:
    certain = min(max(probability, _LEAST_CERTAIN), 1 - _LEAST_CERTAIN)
    return math.log(certain / (1 - certain))


def _probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
