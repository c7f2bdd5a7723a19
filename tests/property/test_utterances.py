"""Whoever begins to listen, wherever, finds the same utterances from a known time after."""

from itertools import groupby, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.events import Voice
from streams.speech.utterances import FRAME_NS, LONGEST_NS, REACH_NS, Utterance, UtteranceSegmenter

BEGIN = 123_456
RUNS = st.lists(
    st.tuples(st.sampled_from((0.0, 0.4, 0.9)), st.sampled_from((1, 3, 11, 12, 40, 180, 300, 700))),
    min_size=1,
    max_size=8,
)
BLOCK = 8


@st.composite
def voices(draw: st.DrawFn) -> Voice:
    runs = draw(RUNS)
    probability = [p for p, length in runs for _ in range(length)]
    levels = draw(st.lists(st.integers(-60, -10), min_size=1, max_size=97))
    return Voice(tuple(probability), tuple(float(levels[i % len(levels)]) for i in range(len(probability))))


def heard_from(voice: Voice, first: int) -> list[Utterance]:
    """All utterances of the frames from `first` on, taken in blocks."""
    segmenter, found = UtteranceSegmenter(), list[Utterance]()
    for at in range(first, len(voice.probability), BLOCK):
        block = Voice(voice.probability[at : at + BLOCK], voice.level_db[at : at + BLOCK])
        found += segmenter.take(BEGIN + at, block)
    return found + segmenter.silence_until(BEGIN + len(voice.probability) + 100)


@settings(max_examples=100, deadline=None)
@given(voices(), st.floats(0, 1))
def test_utterances_depend_on_the_voice_of_their_reach_alone(voice: Voice, share: float) -> None:
    first = int(share * len(voice.probability))
    known_from_ns = (BEGIN + first) * FRAME_NS + REACH_NS
    expected = [u for u in heard_from(voice, 0) if u.end_ns >= known_from_ns]
    assert [u for u in heard_from(voice, first) if u.end_ns >= known_from_ns] == expected


@settings(max_examples=100, deadline=None)
@given(voices())
def test_utterances_are_in_order_apart_and_never_too_long(voice: Voice) -> None:
    found = heard_from(voice, 0)
    assert all(0 < u.end_ns - u.start_ns <= LONGEST_NS for u in found)
    assert all(one.end_ns <= other.start_ns and one.until_ns <= other.start_ns for one, other in pairwise(found))


@settings(max_examples=100, deadline=None)
@given(voices())
def test_all_voice_but_knocks_is_in_an_utterance(voice: Voice) -> None:
    found = heard_from(voice, 0)
    certain = [(BEGIN + at) * FRAME_NS for at, p in enumerate(voice.probability) if p >= 0.5]
    missed = [at for at in certain if not any(u.start_ns <= at < u.end_ns for u in found)]
    runs = [list(run) for _, run in groupby(enumerate(missed), key=lambda place: place[1] - place[0] * FRAME_NS)]
    assert all(len(run) < 5 for run in runs)
