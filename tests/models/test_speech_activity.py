import numpy as np
import pytest

from models.speech.activity import VoiceActivity

pytestmark = pytest.mark.unit

_TIME_S = np.arange(16_000) / 16_000


def _noise(amplitude: float) -> np.ndarray:
    return np.random.default_rng(1).normal(0, amplitude, 16_000)


def vowel(pitch_hz: float = 120.0) -> np.ndarray:
    """A sung "ah": harmonics of a wavering pitch under three formants, rising and falling like a syllable."""
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 + 0.03 * np.sin(2 * np.pi * 5 * _TIME_S))) / 16_000
    harmonics = np.arange(1, 40)
    formants = [(700, 130), (1220, 150), (2600, 200)]
    gain = 0.02 + np.sum(
        [np.exp(-(((harmonics * pitch_hz - centre) / width) ** 2)) for centre, width in formants], axis=0
    )
    sound = (gain[:, None] * np.sin(harmonics[:, None] * phase)).sum(0)
    syllables = np.clip(np.sin(2 * np.pi * 3 * _TIME_S), 0, 1)
    return np.asarray(0.2 * sound / np.abs(sound).max() * syllables)


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param(np.zeros(16_000), id="silence"),
        pytest.param(_noise(1e-4), id="the noise of a converter"),
        pytest.param(_noise(0.01), id="white noise"),
        pytest.param(_noise(0.1), id="loud white noise"),
        pytest.param(0.3 * np.sin(2 * np.pi * 50 * _TIME_S), id="mains hum"),
        pytest.param(0.3 * np.sin(2 * np.pi * 440 * _TIME_S), id="a pure tone"),
        pytest.param(0.3 * np.sin(2 * np.pi * 3000 * _TIME_S), id="a whistle"),
    ],
)
def test_what_is_not_voice_is_unvoiced(sound: np.ndarray) -> None:
    found = VoiceActivity()(sound.astype(np.float32))
    assert found.voiced_fraction == 0
    assert not found.voiced.any()
    assert found.snr_db == 0


def test_a_voice_is_voiced_and_its_pauses_are_not() -> None:
    half = np.concatenate([vowel()[:8000], np.zeros(8000)]).astype(np.float32)
    found = VoiceActivity()(half)
    assert found.voiced[:14].any()
    assert not found.voiced[-8:].any()
    assert 0 < found.voiced_fraction < 0.6


def test_the_last_frame_is_counted_though_the_second_does_not_fill_it() -> None:
    assert VoiceActivity()(np.zeros(16_000, np.float32)).voiced.shape == (32,)


def test_level_follows_the_gain_in_decibels() -> None:
    loud = VoiceActivity()(vowel().astype(np.float32))
    quiet = VoiceActivity()((0.1 * vowel()).astype(np.float32))
    assert loud.voiced.any()
    assert loud.level_db - quiet.level_db == pytest.approx(20, abs=3)


def test_the_sound_given_is_left_as_it_was() -> None:
    sound = vowel().astype(np.float32)[:15_872]  # whole frames, so that no padding hides a write
    before = sound.copy()
    VoiceActivity()(sound)
    np.testing.assert_array_equal(sound, before)


@pytest.mark.parametrize(
    "sound", [np.zeros(0, np.float32), np.zeros((2, 512), np.float32), np.zeros(512, np.float64)], ids=str
)
def test_other_shapes_and_types_are_refused(sound: np.ndarray) -> None:
    with pytest.raises(ValueError, match="voice activity"):
        VoiceActivity()(sound)
