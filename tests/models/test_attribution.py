"""Shares add up to what the model says, events that change nothing get nothing, and a telling word is found."""

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from models.encoder import Encoded
from models.explanation import word_attribution
from models.explanation.attribution import TOLERANCE, Attribution, WindowEvent, attribute
from models.explanation.permutation_shapley import cyclic_coalitions, cyclic_shapley_values
from models.explanation.shapley import coalitions, shapley_values
from models.explanation.word_attribution import attribute_line, direction, word_spans
from models.labels import EMOTIONS, RISKS
from models.model import AffectModel, WindowFeatures
from models.text.encoder import ChatLine, TextEncoder
from models.text.network import TextNetwork
from models.text.reader import Reader
from models.text.transformer import Transformer, TransformerSize
from models.text.unigram_pieces import MAX_TOKENS, UnigramTokenizer
from models.text.word_pieces import WordPieceTokenizer
from tests.models.model_folders import Repeater, plain_manifest
from tests.models.unigram import TOKENIZER, untrained_reader

pytestmark = pytest.mark.unit


class Weighed(Repeater):
    """Each prepared row ends with its weight."""

    def example(self) -> list[float]:
        return [*super().example(), 1.0]

    def encode(self, prepared: Sequence[Sequence[float]]) -> Encoded:
        rows = torch.tensor(prepared)
        return Encoded(rows[:, :-1], rows[:, -1])


MODEL = AffectModel(
    plain_manifest(), {"video": Weighed(), "audio": Weighed(), "text": Weighed(risk=True)}, torch.device("cpu")
)
SPEAKS_OF_RISK = {"text"}


def event(
    modality: str, at: int, emotion: str, strength: float = 3.0, weight: float = 1.0, harm: float = -4.0
) -> WindowEvent:
    row = [strength * (name == emotion) for name in EMOTIONS]
    row += [harm if name == "self_harm" else -4.0 for name in RISKS] if modality in SPEAKS_OF_RISK else []
    return WindowEvent(at, at + 1, MODEL.encoders[modality].encode([[*row, weight]]))


WINDOW = {
    "video": [event("video", 0, "anger"), event("video", 1, "sadness", 6.0), event("video", 2, "neutral")],
    "audio": [event("audio", 0, "anger", 2.0, weight=0.15), event("audio", 1, "anger", 4.0, weight=0.15)],
}
"""The voice is too short to count unless both of its events are there: contributions do not add up."""


def joined(events: Sequence[WindowEvent]) -> Encoded:
    embedding = torch.cat([event.encoded.embedding for event in events])
    return Encoded(embedding, torch.cat([event.encoded.weight for event in events]))


def contributions(window: dict[str, list[WindowEvent]]) -> dict[str, float]:
    encoded = {name: joined(found) for name, found in window.items()}
    scores = MODEL.fuse([WindowFeatures(encoded)])[0]
    return {name: scores.modality[name].contribution for name in window}


def whole(found: Attribution) -> float:
    return math.fsum(each.share for each in found.modality.values())


@pytest.mark.parametrize("pictures", [1, 3, 6, 7, 20, 30])
def test_shares_of_events_add_up_to_the_modalitys_contribution_and_those_to_the_answer(pictures: int) -> None:
    window = WINDOW | {"video": [event("video", i, EMOTIONS[i % 5], 1.0 + i / 5) for i in range(pictures)]}
    found = attribute(MODEL, window)
    expected = contributions(window)
    for name, each in found.modality.items():
        assert each.share == pytest.approx(expected[name], abs=TOLERANCE)
        assert math.fsum(e.share for e in each.events) == pytest.approx(each.share, abs=1e-9)
        assert sum(e.events for e in each.events) == len(window[name])
    assert whole(found) == pytest.approx(found.value - found.baseline, abs=TOLERANCE)
    assert found.baseline == pytest.approx(1 / len(EMOTIONS), abs=1e-12)


def test_shares_are_averages_over_every_order_in_which_modalities_come_one_after_another() -> None:
    found = attribute(MODEL, WINDOW, "anger")
    told = {(name, e.start_ns): e.share for name, each in found.modality.items() for e in each.events}
    expected = dict.fromkeys(told, 0.0)
    orders = [
        [*first, *second]
        for names in itertools.permutations(WINDOW)
        for first in itertools.permutations([(names[0], i) for i in range(len(WINDOW[names[0]]))])
        for second in itertools.permutations([(names[1], i) for i in range(len(WINDOW[names[1]]))])
    ]
    for order in orders:
        for i, player in enumerate(order):
            expected[player] += (value_of(order[: i + 1]) - value_of(order[:i])) / len(orders)
    assert told == pytest.approx(expected, abs=TOLERANCE)


