"""The tables of the fusion study: what is trained and asked for each, and the figures that come out.

RAVDESS: five folds of actors, as published. The strategy that is reported for a fold is chosen by the answers to the
other four, each from a training that had seen neither of the two; so no actor that is measured on chooses anything.
CMU-MOSI: five folds of whole videos of the training part, as the test videos are not here. Its released features of
text and picture saw the labels of the rows held out as well, so two figures are given: with these features blurred
until they tell as much as is published for new videos, which flatters a little, since the noise errs independently of
the words; and without them (`unseen`), which takes nothing on trust.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.corpora.speech import read_emodb, read_ravdess
from models.data.fusion.corpora import MOSI_LABELS, RAVDESS_LABELS, by_group, read_ravdess_au
from models.data.fusion.rows import FusionRows
from models.data.fusion.studied_corpora import read_studied
from models.fusion.strategies.registry import STRATEGIES
from models.speech.states import STATES
from models.studies.held_out_folds import (
    Answer,
    Question,
    all_answered,
    calibrated,
    fold_figures,
    mean_and_sd,
    over_folds,
)
from models.studies.train import STUDY_TRAININGS, StudyTraining
from models.training.speech.state_logits import StateLogits

CANDIDATES = ("concatenation", "gated", "product_of_experts")
"""Strategies of which one is chosen for RAVDESS, anew for each fold."""

SEEDS = 5

_MOSI_FOLDS = 5
_FACE_OUTPUTS = len(RAVDESS_LABELS)  # of the input `video`, before the action units
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

Table = dict[str, Any]
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """Rows of one corpus, and how questions about them are answered."""

    corpus: str
    rows: FusionRows
    fold: NDArray[np.int64]
    labels: tuple[str, ...]
    views: Mapping[str, tuple[str, ...]]
    workers: int
    told: Told

    @property
    def study(self) -> StudyTraining:
        """How the corpus's fusions are trained."""
        return STUDY_TRAININGS[self.corpus]

    @property
    def truth(self) -> NDArray[np.int64]:
        """(rows,)"""
        return self.rows.targets[self.study.task].astype(np.int64)

    def ask(
        self,
        strategies: Sequence[str],
        study: StudyTraining | None = None,
        rows: FusionRows | None = None,
        seeds: Sequence[int] = (0,),
        pairs: bool = False,
    ) -> list[Answer]:
        """Every strategy and seed on every fold, or with `pairs` on every two folds; in that order."""
        return self.answered(self.questions(strategies, study, rows, seeds, pairs))

    def questions(
        self,
        strategies: Sequence[str],
        study: StudyTraining | None = None,
        rows: FusionRows | None = None,
        seeds: Sequence[int] = (0,),
        pairs: bool = False,
    ) -> list[Question]:
        """What `ask` asks."""
        folds = [int(fold) for fold in np.unique(self.fold)]
        singles = [(fold,) for fold in folds]
        held_out: Sequence[tuple[int, ...]] = (
            [(one, other) for one in folds for other in folds if one < other] if pairs else singles
        )
        shown = rows or self.rows
        views = {name: out for name, out in self.views.items() if set(out) < set(shown.inputs)}
        return [
            Question(study or self.study, strategy, shown, self.fold, out, seed, views)
            for strategy in strategies
            for seed in seeds
            for out in held_out
        ]

    def answered(self, questions: Sequence[Question]) -> list[Answer]:
        """In the order of the questions, telling how far it is."""
        return all_answered(questions, self.workers, lambda what: self.told(f"{self.corpus}: {what}"))

    def figures(self, answers: Sequence[Answer], view: str = "all") -> Table:
        """Of answers about every row once."""
        probabilities = calibrated(over_folds(answers, view), self.truth, self.fold)
        return fold_figures(probabilities, self.truth, self.fold, self.labels)

    def accuracy(self, answers: Sequence[Answer], view: str = "all") -> float:
        """Over all rows, of answers about every row once."""
        return float((over_folds(answers, view).argmax(axis=1) == self.truth).mean())


def ravdess_bench(data: Path, workers: int, told: Told) -> Bench:
    """Raises ValueError or OSError, naming the file."""
    corpus = read_studied("ravdess-au", data, "all")
    return Bench("ravdess-au", corpus.rows, corpus.fold, RAVDESS_LABELS, _RAVDESS_VIEWS, workers, told)


def mosi_bench(data: Path, workers: int, told: Told) -> Bench:
    """Raises ValueError or OSError, naming the file."""
    corpus = read_studied("mosi", data, "train")
    return Bench("mosi", corpus.rows, corpus.fold % _MOSI_FOLDS, MOSI_LABELS, _MOSI_VIEWS, workers, told)


def every_strategy(bench: Bench) -> tuple[Table, dict[str, list[Answer]]]:
    """A row for each strategy, and each one's answers, fold by fold."""
    folds = len(np.unique(bench.fold))
    asked = bench.ask(list(STRATEGIES))
    answers = {name: asked[i * folds : (i + 1) * folds] for i, name in enumerate(STRATEGIES)}
    return {
        name: {
            **bench.figures(found),
            "views": {view: bench.accuracy(found, view) for view in bench.views},
            "parameters": found[0].parameters,
            "ms_per_row": float(np.median([answer.ms_per_row for answer in found])),
        }
        for name, found in answers.items()
    }, answers


def ravdess_nested(bench: Bench, answers: Mapping[str, Sequence[Answer]]) -> tuple[Table, dict[int, str]]:
    """The figures of the strategy chosen anew for each fold, and which that is. answers: as of `every_strategy`."""
    pairs = {name: bench.ask([name], pairs=True) for name in CANDIDATES}
    folds = [int(fold) for fold in np.unique(bench.fold)]
    chosen = {fold: max(CANDIDATES, key=lambda name: _inner(bench, pairs[name], fold)) for fold in folds}
    parts = [answers[chosen[fold]][place] for place, fold in enumerate(folds)]
    return {**bench.figures(parts), "chosen": {str(fold): name for fold, name in chosen.items()}}, chosen


