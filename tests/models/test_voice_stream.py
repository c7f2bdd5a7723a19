"""Voice of a stream, block by block: the same wherever one begins to listen, and of speech alone."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.speech.voice_stream import BLOCK_FRAMES, BLOCK_SAMPLES, REACH_BLOCKS, VoiceStream
from tests.speech.noise import mixed, pink
from tests.speech.non_speech import non_speech
from tests.speech.synthesis import RATE_HZ, Samples, synthesize

pytestmark = pytest.mark.unit

_BLOCK_S = BLOCK_SAMPLES / RATE_HZ
_VOICE = 0.5
_PAUSE_S = 0.7
_SAYINGS = ("We bought bread, milk and a bag of apples this morning.", "It was so cold that the pipes were frozen.")

Heard = dict[int, tuple[bytes, bytes]]
"""By block, the bytes of probability and level."""


@cache
def talk() -> Samples:
    """Two sentences, pauses and noise of a room: about half a minute."""
    pause = np.zeros(round(_PAUSE_S * RATE_HZ), np.float32)
    said = [piece for text in _SAYINGS for piece in (pause, synthesize(text).pcm)]
    whole = np.concatenate(said * 4)
    return mixed(whole, pink(len(whole)), snr_db=20)


def blocks(pcm: Samples) -> list[Samples]:
    return list(pcm[: len(pcm) // BLOCK_SAMPLES * BLOCK_SAMPLES].reshape(-1, BLOCK_SAMPLES))


def heard(sound: Sequence[Samples], indices: Sequence[int], first: int) -> Heard:
    """The voice in some blocks, the first of which on the grid is `first`."""
    stream = VoiceStream()
    found = {index: stream(first + index, sound[index]) for index in indices}
    return {index: (probability.tobytes(), level_db.tobytes()) for index, (probability, level_db) in found.items()}


def voiced(pcm: Samples, first: int = 7_001) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Of each frame whether it is voice."""
    stream = VoiceStream()
    return np.concatenate([stream(first + at, block)[0] for at, block in enumerate(blocks(pcm))]) >= _VOICE


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 60), st.integers(0, 31), st.sets(st.integers(0, 80), max_size=3))
def test_voice_depends_on_the_sound_of_its_reach_alone(start: int, first: int, missing: set[int]) -> None:
    sound = blocks(talk())
    there = [index for index in range(len(sound)) if index not in missing]
    whole = heard(sound, there, first)
    later = heard(sound, [index for index in there if index >= start], first)
    known = [index for index in later if index >= start + REACH_BLOCKS]
    assert known
    assert {index: later[index] for index in known} == {index: whole[index] for index in known}


def test_the_reach_is_no_longer_than_it_must_be() -> None:
    sound = blocks(talk())
    whole = heard(sound, range(50), 0)
    differing = set[int]()
    for start in range(1, 17):
        later = heard(sound, range(start, start + 30), 0)
        differing |= {index - start for index in later if later[index] != whole[index]}
    assert REACH_BLOCKS // 2 < max(differing) < REACH_BLOCKS


def test_a_block_after_a_gap_is_heard_as_a_first_one() -> None:
    sound = blocks(talk())
    after_a_gap = heard(sound, [3, 4, 5, 9, 10, 11], 0)
    first = heard(sound, [9, 10, 11], 0)
    assert {index: after_a_gap[index] for index in first} == first


@pytest.mark.parametrize("snr_db", [20, 10, 5])
def test_speech_is_found_in_noise_and_pauses_are_not(snr_db: float) -> None:
    spoken = synthesize(_SAYINGS[0]).pcm
    quiet = np.zeros(2 * RATE_HZ, np.float32)
    whole = np.concatenate([quiet, spoken, quiet])
    found = voiced(mixed(whole, pink(len(whole)), snr_db))
    frames_per_s = BLOCK_FRAMES / _BLOCK_S
    begin, end = round(2 * frames_per_s), round((2 + len(spoken) / RATE_HZ) * frames_per_s)
    assert found[begin:end].mean() > 0.7
    assert found[: begin - 8].mean() < 0.1
    assert found[end + 16 :].mean() < 0.1


@pytest.mark.parametrize("kind", ["silence", "room", "hum", "tones", "knocks", "wind"])
def test_sound_without_speech_is_not_voice(kind: str) -> None:
    assert voiced(non_speech(kind, 1, 20)).mean() < 0.05


def test_the_level_is_that_of_the_sound_and_silence_is_no_voice() -> None:
    loud = np.full(BLOCK_SAMPLES, 0.1, np.float32)
    probability, level_db = VoiceStream()(0, np.zeros(BLOCK_SAMPLES, np.float32))
    assert probability.shape == level_db.shape == (BLOCK_FRAMES,)
    assert not probability.any()
    assert VoiceStream()(0, loud)[1] == pytest.approx([-20] * BLOCK_FRAMES, abs=0.1)
    assert (level_db <= -90).all()


@pytest.mark.parametrize("pcm", [np.zeros(BLOCK_SAMPLES - 1, np.float32), np.zeros(BLOCK_SAMPLES)])
def test_another_shape_or_type_is_refused(pcm: Samples) -> None:
    with pytest.raises(ValueError, match="voice activity"):
        VoiceStream()(0, pcm)
