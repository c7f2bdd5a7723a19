"""What looks the same is tokenized the same, and what was read is found again in the line as it was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text.language import EnglishDetector
from models.text.normalisation import normalised
from models.text.readings import LineTokenizer
from models.text.word_pieces import WordPieceTokenizer
from tests.models.unigram import TOKENIZER

pytestmark = pytest.mark.unit


def read(text: str) -> str:
    return " ".join(normalised(text).text.split())


@pytest.mark.parametrize(
    ("written", "as_read"),
    [
        ("su\u200bici\u00adde", "suicide"),  # a zero-width space, a soft hyphen
        ("\u202ekill\u202c \ufeffme\U000e0041", "kill me"),  # bidirectional marks, a byte order mark, a tag
        ("I\x00'm\x07 done\x1b[31m", "I'm done[31m"),
        ("line one\nline\ttwo\u2028three", "line one line two three"),
        ("\ud83d alone\ufffd", "alone"),
        ("I\u0336 \u0336a\u0336m \u0336f\u0336i\u0336n\u0336e", "I am fine"),  # struck through
        ("d\u0301\u0302\u0303\u0304i\u0305\u0306e\u0307\u0308\u0309", "diė"),  # accents heaped up
        ("منـــتحر", "منتحر"),  # stretched by tatweel
    ],
)
def test_characters_that_nobody_sees_are_dropped(written: str, as_read: str) -> None:
    assert read(written) == as_read


@pytest.mark.parametrize(
    ("written", "as_read"),
    [
        ("Ｋｉｌｌ　ｍｅ！", "Kill me!"),
        ("𝐈 𝔴𝔞𝔫𝔱 𝘵𝘰 𝒅𝒊𝒆", "I want to die"),
        ("ɪ ᴡᴀɴᴛ ᴛᴏ ᴅɪᴇ", "ɪ want to die".replace("ɪ", "i")),
        ("🅺🅸🅻🅻 ⓜⓔ", "KILL me"),
        ("ｼﾆﾀｲ ｶﾞ", "シニタイ ガ"),
        ("e\u0301te\u0301 и\u0306", "été й"),
        ("don’t, can´t, l`amore", "don't, can't, l'amore"),
        ("well… ﬁne", "well... fine"),
    ],
)
def test_styled_letters_are_the_letters_they_show(written: str, as_read: str) -> None:
    assert read(written) == as_read


@pytest.mark.parametrize("text", ["죽고 싶어 ㅠㅠ", "น้ำตา", "x² < 10", "“so”", "año, façade, Łódź, ağız, ёж", "ضُحى"])
def test_what_means_something_stays(text: str) -> None:
    assert read(text).replace("x2", "x²") == text


@pytest.mark.parametrize(
    ("written", "as_read"),
    [
        ("I wаnt tо dіе", "I want to die"),  # Cyrillic а, о, і, е
        ("і want tο die", "i want to die"),  # a word of one such letter alone, and a Greek ο
        ("привeт, мoй дрyг", "привет, мой друг"),  # Latin e, o, y
        ("он сказал ok", "он сказал ok"),
        ("love you мама", "love you мама"),
        ("10 μm, Δt", "10 μm, Δt"),
    ],
)
def test_letters_of_another_script_inside_a_word_are_those_they_look_like(written: str, as_read: str) -> None:
    assert read(written) == as_read


@pytest.mark.parametrize(
    ("written", "as_read"),
    [
        ("k.y.s", "kys"),
        ("k i l l  m-y-s-e-l-f", "kill myself"),
        ("我 想 自 杀", "我想自杀"),
        ("我要自*杀", "我要自杀"),
        ("il y a à boire", "il y a à boire"),
        ("I-I-I can't", "I can't"),
        ("好的 谢谢", "好的 谢谢"),
    ],
)
def test_spelt_out_words_are_joined(written: str, as_read: str) -> None:
    assert read(written) == as_read


@pytest.mark.parametrize(
    ("written", "as_read"),
    [
        ("noooooo!!!!!!!", "noo!!!"),
        ("哈哈哈哈哈", "哈哈"),
        ("World War III, Louis XVIII", "World War III, Louis XVIII"),
        ("www.example.org", "www.example.org"),
        ("233333 10000", "233333 10000"),
        ("......", "..."),
    ],
)
def test_stretched_letters_are_shortened_and_numbers_are_not(written: str, as_read: str) -> None:
    assert read(written) == as_read


@pytest.mark.parametrize(
    ("written", "as_read"),
    [
        ("😂", "face with tears of joy"),
        ("so sad😭😭😭😭", "so sad loudly crying face"),
        ("❤ ❤️", "red heart"),
        ("👍🏽👍🏿", "thumbs up"),
        ("👨‍👩‍👧 in 🇫🇷", "family man woman girl in France"),
        ("1️⃣ ‼️ ™", "1 !! TM"),
        ("我好难过😢", "我好难过 crying face"),
    ],
)
def test_emoji_are_read_by_their_names(written: str, as_read: str) -> None:
    assert read(written) == as_read


@given(st.text(max_size=60) | st.text(alphabet="aаі ️‍😂🏽ﷺéﾞ\u0301.-I'我\ud800\u200b", max_size=60))
def test_any_text_is_read_and_every_character_comes_from_a_place_in_it(text: str) -> None:
    line = normalised(text)
    assert len(line.origin) == len(line.text)
    assert all(0 <= start < end <= len(text) for start, end in line.origin)
    assert line.origin == sorted(line.origin)
    line.text.encode()


def test_a_name_comes_from_its_emoji_and_a_word_from_its_letters() -> None:
    text = "I’m sui\u200bcidal 😭"
    line = normalised(text)
    at = line.text.index("suicidal")
    assert text[line.origin[at][0] : line.origin[at + 7][1]] == "sui\u200bcidal"
    crying = line.text.index("crying")
    assert text[slice(*line.origin[crying])] == "😭"


LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = WordPieceTokenizer(["[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS)])


@pytest.mark.parametrize("tokenizer", [TOKENIZER, PIECES], ids=["many languages", "English"])
def test_both_tokenizers_read_the_normalised_line(tokenizer: LineTokenizer) -> None:
    assert tokenizer.ids("I want to d\u200bіе") == tokenizer.ids("I want to die")
    assert tokenizer.ids("so sad😭") == tokenizer.ids("so sad loudly crying face")
    text = "so su\u200bch 😭"
    found = {text[start:end].strip() for start, end in tokenizer.spans(text)}
    assert "😭" in found
    assert max(end for _, end in tokenizer.spans(text)) == len(text)


def test_emoji_do_not_change_the_language_of_a_line() -> None:
    detector = EnglishDetector()
    assert not detector.is_english("我好难过😭😭😭")
    assert not detector.is_english("ich bin so traurig 😭😭💔")
    assert detector.is_english("😂😂😂")  # it is read by its English name
