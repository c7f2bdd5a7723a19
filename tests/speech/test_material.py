"""The tests' own speech and sound: what it says of itself is so."""

import subprocess
import sys

import numpy as np
import pytest

from models.speech.activity import VoiceActivity
from tests.speech import noise
from tests.speech.non_speech import KINDS, non_speech
from tests.speech.sentences import SENTENCES
from tests.speech.synthesis import RATE_HZ, VOICES, Samples, synthesize

pytestmark = pytest.mark.unit

_TEXT = "Since then I have been alone, and I am so tired."


def level_db(pcm: Samples) -> float:
    return float(10 * np.log10(np.square(pcm, dtype=np.float64).mean()))


@pytest.mark.parametrize(
    ("language", "voice"), [(language, voice) for language in VOICES for voice in VOICES[language]]
)
def test_every_voice_says_every_word_at_its_time(language: str, voice: str) -> None:
    text = SENTENCES[language][0]
    spoken = synthesize(text, voice)
    assert spoken.pcm.dtype == np.float32
    assert 0.1 < np.abs(spoken.pcm).max() <= 1
    assert "".join(word.text for word in spoken.words).replace(" ", "") == text.replace(" ", "")
    times_s = [time_s for word in spoken.words for time_s in (word.start_s, word.end_s)]
    assert times_s == sorted(times_s)
    assert times_s[-1] <= len(spoken.pcm) / RATE_HZ
    for word in spoken.words:
        assert level_db(spoken.pcm[round(word.start_s * RATE_HZ) : round(word.end_s * RATE_HZ)]) > -45


def test_a_pause_is_of_no_word() -> None:
    words = {word.text: word for word in synthesize(_TEXT).words}
    assert words["and"].start_s - words["alone,"].end_s > 0.1


def test_the_same_text_is_the_same_sound_whatever_was_said_before_and_in_every_process() -> None:
    said = synthesize(_TEXT)
    synthesize("Guten Tag.", "de")
    assert np.array_equal(synthesize(_TEXT).pcm, said.pcm)
    script = f"from tests.speech.synthesis import synthesize; print(hash(synthesize({_TEXT!r}).pcm.tobytes()))"
    done = [
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "1"}
        )
        for _ in range(2)
    ]
    assert done[0].stdout == done[1].stdout


@pytest.mark.parametrize("voice", ["nowhere", "en-us+nobody", "en-us+f2"])
def test_a_voice_that_is_not_there_or_is_each_time_another_is_refused(voice: str) -> None:
    with pytest.raises(ValueError, match=voice.partition("+")[2] or voice):
        synthesize(_TEXT, voice)


def test_the_same_words_are_faster_higher_and_louder_when_asked_for() -> None:
    plain = synthesize(_TEXT)
    assert len(synthesize(_TEXT, words_per_minute=220).pcm) < 0.9 * len(plain.pcm)
    assert level_db(synthesize(_TEXT, loudness=50).pcm) < level_db(plain.pcm) - 4


def test_sentences_are_many_different_and_free_of_digits() -> None:
    assert len(set(SENTENCES["en"])) >= 220
    for language, sentences in SENTENCES.items():
        assert len(set(sentences)) == len(sentences) >= 15
        assert language in VOICES
        assert not [text for text in sentences if any(character.isdigit() for character in text)]


@pytest.mark.parametrize("kind", noise.NOISES)
def test_noise_is_mixed_at_its_ratio(kind: str) -> None:
    spoken = synthesize(_TEXT).pcm
    loud = noise.mixed(spoken, noise.NOISES[kind](len(spoken)), snr_db=10)
    faint = noise.mixed(spoken, noise.NOISES[kind](len(spoken)), snr_db=20)
    added = [level_db(mixture - spoken) for mixture in (loud, faint)]
    assert added[0] - added[1] == pytest.approx(10, abs=0.5)
    assert level_db(spoken) - added[0] == pytest.approx(10, abs=3)


def test_a_telephone_leaves_its_band_and_keeps_the_length() -> None:
    spoken = synthesize(_TEXT).pcm
    heard = noise.telephone(spoken)
    assert len(heard) == len(spoken)
    assert level_db(noise.band(heard, 4000, 8000)) < level_db(noise.band(spoken, 4000, 8000)) - 20


def test_a_recording_too_loud_lies_at_full_scale_often() -> None:
    assert np.mean(np.abs(noise.clipped(synthesize(_TEXT).pcm)) == 1) > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_sound_without_speech_has_its_length_and_its_seed(kind: str) -> None:
    sound = non_speech(kind, 1, 3.3)
    assert sound.shape == (52_800,)
    assert sound.dtype == np.float32
    assert np.array_equal(sound, non_speech(kind, 1, 3.3))
    if kind == "silence":
        assert not sound.any()
    else:
        assert -70 < level_db(sound) < -10
        assert not np.array_equal(sound, non_speech(kind, 2, 3.3))


@pytest.mark.parametrize("kind", ["babble", "babble backwards"])
def test_a_crowd_sounds_like_speech_to_a_voice_detector(kind: str) -> None:
    """Else a recogniser would never be given it."""
    assert VoiceActivity()(non_speech(kind, 1, 20)).voiced_fraction > 0.1
