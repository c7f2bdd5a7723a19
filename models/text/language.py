"""Whether a line is in English, which decides whether the English network reads it.

The rule: a naive Bayes classifier over byte n-grams (Lui and Baldwin, 2011) chooses among the languages that the
multilingual network knows; a line that is English with at least one chance in ten is read by the English network too.
That is bold, because short lines of chat look like no language much. Left out: lines in two languages.
"""

import hashlib
from importlib.resources import as_file, files

from py3langid.langid import LanguageIdentifier

from models.text.sentence_encoder import SentenceEncoderError

WEIGHTS_SHA256 = "f4f4a2c3465ca1f081541037f9cac23021d68151c2f709c55ae5eedfca522963"
"""Of `data/model.npz.xz` in py3langid 0.4.0."""

_LANGUAGES = ("ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "zh")
_LEAST_ENGLISH = 0.1
_MAX_CHARACTERS = 400


class EnglishDetector:
    """Tells English lines. Stateless after construction; shared by all decode threads."""

    def __init__(self) -> None:
        """Raises SentenceEncoderError when the package's file is another than expected."""
        with as_file(files("py3langid") / "data" / "model.npz.xz") as bundled:
            if (digest := hashlib.sha256(bundled.read_bytes()).hexdigest()) != WEIGHTS_SHA256:
                raise SentenceEncoderError(f"{bundled}: sha256 is {digest}, expected {WEIGHTS_SHA256}")
            self._identifier = LanguageIdentifier.from_modelpath(bundled, norm_probs=True)
        self._identifier.set_languages(_LANGUAGES)

    def is_english(self, text: str) -> bool:
        """Of any text at all; an empty one is not."""
        probabilities: dict[str, float] = dict(self._identifier.rank(text[:_MAX_CHARACTERS].lower()))
        return probabilities["en"] >= _LEAST_ENGLISH
