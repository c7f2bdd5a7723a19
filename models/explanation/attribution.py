"""Attribution: how much each event of a window moved its scores.

Problem: a modality's contribution (`models.explanation.shapley`) does not show which of its events it came from. Rule:
the value of a coalition of events is the probability of the target, an emotion or a risk, from these events alone. An
event's share is its marginal contribution, averaged over orders in which the events could come in: the events of a
modality come in one after another, and all orders of modalities are equally likely (Owen, 1977). So the shares of a
modality's events add up to the modality's Shapley value, and those of all events to the value of the window less that
of an empty one. An event that changes nothing gets nothing. Up to six events are taken in every order, more by
`models.explanation.permutation_shapley`; beyond 24, neighbours form groups that share one share.

Integrated gradients over the events' weights would not do: where a mean is pooled, only the very beginning of their
path changes anything. `models.explanation.word_attribution` attributes a line's logit to its words. Left out: smoothing
by earlier windows.
"""

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
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
"""Of adding up, in probability.

Pooling computes in 32 bits, and in batches of other sizes than the service's.
"""

_EVERY_ORDER = 6  # events, so 64 coalitions; one more doubles them
_MOST_PLAYERS = 24  # 554 cyclic coalitions, four times each: a second on a CPU
_WINDOWS_PER_CALL = 512
_POOLED_PER_CALL = 16  # coalitions of a voice's segments are spectrograms of up to half a minute


@dataclass(frozen=True, slots=True, eq=False)
class WindowEvent:
    """One event of a window: a picture, a segment, or a line.

    start_ns, end_ns: event time. encoded: at least one row. line: what it was encoded from, where it is text whose
    words are to be attributed.
    """

    start_ns: int
    end_ns: int
    encoded: Encoded
    line: str | ChatLine | None = None


@dataclass(frozen=True, slots=True)
class EventShare:
    """The share of one event, or of neighbouring events together.

    It covers [start_ns, end_ns) and `events` events. words: of a line, in the text networks' logits of the
    line alone; not parts of `share`. None for a network without token embeddings.
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

    value: the target's probability; the modalities' shares add up to it less `baseline`, the probability in an empty
    window. modality: by name; those without events are left out.
    """

    target: str
    scores: Scores
    value: float
    baseline: float
    modality: Mapping[str, ModalityShare]


def attribute(
    model: AffectModel, window: Mapping[str, Sequence[WindowEvent]], target: str | None = None
) -> Attribution:
    """Attributes a window's score to its modalities and events.

    window: by modality. target: an emotion or a risk by name, by default the window's most probable emotion.

    Runs on the device thread, like `AffectModel.fuse`. Raises ValueError for another target.
    """
    if target is not None and target not in (*EMOTIONS, *RISKS):
        raise ValueError(f"{target!r} is neither of {', '.join(EMOTIONS)} nor of {', '.join(RISKS)}")
    events = {name: sorted(window.get(name, ()), key=lambda event: event.start_ns) for name in MODALITIES}
    events = {name: present for name, present in events.items() if present and name in model.encoders}
    coalition_scorer = _CoalitionScorer(model, events)
    empty, scores = coalition_scorer.scores([{}, {name: range(len(present)) for name, present in events.items()}])
    target = target or EMOTIONS[max(range(len(EMOTIONS)), key=scores.emotion.__getitem__)]
    modality = {}
    for name in events:
        groups = _groups(len(events[name]))
        shares = coalition_scorer.shares(name, groups, target)
        event_shares = tuple(
            EventShare(
                events[name][group.start].start_ns,
                max(event.end_ns for event in events[name][group.start : group.stop]),
                len(group),
                share,
                _words(model.encoders[name], events[name][group.start], target) if len(group) == 1 else None,
            )
            for group, share in zip(groups, shares, strict=True)
        )
        modality[name] = ModalityShare(math.fsum(shares), event_shares)
    return Attribution(target, scores, _value(scores, target), _value(empty, target), modality)


def _value(scores: Scores, target: str) -> float:
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


