"""A line of chat falls into its sentences, in scripts with spaces and without, and nothing of it is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text.readings import MOST_STRETCHES, line_spans
from models.text.sentences import sentences
from models.text.word_pieces import WordPieceTokenizer
from tests.models.unigram import TOKENIZER

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "pieces",
    [
        ["I'm fine.", "I want to die"],
        ["Mr. Smith said e.g. that.", "then he left at 3.30 p.m. or so"],
        ["What a day!!!", "Are you there?", "please answer"],
        ['He said "leave me alone."', "And so I did."],
        ["I can't do this anymore...", "goodbye everyone"],
        ["so tired 😂😂", "i want to sleep all day"],
        ["that was funny lol", "see you all tomorrow"],
        ["first line of it", "second line of it"],
        ["¿Qué tal estás?", "¡Quiero morir!"],
        ["كيف حالك؟", "أريد أن أموت."],
        ["Сегодня хорошая погода.", "Я не хочу жить."],
        ["오늘 날씨가 좋아요.", "죽고 싶어."],
    ],
)
def test_sentences_end_at_marks_emoji_laughter_and_line_breaks(pieces: list[str]) -> None:
    text = ("\n" if pieces[0].startswith("first") else " ").join(pieces)
    assert [text[start:end] for start, end in sentences(text)] == pieces


@pytest.mark.parametrize(
    "pieces",
    [
        ["but honestly", "我真的不想活了,", "I want to die"],
        ["我今天真的", "want to die"],
        ["老板说 deadline 是周五"],
        ["今天用iPhone拍照"],
    ],
)
def test_a_sentence_ends_where_the_script_changes_for_more_than_a_word(pieces: list[str]) -> None:
    text = " ".join(pieces)
    assert [text[start:end] for start, end in sentences(text)] == pieces


@pytest.mark.parametrize(
    "pieces",
    [
        ["今天天气很好。", "我吃了火锅！", "我今晚要自杀"],
        ["今日は疲れた…", "死にたい。", "ごめんね？"],
        ["好吧...", "再见了"],
    ],
)
def test_scripts_without_spaces_need_none(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert [text[start:end] for start, end in sentences(text)] == pieces


@pytest.mark.parametrize(
    "text",
    ["i want to die lol", "ok. ok. ok.", "I love you ❤️", "I don't 🙅 want to", "v1. 2 apples", "see node.js", "好。"],
)
def test_what_says_nothing_by_itself_joins_its_neighbour(text: str) -> None:
    assert sentences(text) == [(0, len(text))]


def test_a_long_sentence_ends_at_commas_and_a_short_one_does_not() -> None:
    assert len(sentences("如果我走了，你会难过吗")) == 1
    assert len(sentences("今天先去了超市买菜，然后回家做了一顿很好吃的饭，" * 4)) == 8
    assert len(sentences("I went to the shop, bought some bread, and then " * 5)) == 10


@given(st.text(max_size=200) | st.text(alphabet="ab .!?,\n😂我。，l", max_size=200))
def test_sentences_cover_all_but_spaces_in_order(text: str) -> None:
    spans = sentences(text)
    at = 0
    for start, end in spans:
        assert at <= start < end
        assert not text[at:start].strip()
        assert text[start:end] == text[start:end].strip()
        at = end
    assert not text[at:].strip()


PIECES = WordPieceTokenizer(["[UNK]", "[CLS]", "[SEP]", "word", "so", "."])
MANY = TOKENIZER


def test_a_line_of_one_sentence_is_read_once() -> None:
    assert line_spans("a word or two", [MANY, PIECES]) == line_spans("a word or two", [PIECES])
    found = line_spans("a word or two", [MANY])
    assert (found.stretches, found.sentences, found.read) == ([(0, 13)], [], 13)


def test_a_long_line_is_read_in_stretches_that_overlap_and_begin_at_words() -> None:
    text = "so many words and so on " * 60
    found = line_spans(text, [MANY, PIECES])
    assert found.read == len(text)
    assert len(found.stretches) > 1
    for (_, end), (start, _) in zip(found.stretches, found.stretches[1:], strict=False):
        assert start < end
        assert text[start - 1] == " "
    for tokenizer in (MANY, PIECES):
        assert all(len(tokenizer.ids(text[start:end])) <= tokenizer.most_tokens for start, end in found.stretches)


@pytest.mark.parametrize(
    "text", ["", " ", "x" * 9000, "😂😭" * 500, "我" * 9000, "word. " * 9000, ". " * 9000, "\u200b" * 9000]
)
def test_whatever_is_written_what_is_read_is_bounded_and_counted(text: str) -> None:
    found = line_spans(text, [MANY, PIECES])
    assert 1 <= len(found.stretches) <= MOST_STRETCHES
    assert found.stretches[0][0] == 0
    assert found.read == found.stretches[-1][1] <= len(text)
    assert len(found.sentences) < 100
    assert all(end <= found.read for _, end in found.sentences)
    if len(found.stretches) < MOST_STRETCHES:
        assert found.read == len(text)
