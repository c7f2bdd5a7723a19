"""Text normalisation before tokenizing: what looks alike is read alike.

Chat hides words from a tokenizer, on purpose or not: zero-width characters inside them, letters of other alphabets that
look alike, styled or full-width letters, letters set apart by spaces or stretched, and emoji, which hardly any
vocabulary has. The rule: each step is a pattern and what replaces it, and every character of the result knows the
characters of the line behind it, so that words are explained in the line as it was written. Training, the service,
evaluation and explanation read alike, because the tokenizers do this themselves.

The steps, in order: emoji become their short English names (CLDR); control, default-ignorable and private characters
are dropped; characters take their compatibility form (NFKC) where that is a form of the same letter; look-alike letters
become those of the word's own script (Unicode TS 39, the few that chat uses); spelt-out words are joined; runs of one
letter become two, of one sign three. Left out: case, which tokenizers fold where they do; spelling; digits for letters.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import emoji

_EMOJI = re.compile(
    "[©®\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\U0001f000-\U0001fbff]"
)
_SKIN_TONE = re.compile(r"_(?:medium-)?(?:light|medium|dark)_skin_tone")

_SMALL_CAPITALS = dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnopqrstuvwyz", strict=True))
_BOXED = {chr(first + i): chr(ord("A") + i) for first in (0x1F150, 0x1F170, 0x1F1E6) for i in range(26)}
_LETTERS = {**_SMALL_CAPITALS, **_BOXED}
"""Letters in styles that have no compatibility form."""

_SPACES = "\t-\r\x1c-\x1f\x85\u2028\u2029\u2800\ufff9-\ufffd\ue000-\uf8ff"  # controls, blanks, no character at all
_IGNORED = (  # Unicode's Default_Ignorable_Code_Point, other controls, surrogates, Arabic stretching
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u0600-\u0605\u061c\u0640\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff\U000f0000-\U0010ffff"
)
_ODD = re.compile(f"[{_SPACES}]|[{_IGNORED}]|[{''.join(_LETTERS)}]")
_SPACE = re.compile(f"[{_SPACES}]")

_STRAY = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"  # accents, strokes through letters
_CLUSTER = re.compile(
    "[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?"  # a syllable of Hangul
    f"|[^\\W\u3131-\u318e\u0e33\u0eb3][{_STRAY}\u0653-\u0655\u3099\u309a\uff9e\uff9f]+"
    "|[^\x00-\x7f\u3131-\u318e\u0e33\u0eb3]"  # letters of Korean and Thai that NFKC takes apart stay
)
_STRAYS = re.compile(f"[{_STRAY}]+")
_APOSTROPHE = re.compile(r"(?<=\w)[’‘ʼʹ´`′＇](?=\w)")

_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile(r"[A-Za-z]")
_OTHER_SCRIPT = re.compile("[\u0370-\u03ff\u0400-\u052f]")
_SAME = str.maketrans("аеорсхуіјѕһԁԛԝАВЕКМНОРСТХУІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "aeopcxyijshdqwABEKMHOPCTXYIJSABEZHIKMNOPTYXo")
_ALIKE = {**_SAME, **str.maketrans("кмтнαεικνρτυχγ", "kmtnaeikvptuxy")}
"""Cyrillic and Greek letters that look like Latin ones, the latter also where only a neighbour tells."""
_BACK = str.maketrans("aeopcxyijsABEKMHOPCTXYIJSk", "аеорсхуіјѕАВЕКМНОРСТХУІЈЅк")

_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_SPELT = re.compile(
    r"(?<!\w)[^\W\d_](?:([.\-*|·~])[^\W\d_])(?:\1[^\W\d_])+(?!\w)"
    r"|(?<!\S)[^\W\d_](?: [^\W\d_]){3,}(?!\w)"
    rf"|(?<!\w)[{_HAN}](?: [{_HAN}]){{2,}}(?!\w)|(?<=[{_HAN}])[*|_]+(?=[{_HAN}])"
)
_NO_LETTER = re.compile(r"[\W_]+")
_RUN = re.compile(r"([^\W\d_])\1{2,}|([^\w\s]|_)\2{3,}")
_SPACE_RUN = re.compile(r"\s{2,}")


@dataclass(frozen=True, slots=True)
class Normalised:
    """A line as tokenizers read it.

    origin: of each character of `text`, the characters [start, end) of the line as it was written.
    """

    text: str
    origin: list[tuple[int, int]]


def normalised(text: str) -> Normalised:
    """Normalises any text at all.

    Takes time linear in its length. The result may be empty, or some tens of times longer.
    """
    line = Normalised(text, [(i, i + 1) for i in range(len(text))])
    if not text.isascii():
        line = _edited(line, _emoji_names(text))
    line = _replaced(line, _ODD, _plain_character)
    if not line.text.isascii():
        if _STRAYS.search(line.text) or not unicodedata.is_normalized("NFKC", line.text):
            line = _replaced(line, _CLUSTER, lambda match: _compatible(match[0]))
        line = _replaced(line, _APOSTROPHE, lambda match: "'")
        if _OTHER_SCRIPT.search(line.text) and _LATIN.search(line.text):
            line = _edited(line, _words_of_one_script(line.text))
    line = _replaced(line, _SPELT, _joined)
    line = _replaced(line, _RUN, _short_run)
    return _replaced(line, _SPACE_RUN, lambda match: " ")


def without_emoji(text: str) -> str:
    """The line with a space in place of each emoji."""
    return emoji.replace_emoji(text, " ") if _EMOJI.search(text) else text


def _replaced(line: Normalised, pattern: re.Pattern[str], replacement: Callable[[re.Match[str]], str]) -> Normalised:
    return _edited(line, ((*match.span(), replacement(match)) for match in pattern.finditer(line.text)))


def _edited(line: Normalised, edits: Iterable[tuple[int, int, str]]) -> Normalised:
    """Replaces spans, which are in order, by new text.

    Where the length changes, each new character comes of the whole span.
    """
    parts: list[str] = []
    origin: list[tuple[int, int]] = []
    at = 0
    for start, end, new in edits:
        behind = line.origin[start:end]
        parts += line.text[at:start], new
        origin += line.origin[at:start]
        origin += behind if len(new) == len(behind) else [(behind[0][0], behind[-1][1])] * len(new)
        at = end
    if not at:
        return line
    return Normalised("".join([*parts, line.text[at:]]), origin + line.origin[at:])


def _emoji_names(text: str) -> Iterator[tuple[int, int, str]]:
    """Edits that name each emoji, once where it is repeated."""
    last, last_end = "", 0
    for found in emoji.emoji_list(text) if _EMOJI.search(text) else ():
        start, end, name = found["match_start"], found["match_end"], _name(found["emoji"])
        if name and name == last and not text[last_end:start].strip():
            yield last_end, end, ""
        elif name:
            yield start, end, f" {name} "
        last, last_end = name, end


@lru_cache(maxsize=8192)
def _name(character: str) -> str:
    """An emoji's name in words; empty for letters and signs."""
    plain = character.replace("\ufe0f", "")
    if plain in _LETTERS or plain[0].isascii() or not unicodedata.is_normalized("NFKC", plain):
        return ""
    name = _SKIN_TONE.sub("", emoji.demojize(character, delimiters=("", "")))
    return name.replace("_", " ")


