"""Risk of one window: from its words, and a little from affect.

The rule. The words decide: each category is the text head's calibrated probability, for risk and no risk equally likely
beforehand, and the score is the greatest of them. So distress alone can raise the highest level, which is needed: short
lines of wanting to die are often read as distress and not as self-harm. Without words every category is 0. Negative
affect (sadness, anger and fear together, in the fused emotion) beyond `affect_from` can lift the score by itself, but
only to `low`: a face or a voice alone justifies no more. Levels are thresholds on the score, chosen by
how often ordinary chat reaches them (the model card gives the figures). Left out: the windows before
(`models.risk_course`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.calibration.scaling import PlattScaling
from models.labels import EMOTIONS, MODALITIES, RISKS
from models.scores import RiskCode, RiskLevel, RiskReason, RiskScores

LEVELS = tuple(level for level in RiskLevel if level is not RiskLevel.NONE)
"""Rising levels above `none`."""

_WORDS = {
    "distress": RiskCode.WORDS_OF_DISTRESS,
    "self_harm": RiskCode.WORDS_OF_SELF_HARM,
    "abuse": RiskCode.WORDS_OF_ABUSE,
}

NEGATIVE = [EMOTIONS.index(emotion) for emotion in ("sadness", "anger", "fear")]
"""Places of the emotions that are negative affect, among EMOTIONS."""


class RiskRule(BaseModel):
    """The rule that scores risk. Immutable.

    heads: calibration by risk. levels: the least score of each. affect_from: see the module's docstring.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    heads: Mapping[str, PlattScaling]
    levels: Mapping[str, float]
    affect_from: float = Field(default=0.7, gt=0, lt=1)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if set(self.heads) != set(RISKS):
            raise ValueError(f"heads must be given for {', '.join(RISKS)}")
        if set(self.levels) != set(LEVELS):
            raise ValueError(f"levels must be given for {', '.join(LEVELS)} (are for {', '.join(self.levels)})")
        thresholds = [self.levels[level] for level in LEVELS]
        if not 0 < thresholds[0] < thresholds[1] < thresholds[2] < thresholds[3] <= 1:
            raise ValueError(f"levels must rise from {LEVELS[0]} to {LEVELS[-1]} within 0..1 (are {thresholds})")
        return self

    def categories(self, logits: torch.Tensor) -> torch.Tensor:
        """Probabilities of the risks: (windows, 3) float64.

        logits: (windows, 3) of the text heads.
        """
        columns = [self.heads[name].probability(logits[:, i]) for i, name in enumerate(RISKS)]
        return torch.stack(columns, dim=-1)

    def level(self, score: float) -> RiskLevel:
        """The highest level that the score reaches."""
        return next((level for level in reversed(LEVELS) if score >= self.levels[level]), RiskLevel.NONE)

    def beyond_mixed(self, negative: float) -> float:
        """How far negative affect is beyond a mixed mood.

        negative: its share. It rises in proportion from 0 at `affect_from` to 1.
        """
        return max(0.0, negative - self.affect_from) / (1 - self.affect_from)

    def score(self, words: torch.Tensor, posterior: torch.Tensor, evidence: torch.Tensor) -> list[RiskScores]:
        """Scores windows that have evidence.

        words: (windows, 3) from `categories`, 0 without text. posterior: (windows, 7). evidence: (3, windows, 7).
        """
        negative = posterior[:, NEGATIVE].sum(dim=-1).tolist()
        leading = evidence[:, :, NEGATIVE].sum(dim=-1).argmax(dim=0).tolist()
        rows = zip(words.tolist(), negative, leading, strict=True)
        return [self._score(row, share, MODALITIES[modality]) for row, share, modality in rows]

    def raised(self, risk: RiskScores, reasons: Iterable[RiskReason], score: float = 0.0) -> RiskScores:
        """The risk with more reasons, and the level that follows.

        The score becomes at least `score` and that of each reason; reasons below `low` are not named. The categories
        stay.
        """
        every = [*risk.reasons, *reasons]
        highest = max(*(reason.weight for reason in every), risk.score, score)  # what is no number stays visible
        named = (reason for reason in every if reason.weight >= self.levels[RiskLevel.LOW])
        ranked = tuple(sorted(named, key=lambda reason: -reason.weight))
        return replace(risk, score=highest, level=self.level(highest), reasons=ranked)

    def _score(self, words: list[float], negative: float, leading: str) -> RiskScores:
        of_words = [RiskReason(_WORDS[name], "text", p) for name, p in zip(RISKS, words, strict=True)]
        of_affect = RiskReason(RiskCode.NEGATIVE_AFFECT, leading, self._affect(negative))
        unraised = RiskScores(0.0, RiskLevel.NONE, dict(zip(RISKS, words, strict=True)))
        return self.raised(unraised, [*of_words, of_affect])

    def _affect(self, negative: float) -> float:
        """Score of negative affect, at most the middle of `low`."""
        ceiling = (self.levels[RiskLevel.LOW] + self.levels[RiskLevel.MEDIUM]) / 2
        return ceiling * self.beyond_mixed(negative)