def value_of(events: Sequence[tuple[str, int]]) -> float:
    held = {name: [WINDOW[name][i] for n, i in events if n == name] for name in WINDOW}
    encoded = {name: joined(found) for name, found in held.items() if found}
    return MODEL.fuse([WindowFeatures(encoded)])[0].emotion[EMOTIONS.index("anger")]


@pytest.mark.parametrize("others", [2, 9])
def test_an_event_that_changes_nothing_gets_nothing(others: int) -> None:
    telling = [event("video", 2 * i, EMOTIONS[i % 3]) for i in range(others)]
    shares = attribute(MODEL, {"video": [*telling, event("video", 3, "fear", weight=0.0)]}).modality["video"].events
    nothing = next(share for share in shares if share.start_ns == 3)
    assert nothing.share == pytest.approx(0, abs=1e-9)
    assert all(abs(share.share) > 1e-4 for share in shares if share.start_ns != 3)


def test_shares_stand_in_the_order_of_event_time_whatever_order_events_come_in() -> None:
    forwards, backwards = (
        attribute(MODEL, {"video": WINDOW["video"][::way]}, "sadness").modality["video"].events for way in (1, -1)
    )
    assert [share.start_ns for share in backwards] == [0, 1, 2]
    assert [share.share for share in forwards] == pytest.approx([share.share for share in backwards], abs=1e-6)
    assert max(forwards, key=lambda share: share.share).start_ns == 1


def test_the_line_that_raises_a_risk_is_found() -> None:
    lines = [event("text", i, "neutral", harm=5.0 if i == 2 else -4.0) for i in range(4)]
    found = attribute(MODEL, WINDOW | {"text": lines}, "self_harm")
    assert max(found.modality["text"].events, key=lambda share: share.share).start_ns == 2
    assert whole(found) == pytest.approx(found.scores.risk.categories["self_harm"], abs=TOLERANCE)
    assert found.modality["video"].share == pytest.approx(0, abs=TOLERANCE)


def test_a_window_of_nothing_has_no_shares() -> None:
    found = attribute(MODEL, {"video": []})
    assert not found.modality
    assert found.scores.abstained == "no_evidence"
    assert found.value == pytest.approx(1 / len(EMOTIONS), abs=1e-12)


def test_what_is_no_emotion_and_no_risk_is_refused() -> None:
    with pytest.raises(ValueError, match="'joy' is neither of neutral"):
        attribute(MODEL, WINDOW, "joy")
    with pytest.raises(ValueError, match="'joy' is neither"):
        direction("joy")


def test_cyclic_orders_give_shapley_values_where_contributions_add_up_and_share_everything_where_they_do_not() -> None:
    alone = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    added = cyclic_coalitions(4).double() @ alone[:, None] + 7
    torch.testing.assert_close(cyclic_shapley_values(added, 4)[:, 0], alone)
    torch.testing.assert_close(shapley_values(coalitions(4).double() @ alone[:, None])[:, 0], alone)
    tangled = (cyclic_coalitions(4).double() @ alone[:, None]).exp()
    torch.testing.assert_close(cyclic_shapley_values(tangled, 4).sum(dim=0), tangled[-1] - tangled[0])
    with pytest.raises(ValueError, match="4 players have 14 cyclic coalitions"):
        cyclic_shapley_values(tangled[:5], 4)


class Planted(nn.Module):
    """A line's vector: how many of its tokens there are, and how many of them are those of one word."""

    width = 2

    def __init__(self, planted: Sequence[int]) -> None:
        super().__init__()
        self.planted = torch.tensor(planted)

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.ones(len(token_ids)), torch.isin(token_ids, self.planted).float()], dim=1)

    def mean_embedding(self) -> torch.Tensor:
        return torch.tensor([1.0, 0.0])

    def forward(self, sentences: Sequence[Sequence[int]], embedded: torch.Tensor | None = None) -> torch.Tensor:
        if embedded is None:
            embedded = self.embed(torch.tensor([i for ids in sentences for i in ids]))
        return torch.stack([each.sum(dim=0) for each in torch.split(embedded, [len(ids) for ids in sentences])])


@pytest.fixture(scope="module")
def tokenizer() -> UnigramTokenizer:
    return TOKENIZER


def test_a_planted_word_gets_the_largest_share_and_all_shares_add_up(tokenizer: UnigramTokenizer) -> None:
    line = "Today I am furious, no: very furious with you."
    ids, spans = tokenizer.ids(line), tokenizer.spans(line)
    at = line.index("furious")
    planted = [i for i, (start, end) in zip(ids, spans, strict=True) if at <= start < end <= at + len("furious")]
    assert planted
    torch.manual_seed(1)
    network = TextNetwork(Planted(planted))
    with torch.no_grad():
        network.emotion.weight[EMOTIONS.index("anger")] = network.hidden.weight[:, 1].relu()
    found = attribute_line(TextEncoder(Reader(network, tokenizer)), line, "anger")
    told = {line[word.start : word.end]: word.evidence for word in found.words if word.evidence > 0.01}
    assert set(told) == {"furious"}
    said = math.fsum(word.evidence for word in found.words)
    assert said == pytest.approx(found.evidence - found.baseline, abs=word_attribution.TOLERANCE * max(1, abs(said)))
    assert found.error == pytest.approx(said - (found.evidence - found.baseline), abs=1e-6)