def _groups(events: int) -> list[range]:
    """Groups of neighbouring events, at most `_MOST_PLAYERS`.

    They are as equal in number as can be; mostly each event is a group.
    """
    players = min(events, _MOST_PLAYERS)
    return [range(i * events // players, (i + 1) * events // players) for i in range(players)]


class _CoalitionScorer:
    """Scores many coalitions of one window's events.

    What is pooled for one coalition is cached for the others.
    """

    def __init__(self, model: AffectModel, events: Mapping[str, Sequence[WindowEvent]]) -> None:
        self._model = copy.copy(model)
        poolers: dict[str, Pooler] = {}
        self._model.poolers = poolers
        self._weight: dict[str, torch.Tensor] = {}
        self._rows: dict[str, list[range]] = {}
        for name, present in events.items():
            encoder = model.encoders[name]
            embedding = torch.cat([event.encoded.embedding for event in present])
            encoded = Encoded(embedding, torch.cat([event.encoded.weight for event in present]))
            poolers[name] = _PooledOnce(encoder, encoded)
            self._weight[name] = encoded.weight
            ends = torch.tensor([len(event.encoded.weight) for event in present]).cumsum(0).tolist()
            self._rows[name] = [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def scores(self, coalitions: Sequence[Mapping[str, Sequence[int]]]) -> list[Scores]:
        """Scores coalitions of events, given by modality as indices."""
        windows = [
            WindowFeatures({name: self._features(name, events) for name, events in each.items()}) for each in coalitions
        ]
        calls = [windows[at : at + _WINDOWS_PER_CALL] for at in range(0, len(windows), _WINDOWS_PER_CALL)]
        return [scores for call in calls for scores in self._model.fuse(call)]

    def shares(self, name: str, groups: Sequence[range], target: str) -> list[float]:
        """The Owen value of each group of one modality's events."""
        players = len(groups)
        exact = players <= _EVERY_ORDER
        of_groups = coalitions(players) if exact else cyclic_coalitions(players)
        others = [other for other in self._rows if other != name]
        of_others = coalitions(len(others))
        sets = [
            {
                name: [event for group, inside in zip(groups, members, strict=True) if inside for event in group],
                **{o: range(len(self._rows[o])) for o, inside in zip(others, beside, strict=True) if inside},
            }
            for members in of_groups.tolist()
            for beside in of_others.tolist()
        ]
        values = torch.tensor([_value(scores, target) for scores in self.scores(sets)], dtype=torch.float64)
        values = values.view(len(of_groups), -1)
        of_players = shapley_values(values) if exact else cyclic_shapley_values(values, players)
        before = of_others.sum(dim=1).tolist()
        orders = math.factorial(len(others) + 1)
        chance = [math.factorial(k) * math.factorial(len(others) - k) / orders for k in before]
        shares: list[float] = (of_players @ values.new_tensor(chance)).tolist()
        return shares

    def _features(self, name: str, events: Sequence[int]) -> Encoded:
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
        self._cache: dict[tuple[int, ...], Pooled] = {}

    def pool(self, embedding: torch.Tensor, weight: torch.Tensor) -> Pooled:
        """Pools as `Pooler.pool`; each set of rows only once."""
        rows = zip(embedding[..., 0].long().tolist(), (weight > 0).tolist(), strict=True)
        keys = [tuple(row for row, counts in zip(*each, strict=True) if counts) for each in rows]
        new = sorted(set(keys) - self._cache.keys(), key=len)
        for at in range(0, len(new), _POOLED_PER_CALL):
            self._pool(new[at : at + _POOLED_PER_CALL])
        return _stacked([self._cache[key] for key in keys])

    def _pool(self, keys: Sequence[tuple[int, ...]]) -> None:
        device = self._encoded.embedding.device
        places = [torch.tensor(key, dtype=torch.long, device=device) for key in keys]
        embedding = pad_sequence([self._encoded.embedding[place] for place in places], batch_first=True)
        weight = pad_sequence([self._encoded.weight[place] for place in places], batch_first=True)
        if embedding.shape[1] == 0:
            embedding, weight = embedding.new_zeros(len(keys), 1, embedding.shape[2]), weight.new_zeros(len(keys), 1)
        pooled = self._encoder.pool(embedding, weight)
        for i, key in enumerate(keys):
            self._cache[key] = _row(pooled, i)


def _row(pooled: Pooled, i: int) -> Pooled:
    values: dict[str, Any] = {field.name: getattr(pooled, field.name) for field in dataclasses.fields(pooled)}
    row: dict[str, Any] = {name: None if each is None else each[i] for name, each in values.items()}
    return Pooled(**row)


def _stacked(rows: Sequence[Pooled]) -> Pooled:
    values: dict[str, Any] = {f.name: [getattr(row, f.name) for row in rows] for f in dataclasses.fields(rows[0])}
    stacked: dict[str, Any] = {name: None if each[0] is None else torch.stack(each) for name, each in values.items()}
    return Pooled(**stacked)
