"""Judges the speech network by speakers it never saw: RAVDESS's five folds of actors, EMO-DB's speakers one by one.

Problem: a figure over the speakers trained on says nothing about the next caller. Rule: fold k holds out RAVDESS's k-th
group of actors and EMO-DB's k-th speaker; one network is trained on all others and answers for the held-out ones, clip
by clip at a random phase of the grid, as the daemon would ask. A clip without voice gets no answer and counts as wrong.
Left out: other corpora, and choosing among settings (compare the figures of two runs).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch

from models.data.corpora.speech import Clip, read_emodb, read_ravdess
from models.speech.states import emotion_logits
from models.speech.window_network import WindowNetwork
from models.training.speech.train import EMOTION_OF_STATE, SpeechTraining, train_network
from models.training.speech.window_passes import Windows, joined_windows, window_passes

CORPORA = ("ravdess", "emodb")


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers for windows of held-out speakers.

    logits: (n, 9), of `STATES`. state: (n,) int, the truth. speaker: (n,) str. clip: (n,) int, of the corpora's clips
    one after the other. snr_db: (n,).
    """

    logits: npt.NDArray[np.float32]
    state: npt.NDArray[np.int64]
    speaker: npt.NDArray[np.str_]
    clip: npt.NDArray[np.int64]
    snr_db: npt.NDArray[np.float32]

    def only(self, corpus: str) -> "Answers":
        """Returns the answers for one corpus, such as `ravdess`."""
        return self.of(np.char.startswith(self.speaker, f"{corpus}-"))

    def of(self, kept: npt.NDArray[np.bool_]) -> "Answers":
        """Returns the answers that `kept`, (n,), marks."""
        return Answers(*(getattr(self, name)[kept] for name in Answers.__slots__))

    def emotion_logits(self) -> npt.NDArray[np.float32]:
        """Returns (n, 7), of `models.labels.EMOTIONS`."""
        logits: npt.NDArray[np.float32] = emotion_logits(torch.from_numpy(self.logits)).numpy()
        return logits

    def emotion(self) -> npt.NDArray[np.int64]:
        """Returns (n,), the truth as index in `models.labels.EMOTIONS`."""
        return EMOTION_OF_STATE[self.state]


def joined(answers: Sequence[Answers]) -> Answers:
    """Returns the answers of several folds as one."""
    return Answers(*(np.concatenate([getattr(part, name) for part in answers]) for name in Answers.__slots__))


def held_out_speakers(clips: Sequence[Clip]) -> list[set[str]]:
    """Returns the speakers that each fold holds out; no speaker is in two, and every speaker is in one."""
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
    questions: Mapping[str, Windows],
    training: SpeechTraining,
    seed: int = 0,
) -> dict[str, Answers]:
    """Trains a network per fold on the passes and returns, by question, the answers for all speakers once held out.

    folds: the speakers each holds out. questions: by name, the windows to ask about.
    """
    windows = joined_windows(passes)
    found: dict[str, list[Answers]] = {name: [] for name in questions}
    for held_out in folds:
        network = train_network(windows.only(~np.isin(windows.speaker, sorted(held_out))), training, seed)
        for name, asked in questions.items():
            found[name].append(answers(network, asked.only(np.isin(asked.speaker, sorted(held_out)))))
    return {name: joined(parts) for name, parts in found.items()}


def answers(network: WindowNetwork, windows: Windows) -> Answers:
    """Answers for every window."""
    with torch.inference_mode():
        logits = network(torch.from_numpy(windows.statistics).float()).numpy()
    return Answers(logits, windows.state, windows.speaker, windows.clip, windows.snr_db)


