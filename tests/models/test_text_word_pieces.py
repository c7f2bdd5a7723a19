"""English lines become BERT's word pieces; any text at all is taken, and context goes behind the line."""

import pytest

from models.text.pieces import CONTEXT_TOKENS
from models.text.word_pieces import MAX_TOKENS, WordPieceTokenizer

pytestmark = pytest.mark.unit

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "##s", "sat", "[", "sep", "]", "!", "a"]
TOKENIZER = WordPieceTokenizer(VOCABULARY)


def pieces(ids: list[int]) -> list[str]:
    return [VOCABULARY[i] for i in ids]


def test_words_are_cut_into_known_pieces() -> None:
    assert pieces(TOKENIZER.ids("The CATS sat!")) == ["[CLS]", "the", "cat", "##s", "sat", "!", "[SEP]"]
    assert pieces(TOKENIZER.ids("dog")) == ["[CLS]", "[UNK]", "[SEP]"]


def test_a_line_that_spells_a_mark_is_text() -> None:
    assert pieces(TOKENIZER.ids("a [SEP]")) == ["[CLS]", "a", "[", "sep", "]", "[SEP]"]


def test_the_nearest_line_before_comes_first_and_what_is_furthest_is_cut() -> None:
    assert pieces(TOKENIZER.context(["the cat", "sat"])) == ["sat", "[SEP]", "the", "cat", "[SEP]"]
    assert pieces(TOKENIZER.context(["the " * 100, "sat"]))[:4] == ["sat", "[SEP]", "the", "the"]
    assert len(TOKENIZER.context(["the " * 100, "sat"])) == CONTEXT_TOKENS
    assert TOKENIZER.context([]) == []


@pytest.mark.parametrize(
    "text", ["", " \t\n", "\x00\x1b[31m", "\ud83d alone", "😂" * 3000, "我" * 3500, "x" * 10_000, "the " * 5000]
)
def test_any_text_becomes_a_bounded_number_of_tokens(text: str) -> None:
    ids = TOKENIZER.ids(text)
    assert 2 <= len(ids) <= MAX_TOKENS
    assert pieces(ids)[0] == "[CLS]"
    assert pieces(ids).index("[SEP]") == len(ids) - 1


def test_a_vocabulary_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lacks \[CLS\], \[UNK\]"):
        WordPieceTokenizer(["[SEP]", "the"])
