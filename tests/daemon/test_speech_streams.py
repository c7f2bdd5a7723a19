"""Speech that comes in pieces of any length, at any rate and pace, gives the words of the whole."""

import random

import numpy as np
import pytest

from tests.daemon.hearing import Hearing, chunks, errors, heard, pcm16, said
from tests.speech.sentences import SENTENCES
from tests.speech.synthesis import RATE_HZ, Samples

pytestmark = [pytest.mark.unit, pytest.mark.timeout(300)]

_SENTENCES = SENTENCES["en"][:5]
_SHORTEST_S, _LONGEST_S = 0.005, 3.0
_JITTER_S = 0.004


@pytest.fixture(scope="module")
def talk() -> Samples:
    return said(_SENTENCES, pause_s=0.6)


@pytest.fixture(scope="module")
def whole(talk: Samples) -> Hearing:
    return heard(chunks(talk, (60.0,)))


def lengths(seed: int) -> list[float]:
    """From 5 ms to 3 s, short ones as often as long ones."""
    chance = random.Random(seed)
    ratio = _LONGEST_S / _SHORTEST_S
    return [_SHORTEST_S * ratio ** chance.random() for _ in range(997)]


def test_the_words_of_a_whole_recording_are_understood(whole: Hearing) -> None:
    assert errors(_SENTENCES, whole.text()) < 0.15
    assert len(whole.utterances) >= len(_SENTENCES)


@pytest.mark.parametrize("seed", range(2))
def test_the_words_are_the_same_wherever_sound_is_cut(talk: Samples, whole: Hearing, seed: int) -> None:
    assert heard(chunks(talk, lengths(seed))).words() == whole.words()


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_the_words_are_the_same_wherever_sound_of_another_rate_is_cut(talk: Samples, rate_hz: int) -> None:
    whole = heard(chunks(talk, (60.0,), rate_hz))
    assert heard(chunks(talk, lengths(rate_hz), rate_hz)).words() == whole.words()
    assert errors(_SENTENCES, whole.text()) < 0.4


def test_the_recogniser_is_given_sound_without_the_jitter_of_its_stamps(talk: Samples, whole: Hearing) -> None:
    """A shift of a millisecond may change a word of the small model, so that words are not compared."""
    chance = random.Random(3)
    jitter_s = [chance.uniform(-_JITTER_S, _JITTER_S) for _ in range(991)]
    jittery = heard(chunks(talk, [max(0.02, length) for length in lengths(3)], jitter_s=jitter_s))
    assert len(jittery.utterances) == len(whole.utterances)
    written = np.frombuffer(pcm16(talk), "<i2").astype(np.float32) / 32768
    for (start_s, _, _), sound in zip(jittery.utterances, jittery.sounds, strict=True):
        first, most = round(start_s * RATE_HZ), round(_JITTER_S * RATE_HZ) + 1
        shifts = [np.abs(sound - written[first + by : first + by + len(sound)]).max() for by in range(-most, most + 1)]
        assert min(shifts) < 1e-6
    assert errors(_SENTENCES, jittery.text()) < 0.3


def test_the_words_do_not_depend_on_when_the_watermark_moves(talk: Samples, whole: Hearing) -> None:
    chance = random.Random(1)
    hearing = Hearing()
    for record in chunks(talk, lengths(5)):
        hearing.take(record)
        if chance.random() < 0.3:
            hearing.promise((record.event_time_ns - record.event_time_ns % 10**6) / 1e9 - 946_684_800)
    assert hearing.end().words() == whole.words()


def test_two_sessions_at_once_have_the_words_of_each(talk: Samples, whole: Hearing) -> None:
    other = said(SENTENCES["en"][40:42], 0.6, "en-gb")
    both = [*chunks(talk, lengths(7)), *chunks(other, lengths(8), session="hall")]
    together = heard(sorted(both, key=lambda record: record.event_time_ns))
    assert together.words() == whole.words()
    assert together.words("hall") == heard(chunks(other, session="hall")).words("hall")
