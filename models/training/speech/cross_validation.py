"""Cross-validates the speech network over speakers of RAVDESS and EMO-DB.

Problem: a figure over the speakers trained on tells nothing about the next caller. Rule: fold k holds out RAVDESS's
k-th group of actors and EMO-DB's k-th speaker. One network is trained on all others, and its logits for the held-out
ones are measured clip by clip at a random phase of the grid, as the daemon would cut them. A clip without voice has no
logits and counts as wrong. Left out: other corpora, and choosing among settings (compare the figures of two runs).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from models.data.corpora.speech import Clip, read_emodb, read_ravdess
from models.speech.window_network import WindowNetwork
from models.training.part.folder import PartFolder
from models.training.part.held_out import CLEAN
from models.training.speech.state_logits import StateLogits, held_out_logits, joined_states
from models.training.speech.train import SpeechTraining, train_network
from models.training.speech.window_passes import Windows, joined_windows, window_passes

CORPORA = ("ravdess", "emodb")

AUGMENTED = "augmented"
"""Condition of changed sound."""

Pass = TypeVar("Pass")

METRIC_NAMES = {CLEAN: "clips", AUGMENTED: AUGMENTED}
"""What a condition is called in metrics.json."""


def held_out_speakers(clips: Sequence[Clip]) -> list[set[str]]:
    """Speakers that each fold holds out, every speaker once."""
    by_fold = {clip.fold: set[str]() for clip in clips if clip.fold is not None}
    for clip in clips:
        if clip.fold is not None:
            by_fold[clip.fold].add(clip.speaker)
    folds = [by_fold[fold] for fold in sorted(by_fold)]
    alone = sorted({clip.speaker for clip in clips if clip.fold is None})
    return [
        (folds[index] if index < len(folds) else set()) | set(alone[index : index + 1])
        for index in range(max(len(folds), len(alone)))
    ]


def cross_validated(
    folds: Sequence[set[str]],
    passes: Sequence[Windows],
    measured: Mapping[str, Windows],
    training: SpeechTraining,
    seed: int = 0,
) -> dict[str, StateLogits]:
    """Held-out logits of one network a fold, by condition.

    folds: the speakers each holds out. measured: by condition, the windows to give logits for. Returns by condition.
    """
    windows = joined_windows(passes)
    of_folds: dict[str, list[StateLogits]] = {condition: [] for condition in measured}
    for held_out in folds:
        network = train_network(windows.only(~np.isin(windows.speaker, sorted(held_out))), training, seed)
        for condition, each in measured.items():
            of_folds[condition].append(state_logits(network, each.only(np.isin(each.speaker, sorted(held_out)))))
    return {condition: joined_states(parts) for condition, parts in of_folds.items()}


def state_logits(network: WindowNetwork, windows: Windows) -> StateLogits:
    """Logits for every window."""
    with torch.inference_mode():
        logits = network(torch.from_numpy(windows.statistics).float()).numpy()
    return StateLogits(logits, windows.state, windows.speaker, windows.clip, windows.snr_db)


def scores(states: StateLogits) -> dict[str, float]:
    """Accuracy and UAR (mean recall) over one corpus's states and emotions.

    Only labels that occur in the corpus can be predicted: all of a corpus's windows belong in one call.
    """
    occurring = np.unique(states.state)
    predicted_state = occurring[states.logits[:, occurring].argmax(1)]
    truth = states.emotion()
    emotions = np.unique(truth)
    predicted = emotions[states.emotion_logits()[:, emotions].argmax(1)]
    return {
        "n": float(len(truth)),
        "accuracy_states": float((predicted_state == states.state).mean()),
        "uar_states": _mean_recall(predicted_state, states.state),
        "accuracy": float((predicted == truth).mean()),
        "uar": _mean_recall(predicted, truth),
    }


def _mean_recall(predicted: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> float:
    return float(np.mean([(predicted[truth == label] == label).mean() for label in np.unique(truth)]))


def figures(by_condition: Mapping[str, StateLogits], folds: Sequence[set[str]]) -> dict[str, Any]:
    """Figures by "condition/corpus" and score, with deviations over the folds."""
    results: dict[str, Any] = {}
    for condition, states in by_condition.items():
        for corpus in CORPORA:
            of_corpus = states.only(corpus)
            inside = [of_corpus.rows(np.isin(of_corpus.speaker, sorted(fold))) for fold in folds]
            of_fold = [scores(part) for part in inside if len(part.state)]
            results[f"{METRIC_NAMES[condition]}/{corpus}"] = {
                score: {
                    "mean": round(value, 4),
                    "fold_mean": round(float(np.mean([one[score] for one in of_fold])), 4),
                    "fold_sd": round(float(np.std([one[score] for one in of_fold], ddof=1)), 4),
                    "folds": [round(one[score], 4) for one in of_fold],
                }
                for score, value in scores(of_corpus).items()
            }
    return results


def conditions_of(passes: Sequence[Pass]) -> dict[str, Pass]:
    """The passes that are measured, by condition.

    The clean one and, if there is one, the first augmented one.
    """
    return dict(zip((CLEAN, AUGMENTED), passes, strict=False))


def clips_without_voice(clips: Sequence[Clip], clean: StateLogits) -> dict[str, int]:
    """By corpus, how many clips have no logits."""
    return {corpus: sum(clip.corpus == corpus for clip in clips) - len(clean.only(corpus).state) for corpus in CORPORA}


def measure_speech(data: Path, out: Path, training: SpeechTraining | None = None, seed: int = 0) -> dict[str, Any]:
    """Cross-validates, and writes figures and held-out logits.

    Returns the figures.

    data, out: as in `models.training.speech.train.train_speech`, whose passes are read if they are there.
    """
    training, folder = training or SpeechTraining(), PartFolder(out, "speech")
    clips = read_ravdess(data) + read_emodb(data)
    passes = list(window_passes(clips, folder.passes(), training.network.streams, training.augmented_passes))
    folds = held_out_speakers(clips)
    states = cross_validated(folds, passes, conditions_of(passes), training, seed)
    held_out_logits(states).save(folder.held_out)
    states[CLEAN].save(folder.state_logits)
    metrics = {
        "what": "speakers held out; fold k holds out RAVDESS fold k and the k-th EMO-DB speaker; states = RAVDESS 8 "
        "classes / EMO-DB 7 classes; accuracy and uar = over the corpus's emotions (calm and boredom count as neutral)",
        "questions": {"clips": "whole clip at random grid phase", "augmented": "changed sound, whole clips and parts"},
        "results": figures(states, folds),
        "unanswered_clips": clips_without_voice(clips, states[CLEAN]),
        "settings": asdict(training),
    }
    folder.write_metrics(metrics)
    return metrics
