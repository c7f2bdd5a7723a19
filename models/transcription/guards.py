"""Refuses what Whisper invents instead of hearing.

No-speech probability, mean log-probability and compression ratio are used as by Radford et al., 2022, section 4.5;
repetition and known phrases are described by Koenecke et al., 2024, "Careless Whisper".

Problem: given music, breath or noise, Whisper writes fluent text, often the end of a video or one phrase again and
again. Rule: a reading is believed unless a measure speaks against it. Every reading stands alone: none is
conditioned on an earlier one, so nothing invented can go on.
Left out: whether there is voice at all, which Silero decides before (streams and `models.speech.activity`).
"""

import zlib
from dataclasses import dataclass

from models.transcription.known_phrases import is_known_phrase
from models.transcription.recognition import Rejection
from models.transcription.scripts import is_unspaced

_NO_SPEECH = 0.5  # Radford et al. have 0.6 and -1.0; dialling tones and babble of many voices pass these
_SURE_LOG_PROBABILITY = -0.5  # a reading more probable than this is speech, whatever the no-speech token says
_PERHAPS_NO_SPEECH, _FAIR_LOG_PROBABILITY = 0.25, -0.62  # both together: babble, which base takes for speech
_LEAST_LOG_PROBABILITY = -1.0
_MOST_COMPRESSION = 2.4
_LEAST_COMPRESSED_BYTES = 40  # zlib's own header makes the ratio of shorter text meaningless
_PHRASE_NO_SPEECH = 0.2
_PHRASE_LOG_PROBABILITY = -0.5
_MOST_LOOPS = 4  # of up to `_LONGEST_LOOP` units one after the other
_LONGEST_LOOP = 6
_PHRASE_UNITS = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """What the decoder wrote for one utterance.

    mean_log_probability: of the tokens and the end. no_speech: probability of the no-speech token.
    cut: whether the decoder was stopped at the greatest length.
    """

    text: str
    tokens: tuple[int, ...]
    mean_log_probability: float
    no_speech: float
    cut: bool


def rejection_of(reading: Reading, wary: bool = False) -> Rejection | None:
    """Why a reading is not believed; None if it is.

    wary: of a model of many languages, which takes babble for speech more often.
    """
    if not any(character.isalnum() for character in reading.text):
        return Rejection.NO_SPEECH
    looping = _looping(reading)
    if reading.no_speech > _NO_SPEECH and (looping or reading.mean_log_probability < _SURE_LOG_PROBABILITY):
        return Rejection.NO_SPEECH
    if looping:
        return looping
    if wary and reading.no_speech > _PERHAPS_NO_SPEECH and reading.mean_log_probability < _FAIR_LOG_PROBABILITY:
        return Rejection.NO_SPEECH
    if reading.mean_log_probability < _LEAST_LOG_PROBABILITY:
        return Rejection.LOW_CONFIDENCE
    unsure = reading.no_speech > _PHRASE_NO_SPEECH or reading.mean_log_probability < _PHRASE_LOG_PROBABILITY
    if unsure and is_known_phrase(reading.text):
        return Rejection.KNOWN_PHRASE
    return None


def _looping(reading: Reading) -> Rejection | None:
    if reading.cut or loops(_units(reading.text)) >= _MOST_LOOPS:
        return Rejection.REPETITION
    return Rejection.COMPRESSION if compression_ratio(reading.text) > _MOST_COMPRESSION else None


def compression_ratio(text: str) -> float:
    """Bytes of a text over its compressed bytes; 0 if short."""
    content = text.encode()
    return len(content) / len(zlib.compress(content)) if len(content) >= _LEAST_COMPRESSED_BYTES else 0.0


def loops(units: list[str]) -> int:
    """How often an n-gram follows itself at most, at least 1.

    Without a gap. An n-gram is of one to six units. Of a single unit every second time
    counts, as people say "no, no, no".
    """
    most = 1
    for size in range(1, _LONGEST_LOOP + 1):
        run = 0
        for index in range(size, len(units)):
            run = run + 1 if units[index] == units[index - size] else 0
            times = run // size + 1
            most = max(most, times // 2 if size == 1 else times)
    return most


def is_said_twice(text: str) -> bool:
    """Whether a text is one phrase, said twice.

    Somebody may say so; but where little silence is behind an utterance, Whisper does it too.
    """
    units = _units(text)
    half = len(units) // 2
    return half >= _PHRASE_UNITS and units[:half] == units[half:]


def _units(text: str) -> list[str]:
    """Words in lower case without punctuation, or characters of scripts without blanks."""
    units: list[str] = []
    for word in text.lower().split():
        run = ""
        for character in filter(str.isalnum, word):
            if is_unspaced(character):
                units += [run, character] if run else [character]
                run = ""
            else:
                run += character
        units += [run] if run else []
    return units
