"""The parts of a line that are read: whole and sentences.

The whole tells how a line is meant: words of relief turn a complaint, and posts are labelled as wholes. But a cry for
help after two ordinary sentences is lost in their mean. So a line of several sentences is read both ways, and each
sentence by itself: after other lines it is drowned too. On validation lines moods are told best by the whole, and cries
for help by the sentence alone.

The rule: what is longer than a tokenizer takes is read in stretches that overlap by a quarter, at most `MOST_STRETCHES`
of them. What they do not reach is counted (`LineSpans.read`). Of more than `_MOST_SENTENCES` sentences neighbours are
read together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from models.text.normalisation import normalised
from models.text.sentences import sentences

MOST_STRETCHES = 8
"""About 1,000 English words: what a line may cost is bounded."""

_MOST_SENTENCES = 64
_OVERLAP = 0.25  # of a stretch, so that a sentence at its end is whole in the next
_MARKS = 3  # tokens of a line beside its characters
_SLICE = 4096  # characters that a tokenizer is given at a time

Span = tuple[int, int]
"""Characters [start, end) of a line."""


class LineTokenizer(Protocol):
    """What turns a line and the lines before it into token ids."""

    most_tokens: int
    """Of one line, marks included; the rest is cut off."""

    def ids(self, text: str) -> list[int]:
        """Of one line, between its marks."""
        ...

    def context(self, before: Sequence[str]) -> list[int]:
        """Token ids of the lines before, for after the line's own.

        Empty for a tokenizer of single lines.
        """
        ...

    def spans(self, text: str) -> list[Span]:
        """The characters of each token of `ids`; marks cover none."""
        ...


@dataclass(frozen=True, slots=True)
class LineSpans:
    """The spans of a line that are read, in order.

    stretches: of the whole line, at least one. sentences: empty where that is all there is to read. read: characters
    that are in a stretch, or are spaces around them.
    """

    stretches: list[Span]
    sentences: list[Span]
    read: int


def line_spans(text: str, tokenizers: Sequence[LineTokenizer]) -> LineSpans:
    """Divides a line for tokenizers that all have to reach every end.

    Takes bounded time for any text.
    """
    stretches = _stretches(text, (0, len(text)), tokenizers, MOST_STRETCHES)
    read = stretches[-1][1]
    found = sentences(text[:read])
    if len(found) < 2 and len(stretches) == 1:
        return LineSpans(stretches, [], read)
    together = -(-len(found) // _MOST_SENTENCES)
    groups = [(found[i][0], found[min(i + together, len(found)) - 1][1]) for i in range(0, len(found), together)]
    if len(stretches) > 1:
        groups = [part for group in groups for part in _stretches(text, group, tokenizers, MOST_STRETCHES)]
    return LineSpans(stretches, groups, read)


def _stretches(text: str, span: Span, tokenizers: Sequence[LineTokenizer], most: int) -> list[Span]:
    """Overlapping spans over a span, at most `most` of them."""
    start, last = span
    found: list[Span] = []
    while not found or (found[-1][1] < last and len(found) < most):
        if found:
            first, end = found[-1]
            start = _word_start(text, end - int(_OVERLAP * (end - first)), end)
        reached = start + _reached(text[start : min(last, start + _SLICE)], tokenizers)
        found.append((start, min(last, max(reached, start + 1))))
    return found


def _reached(text: str, tokenizers: Sequence[LineTokenizer]) -> int:
    """How many characters all tokenizers take."""
    most = min(tokenizer.most_tokens for tokenizer in tokenizers)
    if len(text if text.isascii() else normalised(text).text) < most - _MARKS:  # no character is more than one token
        return len(text)
    reached = len(text)
    for tokenizer in tokenizers:
        if len(tokenizer.ids(text)) >= tokenizer.most_tokens:
            reached = min(reached, max(end for _, end in tokenizer.spans(text)[:-1]))
    return reached


def _word_start(text: str, start: int, end: int) -> int:
    """Where a word begins between two places; the former where none does."""
    return next((after for before, after in pairwise(range(start, end)) if text[before].isspace()), start)
