"""Detection of English lines, which the English network reads too.

The rule: a naive Bayes classifier over byte n-grams (Lui and Baldwin, 2011) chooses among the languages that the
multilingual network knows; a line that is English with at least one chance in ten is read by the English network too.
That is bold, because short lines of chat look like no language much. Left out: lines in two languages.
"""

from py3langid.langid import LanguageIdentifier

from models.trusted_files import LANGUAGES

_LANGUAGES = ("ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "zh")
_LEAST_ENGLISH = 0.1
_MAX_CHARACTERS = 400


class EnglishDetector:
    """Tells English lines. Stateless after construction; shared by all decode threads."""

    def __init__(self) -> None:
        """Raises UntrustedFileError when the package's file is another than expected."""
        self._identifier = LanguageIdentifier.from_modelpath(LANGUAGES.checked_path(), norm_probs=True)
        self._identifier.set_languages(_LANGUAGES)

    def is_english(self, text: str) -> bool:
        """Of any text at all; an empty one is not."""
        probabilities: dict[str, float] = dict(self._identifier.rank(text[:_MAX_CHARACTERS].lower()))
        return probabilities["en"] >= _LEAST_ENGLISH
