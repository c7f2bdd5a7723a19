"""Validation lines that can be said aloud, drawn by label.

Every label of a corpus gives the same number of lines, so that rare ones are measured too; ordinary lines are drawn as
they come. Nobody says an address or an emoji: these are left out of what is said, and placeholders become words. Posts
are cut to their first sentences, since a post is no utterance; what is written is cut with them. No line is one that
the networks were trained on. Left out: Chinese, since recognisers hardly understand the synthesiser's Mandarin.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.data.corpora.text import TextSample, read_corpus
from models.labels import EMOTIONS, RISKS

EMOTION_LINES: Mapping[str, int] = {"goemotions": 30, "meld": 12}
"""Lines of each emotion, by corpus."""

RISK_LINES: Mapping[str, tuple[str, int]] = {
    "dreaddit": ("distress", 25),
    "sdcnl": ("self_harm", 25),
    "tweeteval-offensive": ("abuse", 25),
    "davidson": ("abuse", 25),
}
"""Of each corpus, the risk, and lines with it; as many are without it."""

ORDINARY_LINES: Mapping[str, int] = {"goemotions": 80, "meld": 40}
"""Lines as they come, by corpus; what raises a level among them is mostly a false alarm."""

EMOTION, ORDINARY = "emotion", "ordinary"
"""What a line is drawn for, beside the risks."""

VOICES = ("en-us", "en-gb", "en-us+f4", "en-us+m3", "en-us+m7")
"""English voices of espeak-ng; those of its accents that recognisers hardly understand are left out."""

_POSTS = ("dreaddit", "sdcnl")
_MOST_WORDS = 28  # about ten seconds
_SEED = 0
_UNSAID = re.compile(r"https?://\S+|www\.\S+|\{+URL\}+|@\w+|&\w+;|\bRT\b")
_PLACEHOLDERS = {"[NAME]": "Alex", "[RELIGION]": "religion"}
_SAID_SIGNS = frozenset(".,;:!?'\"-()$%&/’‘“”…")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True, slots=True)
class SpokenLine:
    """A validation line, and how it is said.

    drawn_for: EMOTION, ORDINARY or a risk. said: the words to say. voice: of the synthesiser.
    """

    corpus: str
    drawn_for: str
    sample: TextSample
    said: str
    voice: str


def as_said(text: str) -> str:
    """What would be said of a written line; may be empty."""
    for placeholder, word in _PLACEHOLDERS.items():
        text = text.replace(placeholder, word)
    plain = _UNSAID.sub(" ", text)
    return " ".join("".join(c if c.isalnum() or c in _SAID_SIGNS else " " for c in plain).split())


def spoken_lines(data: Path) -> list[SpokenLine]:
    """The validation lines to say, in a drawn order.

    They are the same at every call.

    data: the folder that holds `text/`. Raises models.data.corpora.text.CorpusError.
    """
    rng = np.random.default_rng(_SEED)
    drawn = [(corpus, purpose, sample) for corpus, purpose, sample in _drawn(data, rng) if as_said(sample.text)]
    mixed = [drawn[i] for i in rng.permutation(len(drawn))]
    lines = []
    for number, (corpus, purpose, sample) in enumerate(mixed):
        lines.append(SpokenLine(corpus, purpose, sample, as_said(sample.text), VOICES[number % len(VOICES)]))
    return lines


def _drawn(data: Path, rng: np.random.Generator) -> Iterator[tuple[str, str, TextSample]]:
    for corpus, count in EMOTION_LINES.items():
        samples = [s for s in _speakable(corpus, data) if s.emotion is not None and max(s.emotion) == 1]
        for label in range(len(EMOTIONS)):
            labelled = [sample for sample in samples if sample.emotion is not None and sample.emotion[label] == 1]
            yield from ((corpus, EMOTION, sample) for sample in _choice(labelled, count, rng))
    for corpus, (risk, count) in RISK_LINES.items():
        samples = _speakable(corpus, data)
        for has in (0.0, 1.0):
            labelled = [sample for sample in samples if sample.risk[RISKS.index(risk)] == has]
            yield from ((corpus, risk, sample) for sample in _choice(labelled, count, rng))
    for corpus, count in ORDINARY_LINES.items():
        yield from ((corpus, ORDINARY, sample) for sample in _choice(_speakable(corpus, data), count, rng))


def _choice(samples: Sequence[TextSample], count: int, rng: np.random.Generator) -> list[TextSample]:
    return [samples[i] for i in rng.permutation(len(samples))[:count]]


def _speakable(corpus: str, data: Path) -> list[TextSample]:
    """Validation samples of a length that people speak in one breath."""
    samples = read_corpus(corpus, data, "valid")
    if corpus in _POSTS:
        return [replace(sample, text=_first_sentences(sample.text)) for sample in samples]
    return [sample for sample in samples if len(sample.text.split()) <= _MOST_WORDS]


def _first_sentences(post: str) -> str:
    """The first sentences, of at most `_MOST_WORDS` words.

    Of a longer first sentence it is the first words.
    """
    kept: list[str] = []
    for sentence in _SENTENCE_END.split(post):
        if len(" ".join([*kept, sentence]).split()) > _MOST_WORDS:
            break
        kept.append(sentence)
    return " ".join(kept) if kept else " ".join(post.split()[:_MOST_WORDS])
