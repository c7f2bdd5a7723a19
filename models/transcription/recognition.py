"""Words with times, or the reason why there are none."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from models.transcription.scripts import is_unspaced


class Rejection(StrEnum):
    """Why what was read is not believed."""

    NO_SPEECH = "no_speech"
    LOW_CONFIDENCE = "low_confidence"
    REPETITION = "repetition"
    COMPRESSION = "compression"
    KNOWN_PHRASE = "known_phrase"


@dataclass(frozen=True, slots=True)
class Word:
    """A word as written, with its punctuation.

    text: without surrounding blanks; in a script without blanks (Chinese) mostly one character.
    start_s, end_s: seconds from the utterance's first sample. probability: 0..1.
    """

    text: str
    start_s: float
    end_s: float
    probability: float


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was said in one utterance.

    words: empty where nothing was said, or what was read is not believed.
    language: its code, such as "en".
    confidence: 0..1, exp of the tokens' mean log-probability; 0 without words.
    rejected: None where the words are believed.
    """

    words: tuple[Word, ...]
    language: str
    confidence: float
    rejected: Rejection | None

    @property
    def text(self) -> str:
        """The words joined, with blanks where their script has them."""
        return join(word.text for word in self.words)


def join(words: Iterable[str]) -> str:
    """Joins words, with blanks where their script has them."""
    line = ""
    for word in words:
        blank = " " if line and word and not (is_unspaced(line[-1]) and is_unspaced(word[0])) else ""
        line += blank + word
    return line
