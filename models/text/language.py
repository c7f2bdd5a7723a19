"""Detection of English lines, which the English network reads too.

A naive Bayes classifier over byte n-grams (Lui and Baldwin, 2011) chooses among the languages that the multilingual
network knows. A line counts as English from a probability of one tenth on; the threshold is low because short lines of
chat resemble no language much. Left out: lines in two languages.
"""

import re

from py3langid.langid import LanguageIdentifier

from models.text.normalisation import normalised, without_emoji
from models.trusted_files import LANGUAGES

_LANGUAGES = ("ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "zh")
_LEAST_ENGLISH = 0.1
_MAX_CHARACTERS = 400
_LATIN = re.compile("[A-Za-z]")


class EnglishDetector:
    """Tells English lines. Stateless after construction; shared by all decode threads."""

    def __init__(self) -> None:
        """Raises UntrustedFileError when the package's file is another than expected."""
        self._identifier = LanguageIdentifier.from_modelpath(LANGUAGES.checked_path(), norm_probs=True)
        self._identifier.set_languages(_LANGUAGES)

    def is_english(self, text: str) -> bool:
        """Of any text at all; an empty one is not.

        Emoji tell no language; where nothing else is written, their English names are read.
        """
        written = text[:_MAX_CHARACTERS]
        line = normalised(without_emoji(written)).text.strip() or normalised(written).text
        if not _LATIN.search(line):
            return False
        probabilities: dict[str, float] = dict(self._identifier.rank(line[:_MAX_CHARACTERS].lower()))
        return probabilities["en"] >= _LEAST_ENGLISH
