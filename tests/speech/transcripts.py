"""Compares what was recognised with what was said: word error rates, and times of words."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jiwer

from tests.speech.synthesis import SpokenWord

_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_UNSPACED = ("zh",)


def normalised(text: str) -> str:
    """Lower case, no punctuation, small numbers as words."""
    text = text.lower().replace("’", "'").replace("%", " percent ")
    text = re.sub(r"\d+", lambda found: _number(found.group()), text)
    return " ".join(re.sub(r"[^\w' ]+|_", " ", text).split())


def error_rate(said: Sequence[str], recognised: Sequence[str], language: str = "en") -> float:
    """Word error rate over all utterances together; of characters where words stand without blanks."""
    truth, answers = [normalised(text) for text in said], [normalised(text) for text in recognised]
    if language in _UNSPACED:
        truth, answers = ([text.replace(" ", "") for text in texts] for texts in (truth, answers))
        return float(jiwer.process_characters(truth, answers).cer)
    return float(jiwer.process_words(truth, answers).wer)


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word that was recognised, with its times."""

    text: str
    start_s: float
    end_s: float


def time_errors_s(marks: Sequence[SpokenWord], heard: Sequence[HeardWord]) -> tuple[list[float], list[float]]:
    """Recognised minus marked time, of the starts and of the ends of all words that were recognised rightly."""
    marked, recognised = list(_single_words(marks)), list(_single_words(heard))
    aligned = jiwer.process_words(_joined(marked), _joined(recognised))
    starts, ends = [], []
    for chunk in aligned.alignments[0]:
        if chunk.type != "equal":
            continue
        span = range(chunk.ref_start_idx, chunk.ref_end_idx)
        for mark, word in zip(
            (marked[i] for i in span), recognised[chunk.hyp_start_idx : chunk.hyp_end_idx], strict=True
        ):
            if mark.start_s is not None and word.start_s is not None:
                starts.append(word.start_s - mark.start_s)
            if mark.end_s is not None and word.end_s is not None:
                ends.append(word.end_s - mark.end_s)
    return starts, ends


@dataclass(frozen=True, slots=True)
class _SingleWord:
    """A normalised word; a time is None inside what has but one mark ("of the")."""

    text: str
    start_s: float | None
    end_s: float | None


def _single_words(words: Sequence[SpokenWord | HeardWord]) -> Iterator[_SingleWord]:
    for word in words:
        parts = normalised(word.text).split()
        for number, part in enumerate(parts):
            yield _SingleWord(
                part, word.start_s if number == 0 else None, word.end_s if number == len(parts) - 1 else None
            )


def _joined(words: Sequence[_SingleWord]) -> str:
    return " ".join(word.text for word in words)


def _number(digits: str) -> str:
    return f" {_NUMBERS[int(digits)]} " if len(digits) < 3 and int(digits) < len(_NUMBERS) else digits
