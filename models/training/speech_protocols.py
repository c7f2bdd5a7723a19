"""Judges the speech network by speakers it never saw: RAVDESS's five folds of actors, EMO-DB's speakers one by one.

Problem: a figure over the speakers trained on says nothing about the next caller. Rule: fold k holds out RAVDESS's k-th
group of actors and EMO-DB's k-th speaker; one network is trained on all others and answers for the held-out ones, clip
by clip and in sliding windows at a random phase of the grid, as the daemon would ask.
Left out: other corpora, and choosing among settings (compare the figures of two runs).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import accuracy_score, recall_score

from models.data.speech_corpora import Clip
from models.speech.network import SpeechNetwork, emotion_logits
from models.training.speech import EMOTION_OF_STATE, SpeechTraining, state_logits, train_network, window_batch
from models.training.speech_streams import Segments

LEAST_VOICE_S = 0.25
"""Windows with less voice are not asked about."""

_BATCH = 128


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers for windows of held-out speakers.

    logits: (n, 9), of `STATES`. state: (n,) int, the truth. speaker: (n,) str.
    """

    logits: npt.NDArray[np.float32]
    state: npt.NDArray[np.int64]
    speaker: npt.NDArray[np.str_]

    def only(self, corpus: str) -> "Answers":
        """Returns the answers for one corpus, such as `ravdess`."""
        kept = np.char.startswith(self.speaker, f"{corpus}-")
        return Answers(self.logits[kept], self.state[kept], self.speaker[kept])

    def emotion_logits(self) -> npt.NDArray[np.float32]:
        """Returns (n, 7), of `models.labels.EMOTIONS`."""
        logits: npt.NDArray[np.float32] = emotion_logits(torch.from_numpy(self.logits)).numpy()
        return logits

    def emotion(self) -> npt.NDArray[np.int64]:
        """Returns (n,), the truth as index in `models.labels.EMOTIONS`."""
        return EMOTION_OF_STATE[self.state]


def joined(answers: Sequence[Answers]) -> Answers:
    """Returns the answers of several folds as one."""
    return Answers(
        np.concatenate([part.logits for part in answers]),
        np.concatenate([part.state for part in answers]),
        np.concatenate([part.speaker for part in answers]),
    )


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
    clips: Sequence[Clip],
    passes: Sequence[Segments],
    questions: Mapping[str, tuple[Segments, int | None]],
    training: SpeechTraining,
    seed: int = 0,
) -> dict[str, Answers]:
    """Trains a network per fold on the passes and returns, by question, the answers for all speakers once held out.

    questions: by name, the streams to ask about and the windows' size as in `answers`.
    """
    everyone = {clip.speaker for clip in clips}
    found: dict[str, list[Answers]] = {name: [] for name in questions}
    for held_out in held_out_speakers(clips):
        network = train_network(passes, everyone - held_out, training, seed)
        for name, (segments, size_s) in questions.items():
            found[name].append(answers(network, segments, held_out, size_s))
    return {name: joined(parts) for name, parts in found.items()}


def answers(network: SpeechNetwork, segments: Segments, speakers: set[str], size_s: int | None) -> Answers:
    """Answers for every window of the speakers' streams, or for each stream as a whole when size_s is None."""
    rows = [
        window
        for stream in np.flatnonzero(np.isin(segments.speaker, sorted(speakers)))
        for window in _windows(segments, np.flatnonzero(segments.stream == stream), size_s)
    ]
    with torch.inference_mode():
        logits = [
            state_logits(network, window_batch(segments, rows[start : start + _BATCH])).numpy()
            for start in range(0, len(rows), _BATCH)
        ]
    stream = segments.stream[[window[0] for window in rows]]
    return Answers(np.concatenate(logits), segments.state[stream], segments.speaker[stream])


def _windows(segments: Segments, rows: npt.NDArray[np.int64], size_s: int | None) -> list[npt.NDArray[np.int64]]:
    if size_s is None or not len(rows):
        return [rows] if len(rows) else []
    position = segments.position[rows]
    starts = range(int(position[0]) - size_s + 1, int(position[-1]) + 1)
    windows = [rows[(position >= start) & (position < start + size_s)] for start in starts]
    return [window for window in windows if segments.weight[window].sum() >= LEAST_VOICE_S]


def scores(found: Answers) -> dict[str, float]:
    """Returns accuracy and UAR (mean recall) over the corpora's own states and over the seven emotions.

    Only states that the speakers show can be answered in `accuracy_states`; all seven emotions can in the others.
    """
    shown = np.unique(found.state)
    state = shown[found.logits[:, shown].argmax(1)]
    emotion = found.emotion_logits().argmax(1)
    truth = found.emotion()
    return {
        "n": float(len(found.state)),
        "accuracy_states": float(accuracy_score(found.state, state)),
        "uar_states": float(recall_score(found.state, state, average="macro")),
        "accuracy": float(accuracy_score(truth, emotion)),
        "uar": float(recall_score(truth, emotion, average="macro", labels=np.unique(truth))),
    }
