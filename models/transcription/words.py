"""Cuts tokens into words and places them in time.

Times by dynamic time warping over cross-attention (Radford et al., 2022, section 4.4, as in whisper's `timing.py`).

Problem: the path gives every moment to some token, so that words next to a pause are stretched over it. Rule: a word
begins where the path enters its first token and ends where it leaves its last, and is then shortened to what sounds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from faster_whisper.tokenizer import Tokenizer

from models.transcription.recognition import Word
from models.transcription.scripts import is_unspaced

TOKEN_S = 0.02
"""Seconds of an encoder frame, the unit of alignments."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """How one row's tokens lie over its sound.

    path: (steps, 2) int, token and encoder frame; the last token is the end. probabilities: one per token.
    """

    path: npt.NDArray[np.int64]
    probabilities: Sequence[float]


@dataclass(frozen=True, slots=True)
class _Span:
    """A word's text and its tokens [first, last)."""

    text: str
    first: int
    last: int


def words_of(
    tokenizer: Tokenizer, tokens: Sequence[int], alignment: Alignment, level_db: npt.NDArray[np.float32]
) -> tuple[Word, ...]:
    """The words of a reading with their times.

    level_db: loudness of the utterance, a value per 10 ms.
    """
    spans = _spans(*tokenizer.split_tokens_on_unicode(list(tokens)))
    entered = np.flatnonzero(np.diff(alignment.path[:, 0], prepend=-1))
    times_s = alignment.path[entered, 1] * TOKEN_S
    words = []
    for span in spans:
        start_s, end_s = float(times_s[span.first]), float(times_s[min(span.last, len(times_s) - 1)])
        probability = float(np.mean(alignment.probabilities[span.first : span.last]))
        words.append(Word(span.text, start_s, max(start_s, end_s), min(1.0, max(0.0, probability))))
    return tuple(words)


def _spans(pieces: Sequence[str], tokens: Sequence[Sequence[int]]) -> list[_Span]:
    """Joins pieces into words; punctuation belongs to the word before."""
    spans: list[_Span] = []
    first = 0
    for piece, ids in zip(pieces, tokens, strict=True):
        last = first + len(ids)
        text = piece.strip()
        if text and spans and not _begins_word(spans[-1].text, piece):
            blank = " " if piece[0].isspace() else ""
            spans[-1] = _Span(spans[-1].text + blank + text, spans[-1].first, last)
        elif text:
            spans.append(_Span(text, first, last))
        first = last
    return _with_leading_punctuation(spans)


def _begins_word(before: str, piece: str) -> bool:
    if not any(map(str.isalnum, piece)):
        return piece[0].isspace() and len(piece.strip()) == 1 and piece.strip() in "\"'“‘«¿¡(["
    if not any(map(str.isalnum, before)):
        return False  # an opening mark
    return piece[0].isspace() or is_unspaced(piece[0]) or is_unspaced(before[-1])


def _with_leading_punctuation(spans: list[_Span]) -> list[_Span]:
    """Takes a last span without letters to the word before."""
    if len(spans) > 1 and not any(map(str.isalnum, spans[-1].text)):
        *rest, before, last = spans
        return [*rest, _Span(f"{before.text} {last.text}", before.first, last.last)]
    return spans
