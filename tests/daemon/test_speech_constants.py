"""What `streams` and `models` must both know of voice, though neither imports the other."""

import pytest

from models.speech import activity, voice_stream
from models.transcription import recognizer
from streams.clock import NS_PER_S
from streams.decoding.sound import RATE_HZ
from streams.speech import session_speech, utterances

pytestmark = pytest.mark.unit

_PADDINGS_S = 1.0  # more than what is read before and after the voice


def test_a_frame_of_voice_is_as_long_for_both() -> None:
    assert activity.FRAME_SAMPLES * NS_PER_S == utterances.FRAME_NS * RATE_HZ


def test_a_block_of_sound_is_as_long_for_both() -> None:
    assert session_speech.BLOCK_FRAMES == voice_stream.BLOCK_FRAMES
    assert session_speech.BLOCKS.hop_ns * RATE_HZ == voice_stream.BLOCK_SAMPLES * NS_PER_S


def test_voice_reaches_as_far_for_both() -> None:
    assert session_speech.VOICE_REACH_BLOCKS == voice_stream.REACH_BLOCKS


def test_the_longest_utterance_is_one_that_the_recogniser_takes_and_the_shortest_too() -> None:
    assert utterances.LONGEST_NS / NS_PER_S + _PADDINGS_S < recognizer.LONGEST_S
    assert utterances.FRAME_NS * 5 / NS_PER_S > recognizer.SHORTEST_S