def _plain_character(match: re.Match[str]) -> str:
    character = match[0]
    return _LETTERS.get(character) or (" " if _SPACE.match(character) else "")


@lru_cache(maxsize=65536)
def _compatible(cluster: str) -> str:
    """NFKC of a character with its marks, without stray marks."""
    form = unicodedata.normalize("NFKC", cluster)
    if form[:1] == " " and not cluster.isspace():  # a lone accent, which would become a space and a mark
        form = cluster
    return _STRAYS.sub("", form)


def _words_of_one_script(text: str) -> Iterator[tuple[int, int, str]]:
    """Edits that bring words of mixed script to one."""
    words = [match for match in _WORD.finditer(text) if _OTHER_SCRIPT.search(match[0])]
    single = [match[0] for match in words if not _LATIN.search(match[0])]
    latin_line = not any(_OTHER_SCRIPT.search(word.translate(_SAME)) for word in single)
    for match in words:
        word, others = match[0], len(_OTHER_SCRIPT.findall(match[0]))
        if others == len(word):
            new = word.translate(_SAME) if latin_line else word
        else:
            latin, back = word.translate(_ALIKE), word.translate(_BACK)
            fits = [form for form, rest in ((latin, _OTHER_SCRIPT), (back, _LATIN)) if not rest.search(form)]
            new = (fits or [word])[-1 if others > len(word) / 2 else 0]
        yield *match.span(), new


def _joined(match: re.Match[str]) -> str:
    letters = _NO_LETTER.sub("", match[0])
    return letters if len(set(letters)) > 1 else letters[:1]  # a stammer


def _short_run(match: re.Match[str]) -> str:
    letter, sign = match.groups()
    if letter is None:
        return sign * 3
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    alone = len(match[0]) == 3 and not after.isalpha()
    if alone and letter.isupper() and (before in "VXI" or not before.isalpha()):  # III, VIII, AAA
        return match[0]
    return match[0] if alone and letter == "w" and after == "." else letter * 2
