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
LEVEL_S = 0.01
"""Seconds of a value of loudness."""

_QUIET_SHARE = 0.3  # of the way from the quietest to the loudest tenth: what is quieter is no speech
_RANGE_DB = 40.0  # or what is so much below the loudest tenth
_SHORTEST_PAUSE = 10  # values of loudness; the closure of a plosive is shorter
_NEAR_S = 0.2

FloatArray = npt.NDArray[np.float64]


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
    tokenizer: Tokenizer,
    tokens: Sequence[int],
    alignment: Alignment,
    level_db: npt.NDArray[np.float32],
    lag_s: float,
) -> tuple[Word, ...]:
    """The words of a reading with their times.

    level_db: loudness of the utterance, a value per 10 ms. lag_s: by which the model's attention follows the sound.
    """
    spans = _spans(*tokenizer.split_tokens_on_unicode(list(tokens)))
    entered = np.flatnonzero(np.diff(alignment.path[:, 0], prepend=-1))
    times_s = np.clip(alignment.path[entered, 1] * TOKEN_S - lag_s, 0, len(level_db) * LEVEL_S)
    starts_s = times_s[[span.first for span in spans]]
    ends_s = np.append(starts_s[1:], times_s[min(spans[-1].last, len(times_s) - 1)]) if spans else starts_s
    _snap(starts_s, ends_s, pauses_of(level_db))
    probabilities = [np.mean(alignment.probabilities[span.first : span.last]) for span in spans]
    return tuple(
        Word(
            span.text,
            round(float(start_s), 3),
            round(max(float(start_s), float(end_s)), 3),
            min(1.0, float(probability)),
        )
        for span, start_s, end_s, probability in zip(spans, starts_s, ends_s, probabilities, strict=True)
    )


def pauses_of(level_db: npt.NDArray[np.float32]) -> FloatArray:
    """Where nothing sounds: (pauses, 2) start and end in seconds.

    A pause is 0.1 s or longer. What is quiet at the beginning comes first, and at the end last, even if it is empty.
    """
    floor_db, speech_db = np.quantile(level_db, (0.1, 0.9))
    loud = level_db > max(floor_db + _QUIET_SHARE * (speech_db - floor_db), speech_db - _RANGE_DB)
    if not loud.any():
        return np.array([[0.0, 0.0], [len(loud) * LEVEL_S] * 2])
    changes = np.flatnonzero(np.diff(loud.astype(np.int8), prepend=0, append=0))
    inner = np.stack([changes[1:-1:2], changes[2:-1:2]], axis=1)
    inner = inner[inner[:, 1] - inner[:, 0] >= _SHORTEST_PAUSE]
    edges = np.array([[0, changes[0]]]), np.array([[changes[-1], len(loud)]])
    return np.asarray(np.concatenate([edges[0], inner, edges[1]]) * LEVEL_S)


def _snap(starts_s: FloatArray, ends_s: FloatArray, pauses_s: FloatArray) -> None:
    """Moves borders between words to pauses nearby, in place."""
    if not len(starts_s):
        return
    (_, first_s), *inner, (last_s, _) = pauses_s
    starts_s[0] = min(first_s, max(starts_s[0], ends_s[0]))
    ends_s[-1] = max(last_s, starts_s[-1])
    for pause_start_s, pause_end_s in inner:
        away_s = np.maximum(0, np.maximum(pause_start_s - starts_s[1:], starts_s[1:] - pause_end_s))
        if len(away_s) and away_s.min() <= _NEAR_S:
            border = int(np.argmin(away_s))
            ends_s[border] = max(pause_start_s, starts_s[border])
            starts_s[border + 1] = min(pause_end_s, max(ends_s[border + 1], pause_start_s))


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
