"""Recognisers that several test files share, loaded once, and utterances for them."""

from functools import cache

import numpy as np

from models.transcription.recognizer import PreparedUtterance, Recognizer, RecognizerSettings
from tests.speech.sentences import SENTENCES
from tests.speech.synthesis import RATE_HZ, VOICES, Samples, Spoken, synthesize

MARGIN_S = 0.2
"""Sound that an utterance keeps before its first and after its last word."""


@cache
def tiny() -> Recognizer:
    return Recognizer.load(RecognizerSettings("tiny", "en", "cpu", threads=1))


@cache
def base() -> Recognizer:
    return Recognizer.load(RecognizerSettings("base", "auto", "cpu", threads=1))


@cache
def spoken(language: str, number: int) -> Spoken:
    voices = VOICES[language]
    return synthesize(SENTENCES[language][number], voices[number % len(voices)])


def cut(said: Spoken) -> Samples:
    """The utterance without the synthesiser's long pause at the end."""
    return said.pcm[: round((said.words[-1].end_s + MARGIN_S) * RATE_HZ)]


def utterance(recognizer: Recognizer, language: str, number: int) -> PreparedUtterance:
    return recognizer.prepare(np.ascontiguousarray(cut(spoken(language, number))))


def plain(text: str) -> str:
    """Lower case without punctuation; Chinese as single characters."""
    kept = "".join(c if c.isalnum() else " " for c in text.lower().replace("'", "").replace("’", ""))
    return " ".join(kept.split())
