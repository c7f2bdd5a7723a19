"""Language of each session, detected with hysteresis.

By the forward algorithm of a hidden Markov model (Rabiner, 1989): the language is the hidden state, which seldom
changes, and what Whisper says of one utterance is an observation that may be wrong.

Problem: one short or noisy utterance is often taken for another language, and then read as nonsense. Rule: the
probability of each language is carried from utterance to utterance. An observation can raise a language over another
at most eleven times, less where the utterance is short, so that it takes about three in a row to change it. Told apart
are the languages that the text model reads; those that were tried are ten times as likely beforehand.
Left out: all other languages, which are read where they are set.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

_TRIED = ("en", "zh", "de", "es", "fr")
_READ = (*_TRIED, "ar", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr")
_DOUBT = 0.1  # added to an observation: even Whisper's certainty is wrong now and then
_PREFERENCE = 10.0
_CHANGES = 0.02  # probability that a session's language changes between two utterances
_FULL_WEIGHT_S = 3.0  # shorter utterances weigh in proportion

FloatArray = npt.NDArray[np.float64]


class SessionLanguages:
    """The languages of all sessions.

    Owned by the thread that recognises; no lock.
    """

    def __init__(self, languages: tuple[str, ...]) -> None:
        """languages: codes that the model has, at least one."""
        self._languages = tuple(code for code in _READ if code in languages) or languages
        weights = np.array([_PREFERENCE if code in _TRIED else 1.0 for code in self._languages])
        self._beforehand: FloatArray = weights / weights.sum()
        self._probabilities: dict[str, FloatArray] = {}

    def observe(self, session: str, detected: Mapping[str, float], duration_s: float) -> str:
        """Takes what was detected in an utterance, and returns the session's language.

        detected: probability by language.
        """
        before = self._probabilities.get(session, self._beforehand)
        prior = (1 - _CHANGES) * before + _CHANGES * self._beforehand
        seen = np.array([_DOUBT + detected.get(code, 0.0) for code in self._languages])
        after = prior * seen ** min(1.0, duration_s / _FULL_WEIGHT_S)
        after /= after.sum()
        self._probabilities[session] = after
        return self._languages[int(np.argmax(after))]

    def forget(self, session: str) -> None:
        """Drops what is known of a session."""
        self._probabilities.pop(session, None)
