"""Lines written for this project: people in trouble, and others.

Public corpora hold long posts of crisis and rude tweets; they lack what people say at a counter or in a chat: indirect
farewells, polite threats, crisis without any of its words, and harmless lines that are full of them. So lines were
written by situation (`lines/LANGUAGE.jsonl`), most of them in matched pairs in which a few words decide. Each line has
all three risks, the level that a person on duty should see, an emotion, and the voice it is written in. Validation
lines are whole situations and one voice of all others, so that they are new in subject or in wording. Left out of an
installed package: the files are in a checkout alone.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from models.data.corpora.text import CorpusError, TextSample
from models.labels import EMOTIONS, RISKS

LANGUAGES = ("en", "zh")
"""Those that have thousands of lines."""

OTHER_LANGUAGES = ("ar", "de", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr")
"""Those that have some dozens, all to train on, so that what was learned in the former is found in them too."""

HELD_OUT_VOICE = "f"
HELD_OUT_SITUATIONS = ("relapse", "polite_insult")
"""Validation lines are of this voice, or of these situations."""

LEVELS = ("none", "low", "medium", "high", "critical")
"""What a person on duty should see of a line."""

_FOLDER = Path(__file__).parent / "lines"


@dataclass(frozen=True, slots=True)
class OwnLine:
    """A line with all its labels.

    pair: of the lines that it was written against, alone or not. voice: how it is worded. risks: some of RISKS.
    """

    lang: str
    situation: str
    pair: str
    voice: str
    text: str
    risks: tuple[str, ...]
    level: str
    emotion: str

    @property
    def group(self) -> str:
        """Names the pair among all lines."""
        return f"{self.lang}/{self.situation}/{self.pair}"

    @property
    def held_out(self) -> bool:
        """Whether it is a validation line."""
        left_out = self.voice == HELD_OUT_VOICE or self.situation in HELD_OUT_SITUATIONS
        return left_out and self.lang in LANGUAGES

    def sample(self, number: int) -> TextSample:
        """The line as a row of a corpus.

        number: tells it from others of its pair.
        """
        emotion = tuple(float(name == self.emotion) for name in EMOTIONS)
        distress, self_harm, abuse = (float(name in self.risks) for name in RISKS)
        return TextSample(
            f"{self.group}/{number}", self.lang, self.text, self.group, emotion, (distress, self_harm, abuse)
        )


def own_lines(langs: Iterable[str] = (*LANGUAGES, *OTHER_LANGUAGES)) -> list[OwnLine]:
    """All lines of some languages. Raises CorpusError naming file and line."""
    return [line for lang in langs for line in read_lines(_FOLDER / f"{lang}.jsonl")]


def own_samples(held_out: bool) -> list[TextSample]:
    """Lines to train on, or to validate on, as samples."""
    return [line.sample(number) for number, line in enumerate(own_lines()) if line.held_out == held_out]


def read_lines(path: Path) -> list[OwnLine]:
    """The lines of a file. Raises CorpusError naming file and line."""
    if not path.is_file():
        raise CorpusError(f"{path}: no such file; the project's own lines are in a checkout alone")
    lines = []
    for number, row in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            fields = json.loads(row)
            line = OwnLine(**{**fields, "risks": tuple(fields["risks"])})
        except (KeyError, ValueError, TypeError) as wrong:
            raise CorpusError(f"{path}:{number}: {type(wrong).__name__}: {wrong}") from wrong
        if line.level not in LEVELS or line.emotion not in EMOTIONS or not set(line.risks) <= set(RISKS):
            raise CorpusError(f"{path}:{number}: an unknown level, emotion or risk")
        lines.append(line)
    return lines
