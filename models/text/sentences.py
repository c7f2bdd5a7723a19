"""Sentences of a line of chat, as spans of its characters.

The rule: a sentence ends at a full stop, a question or exclamation mark of any script that the tokenizers know, or at a
line break. In scripts with spaces one has to follow, or a capital; a stop after an abbreviation or a single letter ends
nothing. Emoji and laughter end a sentence too, where enough is written on both sides. A long sentence ends at commas as
well, and in scripts without spaces at spaces: much chat knows no other marks. Where Latin and Asian letters take turns,
each is a sentence too, since a network reads one language at a time. A piece too short to say anything ("ok.", "lol")
joins the one before it. Spans cover every character but the spaces between them. Left out: grammar; a line without any
mark is one sentence.
"""

import re
from collections.abc import Iterable, Iterator

_NO_SPACES = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # Thai, Lao, kana, Chinese characters
_CLOSING = r"[\"'”’»)\]」』】》）]*"
_END = re.compile(
    rf"[.!?…؟۔।]+{_CLOSING}(?=\s)"
    r"|(?<=[^\W\d_A-Z])[.!?]+(?=[A-ZÀ-ÞА-Я])"
    rf"|[。！？｡．]+[.!?…]*{_CLOSING}"
    rf"|(?<=[{_NO_SPACES}])(?:[!?…]|\.\.)[.!?…]*{_CLOSING}"
    r"|[\r\n\u2028\u2029]+"
)
_TAIL = re.compile(
    r"(?:[\u2600-\u27bf\u2b50\U0001f000-\U0001faff][\ufe0f\u200d]*)+"
    r"|\b(?:lo+l|lmf?ao|ro+fl|ha(?:ha)+h?|xd+|mdr|ja(?:ja)+|je(?:je)+|k{3,})\b|[哈呵嘻ㅋㅎㅠㅜ]{2,}",
    re.IGNORECASE,
)
_PAUSE = re.compile(rf"[,;:](?=\s)|[，；：、،؛]|\s[-–—]+(?=\s)|(?<=[{_NO_SPACES}])\s+(?=[{_NO_SPACES}])")
_ABBREVIATION = re.compile(
    r"(?<!\w)(?:\w|mrs?|ms|dr|prof|sra?|jr|st|no|nr|vs|etc|e\.g|i\.e|a\.m|p\.m|u\.s|z\.b|d\.h|bzw|ca|usw|approx)\.$",
    re.IGNORECASE,
)
_LONGEST_ABBREVIATION = 8

_LETTER = re.compile(r"[^\W_]")
_WIDE = re.compile(f"[{_NO_SPACES}\uac00-\ud7af]")
_OTHER_SCRIPT = re.compile(
    f"(?<=[{_NO_SPACES}\uac00-\ud7af])[^\\w]*(?=[A-Za-z])|(?<=[A-Za-z])[^\\w]*(?=[{_NO_SPACES}\uac00-\ud7af])"
)
_WIDE_LETTERS = 2.5  # what a character that is a syllable or a word counts

_LEAST_SENTENCE, _LEAST_AROUND_TAIL, _LEAST_IN_A_SCRIPT, _LEAST_CLAUSE = 5, 7, 9, 12
_LONG = 150
"""Letters of a sentence from which on it is cut at pauses: about 30 English words or 60 Chinese characters."""


def sentences(text: str) -> list[tuple[int, int]]:
    """The sentences of a line, as spans [start, end), in order.

    Empty for a line of spaces. Takes time linear in the line's length.
    """
    found: list[tuple[int, int]] = []
    ends = [match.end() for match in _END.finditer(text) if not _is_abbreviation(text, match)]
    for sentence in _cut(text, (0, len(text)), ends, _LEAST_SENTENCE):
        for piece in _in_one_script(text, sentence):
            found += _pieces(text, piece)
    return found


def _in_one_script(text: str, span: tuple[int, int]) -> list[tuple[int, int]]:
    return _cut(text, span, _places(_OTHER_SCRIPT, text, span), _LEAST_IN_A_SCRIPT)


def _pieces(text: str, span: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Cuts a sentence after laughter, and at pauses where it is long."""
    for piece in _cut(text, span, _places(_TAIL, text, span), _LEAST_AROUND_TAIL):
        is_long = _letters(text[slice(*piece)]) > _LONG
        yield from _cut(text, piece, _places(_PAUSE, text, piece), _LEAST_CLAUSE) if is_long else [piece]


def _is_abbreviation(text: str, end: re.Match[str]) -> bool:
    first = max(0, end.end() - _LONGEST_ABBREVIATION)
    return end[0] == "." and _ABBREVIATION.search(text[first : end.end()]) is not None


def _places(pattern: re.Pattern[str], text: str, span: tuple[int, int]) -> Iterator[int]:
    return (match.end() for match in pattern.finditer(text, *span))


def _cut(text: str, span: tuple[int, int], places: Iterable[int], least: float) -> list[tuple[int, int]]:
    """Cuts a span at places.

    A piece of less than `least` letters joins its neighbour.
    """
    pieces: list[tuple[int, int]] = []
    start, before = span[0], 0.0
    for end in [*places, span[1]]:
        if written := text[start:end].strip():
            first, letters = text.index(written[0], start), _letters(written)
            stop = first + len(written)
            if pieces and min(before, letters) < least:
                first, letters = pieces.pop()[0], before + letters
            pieces.append((first, stop))
            before = letters
        start = end
    return pieces


def _letters(text: str) -> float:
    return len(_LETTER.findall(text)) + (_WIDE_LETTERS - 1) * len(_WIDE.findall(text))
