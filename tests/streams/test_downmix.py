import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from streams.decoding.downmix import downmixed
from tests.streams.test_sound import tone

pytestmark = pytest.mark.unit

VOICE, MUSIC = tone(1, hz=300), 0.6 * tone(1, hz=1_111)
SILENT = np.zeros_like(VOICE)


def mixed(*channels: NDArray[np.float32]) -> NDArray[np.float32]:
    return downmixed(np.stack(channels, axis=1))


def loudness_db(samples: NDArray[np.float32], of: NDArray[np.float32] = VOICE) -> float:
    return 20 * float(np.log10(samples.std() / of.std()))


def test_the_same_in_every_channel_is_itself() -> None:
    for channels in (1, 2, 4):
        np.testing.assert_allclose(mixed(*[VOICE] * channels), VOICE, atol=1e-6)


@pytest.mark.parametrize(
    "channels",
    [
        pytest.param((VOICE, -VOICE), id="opposite phase"),
        pytest.param((VOICE, SILENT), id="left alone"),
        pytest.param((SILENT, VOICE), id="right alone"),
        pytest.param((VOICE, -0.5 * VOICE), id="opposite and quieter"),
        pytest.param((SILENT, SILENT, VOICE, SILENT, SILENT, SILENT), id="the centre of 5.1"),
        pytest.param((SILENT, SILENT, VOICE, SILENT, SILENT, SILENT, SILENT, SILENT), id="the centre of 7.1"),
        pytest.param((SILENT, SILENT, VOICE, SILENT, SILENT), id="the centre of 5.0"),
        pytest.param((SILENT, SILENT, SILENT, SILENT, VOICE, SILENT), id="behind, in 5.1"),
        pytest.param((VOICE + 0.1, -VOICE - 0.1), id="opposite phase with an offset"),
    ],
)
def test_a_voice_is_as_loud_as_in_the_channel_that_holds_it(channels: tuple[NDArray[np.float32], ...]) -> None:
    assert abs(loudness_db(mixed(*channels))) < 0.1


def test_a_voice_in_the_centre_stands_above_music_beside_it() -> None:
    heard = mixed(MUSIC, MUSIC, VOICE, SILENT, SILENT, SILENT)
    share = heard @ VOICE / (VOICE @ VOICE), heard @ MUSIC / (MUSIC @ MUSIC)
    assert share[0] > 0.5
    assert share[0] / share[1] == pytest.approx(1 / np.sqrt(2), abs=0.01)  # two of music at -3 dB to one of voice


def test_rumble_in_the_low_frequency_channel_is_left_out() -> None:
    rumble = tone(1, hz=40)
    np.testing.assert_allclose(mixed(SILENT, SILENT, VOICE, rumble, SILENT, SILENT), VOICE, atol=1e-6)


def test_two_people_in_two_channels_are_both_heard() -> None:
    heard = mixed(VOICE, MUSIC)
    assert abs(heard @ VOICE / (VOICE @ VOICE)) > 0.5
    assert abs(heard @ MUSIC / (MUSIC @ MUSIC)) > 0.5


@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_no_mix_is_quieter_than_its_loudest_channel_or_beyond_full_scale(channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(channels, channels)) * rng.integers(0, 2, (channels, channels))
    samples = np.clip(0.1 * rng.normal(size=(400, channels)) @ mixing / channels, -1, 1).astype(np.float32)
    heard = downmixed(samples)
    loudest = max((samples[:, i].std() for i in range(channels) if not (channels in (6, 7, 8) and i == 3)), default=0)
    assert heard.std() == pytest.approx(loudest, rel=1e-3, abs=1e-6)
    assert np.abs(heard).max() <= 1


def test_silence_stays_so() -> None:
    assert not mixed(SILENT, SILENT).any()
