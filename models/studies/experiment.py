"""An experiment of the fusion study: a corpus, folds and views.

A view is the inputs that are left out when a trained fusion is measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.fusion.corpora import MOSI_LABELS, RAVDESS_LABELS
from models.data.fusion.rows import FusionRows
from models.data.fusion.studied_corpora import read_studied
from models.studies.held_out_folds import (
    FoldLogits,
    FoldTraining,
    calibrated,
    fold_figures,
    over_folds,
    run_folds,
)
from models.studies.train import STUDY_TRAININGS, StudyTraining

Table = dict[str, Any]
OnProgress = Callable[[str], None]

_MOSI_FOLDS = 5


_RAVDESS_VIEWS = {"all": (), "without video": ("video",), "without audio": ("audio",)}


_MOSI_VIEWS = {
    "all": (),
    "unseen": ("text", "video"),
    "words alone": ("text", "video", "audio"),
    "released features alone": ("words",),
    "without text": ("words", "text"),
    "without audio": ("audio",),
    "without video": ("video",),
}


@dataclass(frozen=True, slots=True, eq=False)
class Experiment:
    """Rows of one corpus, and how fusions are trained on them."""

    corpus: str
    rows: FusionRows
    fold: NDArray[np.int64]
    labels: tuple[str, ...]
    views: Mapping[str, tuple[str, ...]]
    workers: int
    on_progress: OnProgress

    @property
    def study(self) -> StudyTraining:
        """How the corpus's fusions are trained."""
        return STUDY_TRAININGS[self.corpus]

    @property
    def truth(self) -> NDArray[np.int64]:
        """The labels, (rows,) int64."""
        return self.rows.targets[self.study.task].astype(np.int64)

    def run(
        self,
        strategies: Sequence[str],
        study: StudyTraining | None = None,
        rows: FusionRows | None = None,
        seeds: Sequence[int] = (0,),
        pairs: bool = False,
    ) -> list[FoldLogits]:
        """Runs every strategy and seed on every fold, or pair of folds.

        Returns results in that order. pairs: whether pairs of folds are held out.
        """
        return self.run_all(self.trainings(strategies, study, rows, seeds, pairs))

    def trainings(
        self,
        strategies: Sequence[str],
        study: StudyTraining | None = None,
        rows: FusionRows | None = None,
        seeds: Sequence[int] = (0,),
        pairs: bool = False,
    ) -> list[FoldTraining]:
        """The trainings that `run` runs."""
        folds = [int(fold) for fold in np.unique(self.fold)]
        singles = [(fold,) for fold in folds]
        held_out: Sequence[tuple[int, ...]] = (
            [(one, other) for one in folds for other in folds if one < other] if pairs else singles
        )
        shown = rows or self.rows
        views = {name: out for name, out in self.views.items() if set(out) < set(shown.inputs)}
        return [
            FoldTraining(study or self.study, strategy, shown, self.fold, out, seed, views)
            for strategy in strategies
            for seed in seeds
            for out in held_out
        ]

    def run_all(self, trainings: Sequence[FoldTraining]) -> list[FoldLogits]:
        """Runs trainings in their order, with progress."""
        return run_folds(trainings, self.workers, lambda what: self.on_progress(f"{self.corpus}: {what}"))

    def figures(self, results: Sequence[FoldLogits], view: str = "all") -> Table:
        """Figures of results that hold out every row once."""
        probabilities = calibrated(over_folds(results, view), self.truth, self.fold)
        return fold_figures(probabilities, self.truth, self.fold, self.labels)

    def accuracy(self, results: Sequence[FoldLogits], view: str = "all") -> float:
        """Accuracy over all rows, of results that hold out every row once."""
        return float((over_folds(results, view).argmax(axis=1) == self.truth).mean())


def ravdess_experiment(data: Path, workers: int, on_progress: OnProgress) -> Experiment:
    """Raises ValueError or OSError, naming the file."""
    corpus = read_studied("ravdess-au", data, "all")
    return Experiment("ravdess-au", corpus.rows, corpus.fold, RAVDESS_LABELS, _RAVDESS_VIEWS, workers, on_progress)


def mosi_experiment(data: Path, workers: int, on_progress: OnProgress) -> Experiment:
    """Raises ValueError or OSError, naming the file."""
    corpus = read_studied("mosi", data, "train")
    return Experiment("mosi", corpus.rows, corpus.fold % _MOSI_FOLDS, MOSI_LABELS, _MOSI_VIEWS, workers, on_progress)
