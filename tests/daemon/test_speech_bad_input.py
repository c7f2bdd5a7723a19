"""Speech as it should not come: by telephone, without a pause, too loud, in many formats, cut off, from two places."""

from itertools import pairwise

import numpy as np
import pytest
import soxr

from streams.records import Record
from tests.daemon.hearing import Hearing, chunk, chunks, errors, heard, said
from tests.speech.noise import clipped, telephone
from tests.speech.non_speech import non_speech
from tests.speech.sentences import SENTENCES
from tests.speech.synthesis import RATE_HZ, Samples, synthesize

pytestmark = [pytest.mark.unit, pytest.mark.timeout(300)]

_SENTENCES = SENTENCES["en"][:4]
_LONGEST_S = 10.7  # of the sound of an utterance: 10.3 s of voice, and what is soft around it
_LONG_S = 60.0
_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_QUIET = 0.02


@pytest.fixture(scope="module")
def talk() -> Samples:
    return said(_SENTENCES, pause_s=0.6)


@pytest.fixture(scope="module")
def undisturbed(talk: Samples) -> Hearing:
    return heard(chunks(talk))


def run_on(length_s: float) -> tuple[Samples, list[str]]:
    """Speech in which no sound is soft for longer than between words."""
    pieces, texts, length = list[Samples](), list[str](), 0
    for text in SENTENCES["en"][:30]:
        pcm = synthesize(text).pcm
        loud = np.flatnonzero(np.abs(pcm) > _QUIET)
        pieces.append(pcm[loud[0] : loud[-1]])
        texts.append(text)
        length += len(pieces[-1])
        if length >= length_s * RATE_HZ:
            break
    return np.concatenate(pieces), texts


def test_a_telephone_is_understood(talk: Samples) -> None:
    hearing = heard(chunks(telephone(talk), rate_hz=8_000))
    assert errors(_SENTENCES, hearing.text()) < 0.5
    assert len(hearing.utterances) >= len(_SENTENCES)


def test_speech_recorded_too_loud_is_understood(talk: Samples) -> None:
    assert errors(_SENTENCES, heard(chunks(clipped(talk))).text()) < 0.4


def test_speech_without_a_pause_gives_words_while_it_goes_on_and_few_more_errors() -> None:
    pcm, texts = run_on(_LONG_S)
    hearing = Hearing().take(*chunks(pcm, (0.25,)))
    spoken_s = len(pcm) / RATE_HZ
    assert hearing.words()[-1][0] > spoken_s - 25
    hearing.end()
    assert max(end_s - start_s for start_s, end_s, _ in hearing.utterances) <= _LONGEST_S
    assert len(hearing.utterances) >= spoken_s / _LONGEST_S
    assert errors(texts, hearing.text()) < 0.25  # 0.16; sentence by sentence it is 0.10


def in_turn(pcm: Samples, rates_hz: tuple[int, ...], length_s: float = 0.3) -> list[Record]:
    """Sound whose records have another rate each."""
    length = round(length_s * RATE_HZ)
    return [
        chunk(
            soxr.resample(pcm[at : at + length], RATE_HZ, rates_hz[number % len(rates_hz)]),
            at / RATE_HZ,
            rates_hz[number % len(rates_hz)],
            sequence=number,
        )
        for number, at in enumerate(range(0, len(pcm), length))
    ]


def test_nine_formats_in_one_utterance_change_hardly_a_word() -> None:
    pcm, texts = run_on(7.0)
    quiet = np.zeros(RATE_HZ, np.float32)
    hearing = heard(in_turn(np.concatenate([quiet, pcm, quiet]), _RATES_HZ))
    assert max(end_s - start_s for start_s, end_s, _ in hearing.utterances) > 0.3 * (len(_RATES_HZ) + 2)
    assert errors(texts, hearing.text()) < 0.5
    assert len(hearing.words()) > 0.8 * len(" ".join(texts).split())


def test_sound_that_stops_in_the_middle_of_a_word_gives_the_words_before(talk: Samples, undisturbed: Hearing) -> None:
    words = undisturbed.words()
    stops_s = words[8][0] + 0.1
    hearing = heard(chunks(talk[: round(stops_s * RATE_HZ)]))
    assert hearing.utterances[-1][1] == pytest.approx(stops_s, abs=0.5)
    known = [word for at_s, word in words if at_s < stops_s - 2]
    assert [word for _, word in hearing.words()][: len(known)] == known
    assert all(at_s <= stops_s + 0.3 for at_s, _ in hearing.words())


def test_of_two_microphones_in_one_session_who_speaks_is_understood(talk: Samples, undisturbed: Hearing) -> None:
    quiet = non_speech("room", 1, len(talk) / RATE_HZ)
    both = [*chunks(talk, (0.2,)), *chunks(quiet, (0.37,), rate_hz=48_000)]
    hearing = heard(sorted(both, key=lambda record: record.event_time_ns))
    assert errors(_SENTENCES, hearing.text()) < errors(_SENTENCES, undisturbed.text()) + 0.3


def test_two_microphones_of_one_form_that_speak_at_once_stop_nothing(talk: Samples) -> None:
    other = said(SENTENCES["en"][40:44], 0.5, "en-gb")
    both = [*chunks(talk, (0.2,)), *chunks(other, (0.37,))]
    hearing = heard(sorted(both, key=lambda record: record.event_time_ns))
    starts_s = [window.start_ns // 10**9 for window in hearing.windows]
    assert all(later - earlier == 4 for earlier, later in pairwise(starts_s))
    assert hearing.driver.counts.refused == 0
    assert all(end_s - start_s <= _LONGEST_S for start_s, end_s, _ in hearing.utterances)
