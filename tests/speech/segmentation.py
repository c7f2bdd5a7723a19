"""Utterances of a whole recording, cut as the service cuts a stream."""

import numpy as np

from models.speech.voice_stream import BLOCK_SAMPLES, VoiceStream
from streams.events import Voice
from streams.speech.utterances import FRAME_NS, Utterance, UtteranceSegmenter
from tests.speech.synthesis import RATE_HZ, Samples

_FRAMES_PER_BLOCK = BLOCK_SAMPLES * 1_000_000_000 // RATE_HZ // FRAME_NS
_END_FRAMES = 64  # of silence, in which the last utterance ends


def utterances_in(sound: Samples) -> list[Samples]:
    """The stretches that the recogniser is given, of sound that begins on the grid of event time."""
    detect, segmenter = VoiceStream(), UtteranceSegmenter()
    blocks = -(-len(sound) // BLOCK_SAMPLES)
    padded = np.zeros(blocks * BLOCK_SAMPLES, np.float32)
    padded[: len(sound)] = sound
    found: list[Utterance] = []
    for index, block in enumerate(padded.reshape(blocks, BLOCK_SAMPLES)):
        probability, level_db = detect(index, block)
        found += segmenter.take(index * _FRAMES_PER_BLOCK, Voice(tuple(probability), tuple(level_db)))
    found += segmenter.silence_until(blocks * _FRAMES_PER_BLOCK + _END_FRAMES)
    return [sound[_sample(utterance.from_ns) : _sample(utterance.until_ns)] for utterance in found]


def _sample(time_ns: int) -> int:
    return max(0, time_ns * RATE_HZ // 1_000_000_000)
