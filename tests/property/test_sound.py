"""However sound is cut and in whatever order it arrives, what is encoded is the sound itself."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.alignment.assembly import FOREVER_NS, SoundSegmenter
from streams.alignment.windows import SegmentGrid
from streams.clock import NS_PER_S
from streams.decoding.sound import RATE_HZ, render_segment
from streams.events import Event, Sound, SoundPieces
from streams.records import Modality
from tests.streams.making import START_NS, span_ns

pytestmark = pytest.mark.property

SECONDS = 3
WHOLE = np.random.default_rng(3).uniform(-1, 1, SECONDS * RATE_HZ).astype(np.float32)


@st.composite
def cut(draw: st.DrawFn) -> list[Event]:
    """The whole sound in pieces of any length, in any order."""
    cuts = draw(st.sets(st.integers(1, len(WHOLE) - 1), max_size=30))
    edges = [0, *sorted(cuts), len(WHOLE)]
    pieces = [
        Event(
            session="room",
            modality=Modality.AUDIO,
            time_ns=START_NS + first * NS_PER_S // RATE_HZ,
            duration_ns=(until - first) * NS_PER_S // RATE_HZ,
            received_ns=0,
            payload=Sound(WHOLE[first:until], RATE_HZ),
        )
        for first, until in pairwise(edges)
    ]
    return draw(st.permutations(pieces))


@given(cut(), st.sampled_from([0.5, 1.0, 3.0]))
def test_sound_cut_anywhere_comes_out_whole(pieces: list[Event], segment_s: float) -> None:
    segmenter = SoundSegmenter(SegmentGrid(span_ns(segment_s), span_ns(segment_s)))
    for piece in pieces:
        segmenter.add(piece)
    units = segmenter.release(FOREVER_NS)
    segments = [render_segment(u.payload, u.start_ns, u.end_ns) for u in units if isinstance(u.payload, SoundPieces)]
    assert np.array_equal(np.concatenate(segments), WHOLE)
    assert all(unit.received_fraction == pytest.approx(1) for unit in units)


@given(st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000, 96_000]), st.integers(1, 20), st.integers(0, 2**32))
def test_a_segment_has_its_length_and_bounds_whatever_the_rates(rate_hz: int, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pieces = tuple(
        (
            START_NS + int(random.integers(-NS_PER_S, 2 * NS_PER_S)),
            Sound(random.uniform(-1, 1, int(random.integers(1, rate_hz))).astype(np.float32), rate_hz),
        )
        for _ in range(count)
    )
    heard = render_segment(SoundPieces(pieces), START_NS, START_NS + NS_PER_S)
    assert heard.shape == (RATE_HZ,)
    assert heard.dtype == np.float32
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() < 2  # a resampled edge rings, and no more
