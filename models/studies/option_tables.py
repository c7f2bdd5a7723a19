"""Measures missing-modality options and training options on a studied corpus.

Problem: an option that does what it says on made data may be worth nothing, or do harm, where it is used. Rule: a
strategy is trained plainly (zeros stand in, no modality is dropped, nothing is added to the loss) and then with one
thing changed, on the same folds and from the same seed, and asked with everything there and with parts left out. What
learns only from rows that lack something (a token, a generator without a discriminator) is trained with modality
dropout, and modulation, which reads what each modality says by itself, with unimodal heads; the rows of dropout and of
heads by themselves tell what of the gain is theirs. Weights were set before anything was measured and nothing is
chosen, so no fold decides about itself. Left out: filling in steps by interpolation, as a row of these corpora is one
step; tuned weights.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from models.fusion.strategies.interface import Missing
from models.studies.experiment import Experiment, Table
from models.studies.held_out_folds import FoldLogits, mean_and_sd
from models.studies.train import StudyTraining

OPTION_STRATEGIES = ("concatenation", "gated")
"""One that reads stand-ins as they are, and one that can leave a modality out."""

PLAIN = "plain"

_FIGURES = ("accuracy", "ece")
_ALIGNMENT = 0.1
_GENERATOR = 0.5
_MODULATION = 0.5


def options(study: StudyTraining) -> dict[str, StudyTraining]:
    """Trainings by what is changed in the plain one.

    The plain one comes first; the last is the study's own.
    """
    plain = replace(study.training, modality_dropout=0.0, alone=0.0)

    def changed(missing: Missing = "mask", **training: Any) -> StudyTraining:
        return replace(study, missing=missing, training=replace(plain, **training))

    dropped: dict[str, Any] = {"modality_dropout": study.training.modality_dropout}
    heads: dict[str, Any] = {"alone": study.training.alone}
    return {
        PLAIN: changed(),
        "mean": changed("mean"),
        "generated, discriminator": changed("generated", generator=_GENERATOR),
        "dropout": changed(**dropped),
        "dropout, token": changed("token", **dropped),
        "dropout, mean": changed("mean", **dropped),
        "dropout, generated": changed("generated", **dropped),
        "dropout, generated, discriminator": changed("generated", generator=_GENERATOR, **dropped),
        "unimodal heads": changed(**heads),
        "unimodal heads, OGM": changed(modulation=_MODULATION, **heads),
        "unimodal heads, OGM-GE": changed(modulation=_MODULATION, modulation_noise=True, **heads),
        "alignment": changed(alignment=_ALIGNMENT),
        "contrastive pretraining": changed(contrast_epochs=study.training.epochs),
        "dropout, unimodal heads": changed(**dropped, **heads),
    }


def every_option(experiment: Experiment, strategies: Sequence[str] = OPTION_STRATEGIES) -> Table:
    """Figures by strategy, option and view, with the gain of each.

    `gain` is the accuracy less that of the plain training, fold by fold.
    """
    trainings = options(experiment.study)
    of_each = [experiment.trainings([strategy], training) for strategy in strategies for training in trainings.values()]
    results = iter(experiment.run_all([training for trainings in of_each for training in trainings]))
    folds = len(np.unique(experiment.fold))
    return {
        strategy: _against_plain({name: _views(experiment, list(islice(results, folds))) for name in trainings})
        for strategy in strategies
    }


def _views(experiment: Experiment, results: Sequence[FoldLogits]) -> Table:
    return {view: experiment.figures(results, view) for view in experiment.views}


def _against_plain(rows: Table) -> Table:
    """rows: by option and view."""
    return {
        name: {view: {**figures, "gain": _gain(figures, rows[PLAIN][view])} for view, figures in views.items()}
        for name, views in rows.items()
    }


def _gain(figures: Table, plain: Table) -> Table:
    return mean_and_sd(np.subtract(figures["accuracy"]["values"], plain["accuracy"]["values"]))
