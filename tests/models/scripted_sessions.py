"""Scripted sessions: what is written, and how the face looks, second by second; and their scores, window by window.

Lines go through the text network that is shipped. Faces are the answers of a face, with noise, so that an hour of them
is played in seconds. Windows are 4 s long, one a second, and are scored by the fifty seconds before them, as in the
service.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch

from models.artifact import Manifest
from models.encoder import Encoded
from models.fusion.smoothed_scores import Course, smoothed
from models.labels import EMOTIONS
from models.model import AffectModel, WindowFeatures
from models.scores import Abstention, Scores
from models.text.encoder import ChatLine
from tests.models.model_folders import Repeater

SIZE, STEP, LOOKBACK = 4, 1, 50  # seconds
_ROWS_PER_CALL = 64

CALM_LINES = (
    "good morning, did you sleep well?",
    "yes, thanks, and you?",
    "I made pancakes for breakfast",
    "the train was on time today",
    "can you send me the notes from Tuesday?",
    "sure, they are in the shared folder",
    "it looks like rain this afternoon",
    "I'll take the umbrella then",
    "what shall we cook tonight?",
    "pasta with tomatoes, we still have some basil",
    "my sister is coming to visit next week",
    "how nice, is she bringing the kids?",
    "the meeting moved to three o'clock",
    "ok, I put it in the calendar",
    "have you seen the new library downtown?",
    "not yet, let's go there on Saturday",
    "the cat is asleep on my keyboard again",
    "I finished the second chapter",
    "the bakery has fresh bread at four",
    "could you water the plants while I'm away?",
    "of course, twice a week?",
    "yes, and the orchid only once",
    "my bike needs a new tyre",
    "the shop around the corner is quite good",
    "we are planning a picnic by the lake",
    "I can bring a salad and some lemonade",
    "thank you, that would be lovely",
    "the report is done, I will print it later",
    "you can use the printer on the second floor",
    "see you at lunch",
)
CALM_LINES_ZH = (
    "早上好,今天天气不错",
    "是啊,适合出去走走",
    "中午想吃什么?",
    "食堂新开了一家面馆",
    "下午三点开会,别忘了",
    "好的,我已经记下来了",
    "周末一起去公园吧",
    "可以,我带点水果",
    "这本书你看完了吗?",
    "还差最后两章",
    "妈妈寄了一箱苹果来",
    "真好,分我两个",
    "地铁今天很空",
    "我大概六点到家",
    "晚上一起看电影吧",
)
SARCASM = (
    "oh great, another meeting about meetings",
    "just what I always wanted for a Friday afternoon",
    "wow, the printer works, alert the press",
    "sure, let's do it all again from the start, I love that",
    "what a brilliant idea, who needs weekends anyway",
    "yes boss, right away boss, anything else boss",
    "I'm thrilled, can't you tell?",
    "best day ever, truly",
)
ESCALATION = (
    "hi, how was your day?",
    "not great to be honest, everything went wrong at work",
    "I can't sleep any more and I cry all the time",
    "nobody would even notice if I was gone",
    "I can't do this any more, I want to die",
)
CRISES = {
    "English": ("thanks for the film yesterday", "I have to tell you something", "I want to kill myself"),
    "Chinese": ("昨天谢谢你", "我想跟你说件事", "我不想活了,我想自杀"),
    "two languages": ("sorry I missed your call", "工作还行吧", "but honestly 我真的不想活了, I want to die"),
}

Played = Sequence[tuple[int, Scores]]
"""When each window starts, in seconds of the session, and its scores; windows in which nothing is are left out."""


@dataclass(frozen=True, slots=True)
class Script:
    """A session. lines: when, and what. moods: what the face shows from each second on; no face where it is empty."""

    length_s: int
    lines: Sequence[tuple[float, str]]
    moods: Mapping[int, str] = field(default_factory=dict)


def talk(texts: Sequence[str], every_s: float = 6.0, from_s: float = 2.0) -> list[tuple[float, str]]:
    """Lines one after another."""
    return [(from_s + at * every_s, text) for at, text in enumerate(texts)]


class Player:
    """Scores scripts with the shipped words, and faces that say what they are told."""

    def __init__(self, shipped: AffectModel, seed: int = 7) -> None:
        encoders = {"video": Repeater(), "text": shipped.encoders["text"]}
        self.manifest: Manifest = shipped.manifest
        self._model = AffectModel(shipped.manifest, encoders, torch.device("cpu"))
        self._course = Course.of_windows(SIZE, STEP, shipped.manifest.risk)
        self._rng = np.random.default_rng(seed)
        self._lines: dict[str, Encoded] = {}

    def play(self, script: Script) -> Played:
        own = self._alone(script)
        starts = [at for at, scores in enumerate(own) if scores.abstained is not Abstention.NO_EVIDENCE]
        nothing = self._model.fuse([WindowFeatures({})]) * LOOKBACK
        padded = [*nothing, *own]
        rows = [padded[at : at + LOOKBACK + 1] for at in starts]
        found = smoothed(rows, self._course, self.manifest.least_confidence)
        return [(at - SIZE + 1, scores) for at, scores in zip(starts, found, strict=True)]

    def _alone(self, script: Script) -> list[Scores]:
        """The scores of all windows, each by itself; the first starts a second less than its length before 0."""
        self._encode([text for _, text in script.lines])
        faces = list(self._faces(script))
        windows = [
            self._window(script, faces, start_s) for start_s in range(1 - SIZE, script.length_s - SIZE + 1, STEP)
        ]
        calls = [windows[at : at + _ROWS_PER_CALL] for at in range(0, len(windows), _ROWS_PER_CALL)]
        return [scores for call in calls for scores in self._model.fuse(call)]

    def _window(self, script: Script, faces: list[Encoded], start_s: int) -> WindowFeatures:
        events = {
            "text": [self._lines[text] for at_s, text in script.lines if start_s <= at_s < start_s + SIZE],
            "video": faces[max(0, start_s) : start_s + SIZE],
        }
        return WindowFeatures({name: joined(found) for name, found in events.items() if found})

    def _encode(self, texts: Sequence[str]) -> None:
        encoder = self._model.encoders["text"]
        new = sorted({text for text in texts if text not in self._lines}, key=len)
        for at in range(0, len(new), _ROWS_PER_CALL):
            call = new[at : at + _ROWS_PER_CALL]
            encoded = encoder.encode([encoder.prepare(ChatLine(text)) for text in call])
            for i, text in enumerate(call):
                self._lines[text] = Encoded(encoded.embedding[i : i + 1], encoded.weight[i : i + 1])

    def _faces(self, script: Script) -> Iterator[Encoded]:
        """The answer of a face, a second each: mostly the mood, and sometimes anything."""
        mood = None
        for second in range(script.length_s if script.moods else 0):
            mood = script.moods.get(second, mood)
            logits = self._rng.normal(0, 1.0, (1, len(EMOTIONS)))
            if mood is not None:
                logits[0, EMOTIONS.index(mood)] += 2.5
            yield Encoded(torch.tensor(logits, dtype=torch.float32), torch.ones(1))


def joined(events: Sequence[Encoded]) -> Encoded:
    return Encoded(torch.cat([each.embedding for each in events]), torch.cat([each.weight for each in events]))


def changes_per_minute(played: Played) -> float:
    """How often a label follows another one; windows that name none are passed over."""
    said = [scores.label for _, scores in played if scores.label is not None]
    minutes = (played[-1][0] - played[0][0]) / 60
    return sum(before != after for before, after in pairwise(said)) / minutes
