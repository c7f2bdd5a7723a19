"""Fits the risk rule: a calibrated curve per head, and levels.

A level's threshold is the score that a given share of ordinary lines reaches, because what a level costs is the false
alarms that a person has to look at. Some ordinary lines are distressed or abusive in earnest, so the true rate of false
alarms is a little lower. Lines written for this project, where there are any, move three of them: `low` is low enough
for most lines of self-harm, `medium` high enough for nearly all harmless lines, which were written to frighten, and
`high` no higher than few of these reach.
Left out: negative affect, which by itself only ever raises the lowest.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.calibration.scaling import PlattScaling
from models.labels import RISKS
from models.risk import LEVELS, RiskRule
from models.training.calibration.scaling import equal_label_weight, fit_platt
from models.training.part.held_out import RiskLogits
from models.training.text.batches import PROJECT_LINES

ORDINARY_SHARE = {"low": 0.05, "medium": 0.02, "high": 0.005, "critical": 0.001}
"""Share of ordinary lines that reach each level."""

SELF_HARM_SHARE = 0.85
"""Share of the project's lines of self-harm that reach `low`, at least."""

HARMLESS_SHARE = 0.04
"""Share of the project's harmless lines that reach `medium`, at most."""

HIGH_HARMLESS_SHARE = 0.005
"""Share of the project's harmless lines that reach `high`, at least: what is higher misses plain words of crisis."""

_STEP = 0.001  # between levels, at least


def fit_risk(heads: Mapping[str, RiskLogits], ordinary: Mapping[str, torch.Tensor]) -> tuple[RiskRule, dict[str, Any]]:
    """Fits a curve for each risk, and the levels of all.

    heads: by risk, held-out logits. Curves are of lines written for this project alone, where there are any, since
    these are as short as chat and labelled in every risk. ordinary: by corpus of everyday lines, logits (rows, 3).
    Returns the rule, and how often ordinary lines and lines labelled with a risk reach each level.
    """
    curves = {name: _curve(head) for name, head in heads.items()}
    scores = {corpus: _scores(curves, logits) for corpus, logits in ordinary.items()}
    pooled = np.concatenate(list(scores.values()))
    limits = {level: float(np.quantile(pooled, 1 - share)) for level, share in ORDINARY_SHARE.items()}
    levels = _rising(_moved(limits, heads, curves))
    with_risk = {
        f"{name} of {corpus}": _reached(
            curves[name].probability(torch.from_numpy(head.logits[head.labels & (head.corpus == corpus)])).numpy(),
            levels,
        )
        for name, head in heads.items()
        for corpus in np.unique(head.corpus)
    }
    alarms = {corpus: _reached(score, levels) for corpus, score in scores.items()}
    figures = {"every_ordinary_line": _reached(pooled, levels), "ordinary_lines": alarms}
    return RiskRule(heads=curves, levels=levels), {**figures, "lines_with_the_risk": with_risk}


def _curve(head: RiskLogits) -> PlattScaling:
    of_project = head.corpus == PROJECT_LINES
    rows = of_project if of_project.any() else np.ones_like(of_project)
    labels, corpus = head.labels[rows], head.corpus[rows]
    return fit_platt(head.logits[rows], labels, equal_label_weight(labels.astype(np.int64), corpus))


def _moved(
    limits: Mapping[str, float], heads: Mapping[str, RiskLogits], curves: Mapping[str, PlattScaling]
) -> dict[str, float]:
    """The limits as lines written for this project move them."""
    own = {name: head.corpus == PROJECT_LINES for name, head in heads.items()}
    if not own["self_harm"].any():
        return dict(limits)
    logits = np.stack([heads[name].logits[own[name]] for name in RISKS], axis=1)
    labels = np.stack([heads[name].labels[own[name]] for name in RISKS], axis=1)
    score = _scores(curves, torch.from_numpy(logits))
    most_low = float(np.quantile(score[labels[:, RISKS.index("self_harm")]], 1 - SELF_HARM_SHARE))
    harmless = score[~labels.any(axis=1)]
    least_medium, most_high = (
        float(np.quantile(harmless, 1 - share)) for share in (HARMLESS_SHARE, HIGH_HARMLESS_SHARE)
    )
    return {
        "low": min(limits["low"], most_low),
        "medium": max(limits["medium"], least_medium),
        "high": min(limits["high"], most_high),
        "critical": limits["critical"],
    }


def _rising(quantiles: Mapping[str, float]) -> dict[str, float]:
    """Rounded thresholds, each above the last.

    Few lines make quantiles that are alike.
    """
    levels: dict[str, float] = {}
    for level, value in quantiles.items():
        levels[level] = round(max([value, *(least + _STEP for least in levels.values())]), 3)
    return levels


def _scores(curves: Mapping[str, PlattScaling], logits: torch.Tensor) -> NDArray[np.float64]:
    columns = [curves[name].probability(logits[:, i]) for i, name in enumerate(RISKS)]
    greatest: NDArray[np.float64] = torch.stack(columns).amax(dim=0).numpy()
    return greatest


def _reached(score: NDArray[np.float64], levels: Mapping[str, float]) -> dict[str, float]:
    shares = {level.value: round(float((score >= levels[level]).mean()), 4) for level in LEVELS}
    return {"lines": len(score), **shares}
