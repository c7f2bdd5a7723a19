"""Attribution: how much each event of a window moved its scores.

Problem: a modality's contribution (`models.explanation.shapley`) does not say which of its events it came from. Rule:
the worth of a set of events is what the model answers from them alone, and an event's share is what it adds to the
worth, averaged over orders in which the events could have come in; the events of a modality come in one after another,
and among the modalities each order is as likely (Owen, 1977). So the shares of a modality's events add up to the
modality's own Shapley value, those of all events to the worth of the window less that of an empty one, and an event
that changes nothing gets nothing, all to the precision of the model. Up to six events are taken in every order, more by
`models.explanation.permutation_shapley`; beyond 24, neighbours are taken together and share one share.

The worth of an emotion or a risk is its probability. Integrated gradients over the events' weights would not do: where
a mean is pooled, only the very beginning of their path changes anything.
Which words of a line it was, `models.explanation.word_attribution` says. Left out: earlier windows that an answer is
smoothed by.
"""

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from models.encoder import Encoded, Encoder, Pooled, Pooler
from models.explanation.permutation_shapley import cyclic_coalitions, cyclic_shapley_values
from models.explanation.shapley import coalitions, shapley_values
from models.explanation.word_attribution import Embedding, LineAttribution, attribute_line
from models.labels import EMOTIONS, MODALITIES, RISKS
from models.model import AffectModel, WindowFeatures
from models.scores import Scores
from models.text.encoder import ChatLine

TOLERANCE = 1e-4
"""Of adding up, in probability: pooling computes in 32 bits, and in batches of other sizes than the daemon's."""

_EVERY_ORDER = 6  # events: 64 sets of them; one more doubles it, and a set of voices is a call of Whisper
_MOST_PLAYERS = 24  # 554 stretches of time, four times each: a second on a CPU
_WINDOWS_PER_CALL = 512
_POOLED_PER_CALL = 16  # sets of a voice's segments are spectrograms of up to half a minute


@dataclass(frozen=True, slots=True, eq=False)
class WindowEvent:
    """One event of a window: a picture, a segment, or a line.

    start_ns, end_ns: event time. prepared: at least one row, as the encoder's `prepare` returned it. line: as it was
    prepared from, where it is text and its words are asked for.
    """

    start_ns: int
    end_ns: int
    prepared: Sequence[Any]
    line: str | ChatLine | None = None


@dataclass(frozen=True, slots=True)
class EventShare:
    """The share of one event, or of neighbouring events together.

    It covers [start_ns, end_ns) and `events` events. words: of a line, in logits of what the text network says of the
    line alone; not parts of `share`. None for a network whose words cannot be told apart.
    """

    start_ns: int
    end_ns: int
    events: int
    share: float
    words: LineAttribution | None = None


@dataclass(frozen=True, slots=True)
class ModalityShare:
    """The share of one modality and of its events.

    share: the modality's Shapley value; the shares of its events, in order of time, add up to it.
    """

    share: float
    events: tuple[EventShare, ...]


@dataclass(frozen=True, slots=True)
class Attribution:
    """The attribution of one window's score for an emotion or risk.

    worth: of the window; the modalities' shares add up to it less `without`, the worth of a window with nothing in it.
    modality: by name; those without events are left out.
    """

    target: str
    scores: Scores
    worth: float
    without: float
    modality: Mapping[str, ModalityShare]


def attribute(
    model: AffectModel, window: Mapping[str, Sequence[WindowEvent]], target: str | None = None
) -> Attribution:
    """Attributes a window's score to its modalities and events.

    window: by modality. target: an emotion or a risk by name, by default the window's most probable emotion.

    Needs the device, like `AffectModel.fuse`. ValueError for another target.
    """
    if target is not None and target not in (*EMOTIONS, *RISKS):
        raise ValueError(f"{target!r} is neither of {', '.join(EMOTIONS)} nor of {', '.join(RISKS)}")
    events = {name: sorted(window.get(name, ()), key=lambda event: event.start_ns) for name in MODALITIES}
    events = {name: found for name, found in events.items() if found and name in model.encoders}
    question = _Question(model, events)
    nothing, scores = question.scores([{}, {name: _all(found) for name, found in events.items()}])
    asked = target or EMOTIONS[max(range(len(EMOTIONS)), key=scores.emotion.__getitem__)]
    modality = {}
    for name in events:
        groups = _groups(len(events[name]))
        shares = question.shares(name, groups, asked)
        found = tuple(
            EventShare(
                events[name][group.start].start_ns,
                max(event.end_ns for event in events[name][group.start : group.stop]),
                len(group),
                share,
                _words(model.encoders[name], events[name][group.start], asked) if len(group) == 1 else None,
            )
            for group, share in zip(groups, shares, strict=True)
        )
        modality[name] = ModalityShare(math.fsum(shares), found)
    return Attribution(asked, scores, _worth(scores, asked), _worth(nothing, asked), modality)


def _worth(scores: Scores, target: str) -> float:
    if target in RISKS:
        return scores.risk.categories[target]
    return scores.emotion[EMOTIONS.index(target)]


def _words(encoder: Encoder, event: WindowEvent, target: str) -> LineAttribution | None:
    if event.line is None:
        return None
    inputs = encoder.network_inputs(event.line)
    if not inputs or not all(isinstance(each.network.encoder, Embedding) for each in inputs):
        return None
    return attribute_line(encoder, event.line, target)


