"""Lines of any language are cut into pieces that follow them, whatever is written."""

import pytest

from models.text.pieces import CONTEXT_TOKENS
from models.text.unigram_pieces import MARKS, MAX_TOKENS, UnigramTokenizer
from tests.models.unigram import PIECES, TOKENIZER

pytestmark = pytest.mark.unit


def spelt(text: str) -> list[str]:
    return [PIECES[piece] for piece in TOKENIZER.ids(text)[1:-1]]


def test_a_line_is_cut_into_its_likeliest_pieces() -> None:
    assert spelt("i am so sad") == ["▁i", "▁am", "▁so", "▁sad"]
    assert spelt("我很难过") == ["▁", "我", "很", "难过"]


def test_what_no_piece_spells_is_one_unknown_token() -> None:
    assert spelt("i ᚠᚢᚦ am") == ["▁i", "▁", "<unk>", "▁am"]


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
def test_any_text_becomes_a_bounded_number_of_tokens_each_with_its_place(text: str) -> None:
    ids, spans = TOKENIZER.ids(text), TOKENIZER.spans(text)
    assert 2 <= len(ids) == len(spans) <= MAX_TOKENS
    assert (ids[0], ids[-1]) == (MARKS.index("<s>"), TOKENIZER.separator)
    assert all(0 <= start <= end <= len(text) for start, end in spans)


def test_a_long_line_keeps_its_beginning() -> None:
    whole, longer = (TOKENIZER.ids("I am so sad every day. " * times) for times in (5, 2000))
    assert longer[:20] == whole[:20]
    assert len(longer) == MAX_TOKENS


def test_the_lines_before_follow_nearest_first_and_the_furthest_is_cut() -> None:
    near, far = TOKENIZER.ids("so sad")[1:], TOKENIZER.ids("i am happy")[1:]
    assert TOKENIZER.context(["i am happy", "so sad"]) == [*near, *far]
    assert TOKENIZER.context([]) == []
    assert len(TOKENIZER.context(["i am happy " * 100])) == CONTEXT_TOKENS


def test_a_vocabulary_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="does not begin with its marks"):
        UnigramTokenizer(["a", "b"], [-1.0, -1.0])