def scores(found: Answers) -> dict[str, float]:
    """Returns accuracy and UAR (mean recall) over one corpus's own states and over its emotions.

    Only what the corpus's speakers show can be answered: all of a corpus's windows belong in one call.
    """
    shown = np.unique(found.state)
    state = shown[found.logits[:, shown].argmax(1)]
    truth = found.emotion()
    emotions = np.unique(truth)
    emotion = emotions[found.emotion_logits()[:, emotions].argmax(1)]
    return {
        "n": float(len(truth)),
        "accuracy_states": float((state == found.state).mean()),
        "uar_states": _mean_recall(state, found.state),
        "accuracy": float((emotion == truth).mean()),
        "uar": _mean_recall(emotion, truth),
    }


def _mean_recall(answer: npt.NDArray[np.int64], truth: npt.NDArray[np.int64]) -> float:
    return float(np.mean([(answer[truth == label] == label).mean() for label in np.unique(truth)]))


def figures(found: Mapping[str, Answers], folds: Sequence[set[str]]) -> dict[str, Any]:
    """Returns, by `question/corpus` and score, its value over all speakers, and mean and deviation over the folds."""
    results: dict[str, Any] = {}
    for name, question in found.items():
        for corpus in CORPORA:
            answered = question.only(corpus)
            inside = [answered.of(np.isin(answered.speaker, sorted(fold))) for fold in folds]
            of_fold = [scores(part) for part in inside if len(part.state)]
            results[f"{name}/{corpus}"] = {
                score: {
                    "mean": round(value, 4),
                    "fold_mean": round(float(np.mean([one[score] for one in of_fold])), 4),
                    "fold_sd": round(float(np.std([one[score] for one in of_fold], ddof=1)), 4),
                    "folds": [round(one[score], 4) for one in of_fold],
                }
                for score, value in scores(answered).items()
            }
    return results


def measure_speech(data: Path, out: Path, training: SpeechTraining | None = None, seed: int = 0) -> dict[str, Any]:
    """Cross-validates; writes `metrics.json` and, for calibration, `oof_logits.npz` into `out`; returns the figures.

    data, out: as in `models.training.speech.train.train_speech`, whose passes are read if they are there.
    """
    training = training or SpeechTraining()
    clips = read_ravdess(data) + read_emodb(data)
    passes = list(window_passes(clips, out / "passes", training.network.streams, training.augmented_passes))
    folds = held_out_speakers(clips)
    questions = {"clips": passes[0]}
    if len(passes) > 1:
        questions["augmented"] = passes[1]
    found = cross_validated(folds, passes, questions, training, seed)
    metrics = {
        "what": "speakers held out; fold k holds out RAVDESS fold k and the k-th EMO-DB speaker; states = RAVDESS 8 "
        "classes / EMO-DB 7 classes; accuracy and uar = over the corpus's emotions (calm and boredom count as neutral)",
        "questions": {"clips": "whole clip at random grid phase", "augmented": "changed sound, whole clips and parts"},
        "results": figures(found, folds),
        "unanswered_clips": {
            corpus: sum(clip.corpus == corpus for clip in clips) - len(found["clips"].only(corpus).state)
            for corpus in CORPORA
        },
        "settings": asdict(training),
    }
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
    _write_answers(out / "oof_logits.npz", found)
    return metrics


def _write_answers(path: Path, found: Mapping[str, Answers]) -> None:
    every = joined(list(found.values()))
    np.savez(
        path,
        logits7=every.emotion_logits(),
        label7=every.emotion(),
        corpus=np.array([name.split("-")[0] for name in every.speaker]),
        speaker=every.speaker,
        question=np.repeat(list(found), [len(answered.state) for answered in found.values()]),
        logits9=every.logits,
        state=every.state,
        clip=every.clip,
        snr_db=every.snr_db,
    )


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), metavar="DIR")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR")
@click.option("--seed", default=0, show_default=True)
def main(data: Path, out: Path, seed: int) -> None:
    """Cross-validates the speech network over the speakers in DATA; figures on stdout and in OUT/metrics.json."""
    click.echo(json.dumps(measure_speech(data, out, seed=seed)["results"]))


if __name__ == "__main__":
    main()
