"""Language of each session, detected with hysteresis.

By the forward algorithm of a hidden Markov model (Rabiner, 1989): the language is the hidden state, which seldom
changes, and what Whisper says of one utterance is an observation that may be wrong.

Problem: one short or noisy utterance is often taken for another language, and then read as nonsense. Rule: the
probability of each language is carried from utterance to utterance. An observation can raise a language over another
at most `1 / _LEAST` times, less where the utterance is short, so that it takes about three in a row to change it.
"""

import numpy as np
import numpy.typing as npt

_LEAST = 0.05  # an observation's floor: even Whisper's certainty is wrong now and then
_CHANGES = 0.02  # probability that a session's language changes between two utterances
_FULL_WEIGHT_S = 3.0  # shorter utterances weigh in proportion

FloatArray = npt.NDArray[np.float64]


class SessionLanguages:
    """The languages of all sessions.

    Owned by the thread that recognises; no lock.
    """

    def __init__(self, languages: tuple[str, ...]) -> None:
        """languages: codes that may be told apart, at least one."""
        self._languages = languages
        self._probabilities: dict[str, FloatArray] = {}

    def observe(self, session: str, detected: dict[str, float], duration_s: float) -> str:
        """Takes what was detected in an utterance, and returns the session's language.

        detected: probability by language.
        """
        count = len(self._languages)
        before = self._probabilities.get(session, np.full(count, 1 / count))
        prior = (1 - _CHANGES) * before + _CHANGES / count
        seen = np.array([max(_LEAST, detected.get(language, 0.0)) for language in self._languages])
        after = prior * seen ** min(1.0, duration_s / _FULL_WEIGHT_S)
        after /= after.sum()
        self._probabilities[session] = after
        return self._languages[int(np.argmax(after))]

    def forget(self, session: str) -> None:
        """Drops what is known of a session."""
        self._probabilities.pop(session, None)