def _all(events: Sequence[WindowEvent]) -> tuple[int, ...]:
    return tuple(range(len(events)))


def _groups(events: int) -> list[range]:
    """Groups of neighbouring events, at most `_MOST_PLAYERS`.

    They are as equal in number as can be; mostly each event is a group.
    """
    players = min(events, _MOST_PLAYERS)
    return [range(i * events // players, (i + 1) * events // players) for i in range(players)]


class _Question:
    """One window of which many sets of events are asked about; whatever is pooled for one is kept for the others."""

    def __init__(self, model: AffectModel, events: Mapping[str, Sequence[WindowEvent]]) -> None:
        self._asked = copy.copy(model)
        poolers: dict[str, Pooler] = {}
        self._asked.poolers = poolers
        self._weight: dict[str, torch.Tensor] = {}
        self._rows: dict[str, list[range]] = {}
        for name, found in events.items():
            encoder = model.encoders[name]
            encoded = encoder.encode([row for event in found for row in event.prepared])
            poolers[name] = _PooledOnce(encoder, encoded)
            self._weight[name] = encoded.weight
            ends = torch.tensor([len(event.prepared) for event in found]).cumsum(0).tolist()
            self._rows[name] = [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def scores(self, sets: Sequence[Mapping[str, Sequence[int]]]) -> list[Scores]:
        """What the model answers from each set of events, given by their numbers."""
        windows = [WindowFeatures({name: self._some(name, held) for name, held in each.items()}) for each in sets]
        calls = [windows[at : at + _WINDOWS_PER_CALL] for at in range(0, len(windows), _WINDOWS_PER_CALL)]
        return [scores for call in calls for scores in self._asked.fuse(call)]

    def shares(self, name: str, groups: Sequence[range], target: str) -> list[float]:
        """Of each group of one modality's events: the Owen value, over every set of the other modalities."""
        players = len(groups)
        held = coalitions(players) if players <= _EVERY_ORDER else cyclic_coalitions(players)
        values: Callable[[torch.Tensor], torch.Tensor] = (
            shapley_values if players <= _EVERY_ORDER else lambda worth: cyclic_shapley_values(worth, players)
        )
        others = [other for other in self._rows if other != name]
        beside = coalitions(len(others))
        sets = [
            {
                name: [event for group, there in zip(groups, row, strict=True) if there for event in group],
                **{o: range(len(self._rows[o])) for o, there in zip(others, known, strict=True) if there},
            }
            for row in held.tolist()
            for known in beside.tolist()
        ]
        worth = torch.tensor([_worth(scores, target) for scores in self.scores(sets)], dtype=torch.float64)
        before = beside.sum(dim=1).tolist()
        orders = math.factorial(len(others) + 1)
        chance = [math.factorial(k) * math.factorial(len(others) - k) / orders for k in before]
        shares: list[float] = (values(worth.view(len(held), -1)) @ worth.new_tensor(chance)).tolist()
        return shares

    def _some(self, name: str, events: Sequence[int]) -> Encoded:
        rows = torch.tensor([row for event in events for row in self._rows[name][event]], dtype=torch.long)
        return Encoded(rows[:, None].float(), self._weight[name][rows])


class _PooledOnce:
    """A pooler that pools each set of rows once.

    An embedding is a row's number, (rows, 1).
    """

    width = 1

    def __init__(self, encoder: Encoder, encoded: Encoded) -> None:
        self._encoder = encoder
        self._encoded = encoded
        self._known: dict[tuple[int, ...], Pooled] = {}

    def pool(self, embedding: torch.Tensor, weight: torch.Tensor) -> Pooled:
        """Pools as `Pooler.pool`; each set of rows only once."""
        rows = zip(embedding[..., 0].long().tolist(), (weight > 0).tolist(), strict=True)
        keys = [tuple(row for row, there in zip(*each, strict=True) if there) for each in rows]
        new = sorted(set(keys) - self._known.keys(), key=len)
        for at in range(0, len(new), _POOLED_PER_CALL):
            self._pool(new[at : at + _POOLED_PER_CALL])
        return _stacked([self._known[key] for key in keys])

    def _pool(self, keys: Sequence[tuple[int, ...]]) -> None:
        device = self._encoded.embedding.device
        places = [torch.tensor(key, dtype=torch.long, device=device) for key in keys]
        embedding = pad_sequence([self._encoded.embedding[place] for place in places], batch_first=True)
        weight = pad_sequence([self._encoded.weight[place] for place in places], batch_first=True)
        if embedding.shape[1] == 0:
            embedding, weight = embedding.new_zeros(len(keys), 1, embedding.shape[2]), weight.new_zeros(len(keys), 1)
        pooled = self._encoder.pool(embedding, weight)
        for i, key in enumerate(keys):
            self._known[key] = _row(pooled, i)


def _row(pooled: Pooled, i: int) -> Pooled:
    values: dict[str, Any] = {field.name: getattr(pooled, field.name) for field in dataclasses.fields(pooled)}
    row: dict[str, Any] = {name: None if each is None else each[i] for name, each in values.items()}
    return Pooled(**row)


def _stacked(rows: Sequence[Pooled]) -> Pooled:
    values: dict[str, Any] = {f.name: [getattr(row, f.name) for row in rows] for f in dataclasses.fields(rows[0])}
    stacked: dict[str, Any] = {name: None if each[0] is None else torch.stack(each) for name, each in values.items()}
    return Pooled(**stacked)
