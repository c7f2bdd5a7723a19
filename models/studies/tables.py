"""Trainings and figures of the fusion study's tables.

RAVDESS: five folds of actors, as published. The strategy that is reported for a fold is chosen by the answers to the
other four, each from a training that had seen neither of the two; so no actor that is measured on chooses anything.
CMU-MOSI: five folds of whole videos of the training part, as the test videos are not here. Its released features of
text and picture saw the labels of the rows held out as well, so two figures are given: with these features blurred
until they tell as much as is published for new videos, which flatters a little, since the noise errs independently of
the words; and without them (`unseen`), which takes nothing on trust.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data.corpora.speech import read_emodb, read_ravdess
from models.data.fusion.corpora import RAVDESS_LABELS, by_group, read_ravdess_au
from models.fusion.strategies.registry import STRATEGIES
from models.speech.states import STATES
from models.studies.experiment import Experiment, Table
from models.studies.held_out_folds import (
    FoldLogits,
    calibrated,
    mean_and_sd,
    over_folds,
)
from models.training.speech.state_logits import StateLogits

CANDIDATES = ("concatenation", "gated", "product_of_experts")
"""Strategies of which one is chosen for RAVDESS, anew for each fold."""

SEEDS = 5

_FACE_OUTPUTS = len(RAVDESS_LABELS)  # of the input `video`, before the action units


def every_strategy(experiment: Experiment) -> tuple[Table, dict[str, list[FoldLogits]]]:
    """A row for each strategy, and its results, fold by fold."""
    folds = len(np.unique(experiment.fold))
    every = experiment.run(list(STRATEGIES))
    results = {name: every[i * folds : (i + 1) * folds] for i, name in enumerate(STRATEGIES)}
    return {
        name: {
            **experiment.figures(of_folds),
            "views": {view: experiment.accuracy(of_folds, view) for view in experiment.views},
            "parameters": of_folds[0].parameters,
            "ms_per_row": float(np.median([fold.ms_per_row for fold in of_folds])),
        }
        for name, of_folds in results.items()
    }, results


def ravdess_nested(experiment: Experiment, results: Mapping[str, Sequence[FoldLogits]]) -> tuple[Table, dict[int, str]]:
    """Figures of a strategy chosen for each fold without that fold.

    Returns also which it is. results: as of `every_strategy`.
    """
    pairs = {name: experiment.run([name], pairs=True) for name in CANDIDATES}
    folds = [int(fold) for fold in np.unique(experiment.fold)]
    chosen = {fold: max(CANDIDATES, key=lambda name: _inner(experiment, pairs[name], fold)) for fold in folds}
    parts = [results[chosen[fold]][place] for place, fold in enumerate(folds)]
    return {**experiment.figures(parts), "chosen": {str(fold): name for fold, name in chosen.items()}}, chosen


def _inner(experiment: Experiment, pairs: Sequence[FoldLogits], fold: int) -> float:
    """Accuracy on the other folds, inside the training folds.

    The trainings had seen neither `fold` nor the fold predicted.
    """
    right = []
    for pair in pairs:
        of = experiment.fold[pair.rows]
        if fold in of:
            inner = of != fold
            right.append(pair.logits["all"][inner].argmax(axis=1) == experiment.truth[pair.rows[inner]])
    return float(np.concatenate(right).mean())


def ravdess_missing(experiment: Experiment, strategy: str, results: Sequence[FoldLogits]) -> Table:
    """Accuracy with a missing modality, and of each modality alone.

    Beside them, training without modality dropout.
    """
    whole = experiment.run([strategy], experiment.study.without_modality_dropout())
    alone = {
        name: experiment.run([strategy], rows=experiment.rows.with_inputs({name: experiment.rows.inputs[name]}))
        for name in ("audio", "video")
    }
    return {
        "strategy": strategy,
        "both": experiment.accuracy(results),
        "both, trained without modality dropout": experiment.accuracy(whole),
        "audio missing": experiment.accuracy(results, "without audio"),
        "video missing": experiment.accuracy(results, "without video"),
        "audio missing, trained without modality dropout": experiment.accuracy(whole, "without audio"),
        "video missing, trained without modality dropout": experiment.accuracy(whole, "without video"),
        "video alone, trained on it alone": experiment.accuracy(alone["video"]),
        "audio alone, trained on it alone": experiment.accuracy(alone["audio"]),
    }


def ravdess_untouched(experiment: Experiment, data: Path, strategy: str) -> Table:
    """Figures without scaling by actor, and of the released outputs."""
    raw = read_ravdess_au(data).rows
    outputs = {"face": raw.inputs["video"][0][:, 0, :_FACE_OUTPUTS], "speech": raw.inputs["audio"][0][:, 0]}
    return {
        "strategy": strategy,
        **{
            f"{name} outputs as released": float((logits.argmax(axis=1) == experiment.truth).mean())
            for name, logits in outputs.items()
        },
        "fused": experiment.figures(experiment.run([strategy], rows=raw)),
    }


def project_speech(experiment: Experiment, data: Path, state_logits: Path, strategy: str) -> Table:
    """The shipped speech encoder on actors held out, with action units.

    state_logits: the file of the speech part. Raises ValueError or OSError, naming the file.
    """
    logits, present = _logits_of_clips(state_logits, data, experiment.rows.ids)
    units, units_present = experiment.rows.inputs["video"]
    rows = experiment.rows.with_inputs(
        {"video": (units[:, :, _FACE_OUTPUTS:], units_present), "audio": (logits[:, None], present[:, None])}
    )
    scaled = by_group(rows)
    state_of = {clip.path.stem: clip.state for clip in read_ravdess(data)}
    columns = [STATES.index(state_of[name]) for name in experiment.rows.ids]
    column_of = dict(zip(experiment.truth.tolist(), columns, strict=True))
    states = [column_of[label] for label in range(len(RAVDESS_LABELS))]
    as_given = (logits[:, states].argmax(axis=1) == experiment.truth) & present
    fused = experiment.run([strategy], rows=scaled)
    return {
        "strategy": strategy,
        "speech encoder as it answers": float(as_given.mean()),
        "speech alone, trained on it alone": experiment.accuracy(
            experiment.run([strategy], rows=scaled.with_inputs({"audio": scaled.inputs["audio"]}))
        ),
        "action units alone, trained on them alone": experiment.accuracy(
            experiment.run([strategy], rows=scaled.with_inputs({"video": scaled.inputs["video"]}))
        ),
        "fused": experiment.figures(fused),
    }


def _logits_of_clips(file: Path, data: Path, ids: NDArray[np.str_]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """State logits (clips, 9) of the clips named `ids`.

    Zero where there are none; and (clips,) whether there are.
    """
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


def mosi_seeds(experiment: Experiment, strategy: str) -> Table:
    """The chosen strategy from several seeds, view by view.

    Also the mean of their posteriors.
    """
    folds = len(np.unique(experiment.fold))
    every = experiment.run([strategy], seeds=range(SEEDS))
    seeds = [every[i * folds : (i + 1) * folds] for i in range(SEEDS)]
    table: Table = {"strategy": strategy}
    for view in experiment.views:
        table[view] = mean_and_sd([experiment.accuracy(results, view) for results in seeds])
        together = np.mean(
            [calibrated(over_folds(results, view), experiment.truth, experiment.fold) for results in seeds], axis=0
        )
        table[view]["together"] = float((together.argmax(axis=1) == experiment.truth).mean())
    return table


def mosi_choice(table: Mapping[str, Table]) -> str:
    """The strategy that is best in the mean of both figures.

    These are accuracy with all inputs and with unseen ones.
    """
    return max(table, key=lambda name: table[name]["views"]["all"] + table[name]["views"]["unseen"])
