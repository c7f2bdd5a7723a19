"""The recurrent text network learns its own words, ignores padding, and trains by the loop that the others train by."""

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from models.data.corpora.text import TextSample
from models.text.component import build_text_encoder, pack_recurrent
from models.text.encoder import ChatLine
from models.text.network import LineEncoder, TextNetwork
from models.text.reader import Reader
from models.text.recurrent import (
    RecurrentEncoder,
    RecurrentSize,
    SingleLineTokenizer,
    learn_vocabulary,
    start_recurrent,
)
from models.training.loop.fit import FitConfig, fit
from models.training.text.augment import in_another_case, misspelt, with_typos
from models.training.text.batches import TextMix, rows_of
from models.training.text.loss import joint_loss
from models.training.text.recipes import RECIPES, SHIPPED
from models.training.text.train import score
from tests.models.unigram import untrained_reader

pytestmark = pytest.mark.unit

HAPPY = (0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
ANGRY = (0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0)
LINES = [
    f"{word} {mood} day {n % 7}" for n in range(40) for word, mood in (("what a", "lovely"), ("such a", "dreadful"))
]
SIZE = RecurrentSize(words=16, hidden=12, dropout=0.1)


@pytest.fixture(scope="module")
def tokenizer() -> SingleLineTokenizer:
    return SingleLineTokenizer(learn_vocabulary(LINES))


@pytest.fixture
def encoder() -> RecurrentEncoder:
    torch.manual_seed(0)
    return RecurrentEncoder(learn_vocabulary(LINES), SIZE).eval()


def test_a_line_in_a_batch_is_read_as_the_line_alone(encoder: RecurrentEncoder, tokenizer: SingleLineTokenizer) -> None:
    protocol: LineEncoder = encoder
    lines = [tokenizer.ids(text) for text in ("lovely", "what a lovely day " * 20, "", "such a dreadful day")]
    together = protocol(lines)
    assert together.shape == (4, encoder.width)
    torch.testing.assert_close(together, torch.cat([encoder([line]) for line in lines]), atol=1e-5, rtol=0)


def test_words_may_be_given_as_vectors(encoder: RecurrentEncoder, tokenizer: SingleLineTokenizer) -> None:
    lines = [tokenizer.ids(text) for text in ("lovely", "such a dreadful day")]
    vectors = encoder.embed(torch.tensor([token for line in lines for token in line]))
    torch.testing.assert_close(encoder(lines, vectors), encoder(lines))
    assert not torch.allclose(encoder(lines, encoder.mean_embedding().expand_as(vectors)), encoder(lines), atol=1e-3)


def test_a_batch_of_nothing_is_refused(encoder: RecurrentEncoder) -> None:
    for lines in ([], [[1, 2], []]):
        with pytest.raises(ValueError, match="at least one"):
            encoder(lines)


def test_gradients_reach_every_parameter(encoder: RecurrentEncoder, tokenizer: SingleLineTokenizer) -> None:
    network = TextNetwork(encoder, dropout=0.1).train()
    emotion, risk = network([tokenizer.ids(line) for line in LINES[:4]])
    (emotion.sum() + risk.sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


def test_the_vocabulary_is_the_same_for_the_same_lines_and_spells_words_it_never_met() -> None:
    vocabulary = learn_vocabulary(LINES)
    assert vocabulary == learn_vocabulary(LINES)
    assert len(set(vocabulary)) == len(vocabulary)
    assert "dreadful" in vocabulary
    assert "dreadful" not in learn_vocabulary(LINES, words=2)
    tokenizer = SingleLineTokenizer(vocabulary)
    unknown = vocabulary.index("[UNK]")
    assert unknown not in tokenizer.ids("Lovely dreadful")
    assert unknown not in tokenizer.ids("lovedy")  # of letters that were met
    assert tokenizer.ids("что 今天")[1:-1] == [unknown] * 3
    assert tokenizer.ids("\ud800 \x00") is not None


def test_lines_before_are_not_read(tokenizer: SingleLineTokenizer) -> None:
    assert tokenizer.context(["what a day"]) == []


def test_it_learns_by_the_common_loop_and_comes_back_from_its_tensors() -> None:
    samples = [TextSample(str(n), "en", text, str(n), ANGRY if n % 2 else HAPPY) for n, text in enumerate(LINES)]
    risks = [TextSample(str(n), "en", text, str(n), None, (None, None, n % 2)) for n, text in enumerate(LINES)]
    torch.manual_seed(0)
    tokenizer, _ = start_recurrent(LINES)
    encoder = RecurrentEncoder(learn_vocabulary(LINES), SIZE)
    rows = {"goemotions": rows_of("goemotions", samples, tokenizer), "cold": rows_of("cold", risks, tokenizer)}
    priors = {name: corpus.log_prior for name, corpus in rows.items()}
    mix = TextMix(rows, dict.fromkeys(rows, 64), batch_rows=16)
    network = TextNetwork(encoder, corpora=list(rows))
    result = fit(
        network,
        mix.batches,
        joint_loss,
        lambda net: score(net, rows, priors),
        FitConfig(epochs=6, steps_per_epoch=mix.steps_per_epoch, metric="score", learning_rate=1e-2),
    )
    assert result.best["goemotions/uar"] > 0.95
    assert result.best["cold/abuse"] > 0.95
    again = TextNetwork(RecurrentEncoder(encoder.vocabulary, SIZE), corpora=list(rows)).eval()
    again.load_state_dict(load(save(network.state_dict())))
    for ours, theirs in zip(network(rows["cold"].ids[:5]), again(rows["cold"].ids[:5]), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_it_may_be_the_text_part_of_a_model() -> None:
    torch.manual_seed(0)
    tokenizer, encoder = start_recurrent(LINES)
    network = TextNetwork(encoder).eval()
    part = build_text_encoder(pack_recurrent(Reader(network, tokenizer)), torch.device("cpu"))
    lines = ["what a lovely day", "今天", ""]
    read = part.encode([part.prepare(line) for line in lines]).embedding
    torch.testing.assert_close(read, torch.cat(network([tokenizer.ids(line) for line in lines]), 1), atol=0.02, rtol=0)
    after = part.encode([part.prepare(ChatLine(lines[0], ("such a dreadful day",)))]).embedding
    torch.testing.assert_close(after, read[:1], atol=1e-5, rtol=0)
    with pytest.raises(TypeError):
        pack_recurrent(untrained_reader())


def test_it_is_a_choice_that_is_not_shipped() -> None:
    assert set(SHIPPED) < set(RECIPES)
    assert "recurrent" in set(RECIPES) - set(SHIPPED)


def test_typos_change_letters_alone_and_few_of_them() -> None:
    rng = np.random.default_rng(0)
    text = "what a lovely day, 1234 5678! " * 20
    changed = with_typos(text, 0.1, rng)
    assert changed != text
    assert abs(len(changed) - len(text)) < 0.1 * len(text)
    assert [letter for letter in changed if letter.isdigit()] == [letter for letter in text if letter.isdigit()]
    assert with_typos(text, 0.0, rng) == text
    assert with_typos("a", 1.0, rng)
    assert {in_another_case("Oh No", rng) for _ in range(20)} == {"OH NO", "oh no"}


def test_only_the_share_asked_for_is_misspelt() -> None:
    samples = [
        TextSample(str(n), "en", "a line of quite a few letters, all of them right", str(n), None) for n in range(400)
    ]
    assert misspelt(samples, 0.0) == samples
    changed = misspelt(samples, 0.5, seed=1)
    assert changed == misspelt(samples, 0.5, seed=1)
    assert 120 < sum(one.text != other.text for one, other in zip(samples, changed, strict=True)) < 240