@pytest.mark.parametrize(
    "line", ["I hate this!", "我很难过,一直在哭。", "ok", "All is well here. I ha\u200bte this 😡! Я не хочу жить."]
)
def test_words_of_an_untrained_network_add_up_to_its_logit(line: str, tokenizer: UnigramTokenizer) -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(untrained_reader())
    found = attribute_line(encoder, line, "distress")
    assert found.evidence == pytest.approx(float(encoder.encode([encoder.prepare(line)]).embedding[0, 7]), abs=1e-4)
    difference = found.evidence - found.baseline
    assert abs(found.error) <= word_attribution.TOLERANCE * max(1.0, abs(difference))
    assert "".join(line[w.start : w.end] for w in found.words) == line.replace(" ", "")


def test_a_network_without_embeddings_is_refused(tokenizer: UnigramTokenizer) -> None:
    class Opaque(nn.Module):
        width = 2

        def forward(self, sentences: Sequence[Sequence[int]]) -> torch.Tensor:
            return torch.ones(len(sentences), 2)

    encoder = TextEncoder(Reader(TextNetwork(Opaque()), tokenizer))
    with pytest.raises(TypeError, match="a Opaque exposes no token embeddings"):
        attribute_line(encoder, "hello", "fear")
    model = AffectModel(plain_manifest(), {"text": encoder}, torch.device("cpu"))
    hello = WindowEvent(0, 0, encoder.encode([encoder.prepare("hello")]), "hello")
    (share,) = attribute(model, {"text": [hello]}).modality["text"].events
    assert share.words is None


TEXTS = [
    "",
    "  two  words ",
    "ﬁne ① ａｂ!",
    "e\u0301te\u0301",
    "\ud83d alone",
    "😂😂 lol",
    "太好了!我真的",
    "x" * 5000,
    "the " * 3000,
]


@pytest.mark.parametrize("text", TEXTS)
def test_every_token_has_its_place_in_the_line(text: str, tokenizer: UnigramTokenizer) -> None:
    pieces = WordPieceTokenizer(["[CLS]", "[SEP]", "[UNK]", "the", "two", "fine", "words", "!"])
    for each in (tokenizer, pieces):
        spans = each.spans(text)
        assert len(spans) == len(each.ids(text)) <= MAX_TOKENS
        assert all(0 <= start <= end <= len(text) for start, end in spans)
        assert spans == sorted(spans)
        words_found = word_spans(text, spans)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(words_found))


def test_tokens_lie_over_the_letters_that_they_spell(tokenizer: UnigramTokenizer) -> None:
    line = "  I don't  like ﬁsh, 一直在哭"
    spelled = [line[start:end].strip() for start, end in tokenizer.spans(line)]
    assert "".join(spelled) == line.replace(" ", "")
    assert "ﬁsh" in spelled or "ﬁ" in spelled


def test_words_are_what_no_token_straddles() -> None:
    line = "don't, 一直在哭"
    assert word_spans(line, [(0, 3), (3, 5), (5, 6), (7, 9), (9, 10), (10, 11)]) == [
        (0, 5),
        (5, 6),
        (7, 9),
        (9, 10),
        (10, 11),
    ]


def test_where_two_networks_read_parts_of_a_line_their_words_are_weighed_as_their_answers_are() -> None:
    torch.manual_seed(0)
    vocabulary = ["[CLS]", "[SEP]", "[UNK]", *["i", "am", "so", "sad", "and", "alone", "today", "."]]
    size = TransformerSize(layers=1, hidden=32, heads=4, feed_forward=64)
    english = TextNetwork(Transformer(torch.randn(len(vocabulary), 32), vocabulary.index("[SEP]"), size))
    encoder = TextEncoder(untrained_reader(), english=Reader(english, WordPieceTokenizer(vocabulary)))
    line = ChatLine("I am so sad and alone today. 我今天很难过。", ("I am so so so sad",))
    inputs = encoder.network_inputs(line)
    torch.testing.assert_close(sum(each.share for each in inputs), torch.ones(10))
    assert len({id(each.network) for each in inputs}) == 2
    found = attribute_line(encoder, line, "abuse")
    assert found.evidence == pytest.approx(float(encoder.encode([encoder.prepare(line)]).embedding[0, 9]), abs=1e-4)
    assert abs(found.error) <= word_attribution.TOLERANCE * max(1.0, abs(found.evidence - found.baseline))
    assert "".join(line.text[word.start : word.end] for word in found.words) == line.text.replace(" ", "")