def _inner(bench: Bench, pairs: Sequence[Answer], fold: int) -> float:
    """Accuracy on the other folds, of trainings that had seen neither `fold` nor the fold answered."""
    right = []
    for pair in pairs:
        of = bench.fold[pair.rows]
        if fold in of:
            inner = of != fold
            right.append(pair.logits["all"][inner].argmax(axis=1) == bench.truth[pair.rows[inner]])
    return float(np.concatenate(right).mean())


def ravdess_missing(bench: Bench, strategy: str, answers: Sequence[Answer]) -> Table:
    """What a missing modality costs, beside the parts by themselves and training without modality dropout."""
    whole = bench.ask([strategy], bench.study.without_modality_dropout())
    alone = {
        name: bench.ask([strategy], rows=bench.rows.with_inputs({name: bench.rows.inputs[name]}))
        for name in ("audio", "video")
    }
    return {
        "strategy": strategy,
        "both": bench.accuracy(answers),
        "both, trained without modality dropout": bench.accuracy(whole),
        "audio missing": bench.accuracy(answers, "without audio"),
        "video missing": bench.accuracy(answers, "without video"),
        "audio missing, trained without modality dropout": bench.accuracy(whole, "without audio"),
        "video missing, trained without modality dropout": bench.accuracy(whole, "without video"),
        "video alone, trained on it alone": bench.accuracy(alone["video"]),
        "audio alone, trained on it alone": bench.accuracy(alone["audio"]),
    }


def ravdess_untouched(bench: Bench, data: Path, strategy: str) -> Table:
    """The same without bringing each actor's values to one scale: clips by themselves, and the parts as released."""
    raw = read_ravdess_au(data).rows
    outputs = {"face": raw.inputs["video"][0][:, 0, :_FACE_OUTPUTS], "speech": raw.inputs["audio"][0][:, 0]}
    return {
        "strategy": strategy,
        **{
            f"{name} outputs as released": float((logits.argmax(axis=1) == bench.truth).mean())
            for name, logits in outputs.items()
        },
        "fused": bench.figures(bench.ask([strategy], rows=raw)),
    }


def project_speech(bench: Bench, data: Path, state_logits: Path, strategy: str) -> Table:
    """The shipped speech encoder on actors held out, alone and with action units.

    state_logits: the file of the speech part. Raises ValueError or OSError, naming the file.
    """
    logits, present = _logits_of_clips(state_logits, data, bench.rows.ids)
    units, units_present = bench.rows.inputs["video"]
    rows = bench.rows.with_inputs(
        {"video": (units[:, :, _FACE_OUTPUTS:], units_present), "audio": (logits[:, None], present[:, None])}
    )
    scaled = by_group(rows)
    state_of = {clip.path.stem: clip.state for clip in read_ravdess(data)}
    columns = dict(zip(bench.truth.tolist(), [STATES.index(state_of[name]) for name in bench.rows.ids], strict=True))
    states = [columns[label] for label in range(len(RAVDESS_LABELS))]
    as_given = (logits[:, states].argmax(axis=1) == bench.truth) & present
    fused = bench.ask([strategy], rows=scaled)
    return {
        "strategy": strategy,
        "speech encoder as it answers": float(as_given.mean()),
        "speech alone, trained on it alone": bench.accuracy(
            bench.ask([strategy], rows=scaled.with_inputs({"audio": scaled.inputs["audio"]}))
        ),
        "action units alone, trained on them alone": bench.accuracy(
            bench.ask([strategy], rows=scaled.with_inputs({"video": scaled.inputs["video"]}))
        ),
        "fused": bench.figures(fused),
    }


def _logits_of_clips(file: Path, data: Path, ids: NDArray[np.str_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(clips, 9) state logits of the clips named `ids`, zero where there are none, and (clips,) whether there are."""
    states = StateLogits.load(file)
    names = [clip.path.stem for clip in [*read_ravdess(data), *read_emodb(data)]]
    if len(states.clip) and states.clip.max() >= len(names):
        raise ValueError(f"{file}: clip: {states.clip.max()} is beyond the {len(names)} clips of {data}")
    place_of = {name: place for place, name in enumerate(ids)}
    logits, present = np.zeros((len(ids), len(STATES)), np.float32), np.zeros(len(ids), bool)
    for row, clip in zip(states.logits, states.clip, strict=True):
        if (place := place_of.get(names[clip])) is not None:
            logits[place], present[place] = row, True
    return logits, present


def mosi_seeds(bench: Bench, strategy: str) -> Table:
    """The chosen strategy from several seeds, view by view; and the mean of their posteriors."""
    folds = len(np.unique(bench.fold))
    asked = bench.ask([strategy], seeds=range(SEEDS))
    seeds = [asked[i * folds : (i + 1) * folds] for i in range(SEEDS)]
    table: Table = {"strategy": strategy}
    for view in bench.views:
        table[view] = mean_and_sd([bench.accuracy(answers, view) for answers in seeds])
        together = np.mean(
            [calibrated(over_folds(answers, view), bench.truth, bench.fold) for answers in seeds], axis=0
        )
        table[view]["together"] = float((together.argmax(axis=1) == bench.truth).mean())
    return table


def mosi_choice(table: Mapping[str, Table]) -> str:
    """The strategy that is best in the mean of both figures (see above)."""
    return max(table, key=lambda name: table[name]["views"]["all"] + table[name]["views"]["unseen"])
