"""What a voice says is the same however its frames are stamped, and is less sure the more of it is missing."""

from collections.abc import Callable, Iterable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import daemon.sample
from daemon.config import Config
from daemon.scoring.preparer import build_preparer
from models.encoder import Encoded
from models.model import AffectModel, WindowFeatures
from models.scores import Scores
from streams.alignment.assembly import FOREVER_NS, SoundSegmenter
from streams.alignment.windows import SegmentGrid
from streams.clock import NS_PER_MS, NS_PER_S
from streams.decoding.sound import RATE_HZ
from streams.events import Event, Sound
from streams.records import Modality
from tests.streams.making import ns

pytestmark = pytest.mark.unit

LENGTH_S, FRAME_NS = 6, 20 * NS_PER_MS
FRAME = RATE_HZ // 50
JITTER_NS = [round(x) for x in np.random.default_rng(2).uniform(-15, 15, LENGTH_S * 50) * NS_PER_MS]
Stamp = Callable[[int], int]


@pytest.fixture(scope="module")
def model() -> AffectModel:
    return AffectModel.load("default", "cpu", threads=1)


@pytest.fixture(scope="module")
def voice() -> NDArray[np.int16]:
    """The first sound of the bundled session."""
    resampler = av.AudioResampler("s16", "mono", RATE_HZ)
    with av.open(str(Path(daemon.sample.__file__).parent / "sample.mp4")) as file:
        frames = [part.to_ndarray()[0] for frame in file.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate(frames)[: LENGTH_S * RATE_HZ].astype(np.int16)


def scored(model: AffectModel, voice: NDArray[np.int16], kept: Iterable[int], stamp: Stamp) -> Scores:
    """The answer to the voice in numbered frames of 20 ms, stamped so from its start."""
    segmenter = SoundSegmenter(SegmentGrid(2 * NS_PER_S, NS_PER_S))
    for at in kept:
        heard = Sound(voice[at * FRAME : (at + 1) * FRAME], RATE_HZ)
        segmenter.add(Event("room", Modality.AUDIO, ns(0) + stamp(at), FRAME_NS, 0, heard, sequence=at))
    encoder = model.encoders["audio"]
    preparer = build_preparer(Config(), model)
    inside = [u for u in segmenter.release(FOREVER_NS) if ns(0) <= u.start_ns and u.end_ns <= ns(LENGTH_S)]
    rows = [row for unit in inside for row in preparer.prepare(unit).rows]
    encoded = encoder.encode(rows)
    return model.fuse([WindowFeatures({"audio": Encoded(encoded.embedding, encoded.weight)})])[0]


@pytest.fixture(scope="module")
def whole(model: AffectModel, voice: NDArray[np.int16]) -> Scores:
    return scored(model, voice, range(LENGTH_S * 50), lambda at: at * FRAME_NS)


@pytest.mark.parametrize(
    "stamp",
    [
        pytest.param(lambda at: at * FRAME_NS + JITTER_NS[at], id="jitter"),
        pytest.param(lambda at: at // 5 * 5 * FRAME_NS, id="five at a time"),
        pytest.param(lambda at: at * FRAME_NS * 1_010 // 1_000, id="a slow clock"),
    ],
)
def test_a_voice_says_the_same_however_its_frames_are_stamped(
    model: AffectModel, voice: NDArray[np.int16], whole: Scores, stamp: Stamp
) -> None:
    found = scored(model, voice, range(LENGTH_S * 50), stamp)
    assert found.label == whole.label
    assert np.abs(np.subtract(found.emotion, whole.emotion)).max() < 0.15


def test_a_voice_of_which_most_was_lost_is_less_sure(
    model: AffectModel, voice: NDArray[np.int16], whole: Scores
) -> None:
    random = np.random.default_rng(4)
    kept = [at for at in range(LENGTH_S * 50) if random.uniform() < 0.33]
    broken = scored(model, voice, kept, lambda at: at * FRAME_NS)
    assert max(whole.emotion) > 0.7
    assert broken.abstained == "low_confidence"


def test_pauses_of_the_sender_do_not_make_a_voice_less_sure(model: AffectModel, voice: NDArray[np.int16]) -> None:
    """Of every second 600 ms are sent, unbroken."""
    kept = [at for at in range(LENGTH_S * 50) if at % 50 < 30]
    sent = scored(model, voice, kept, lambda at: at * FRAME_NS)
    muted = np.where(np.arange(len(voice)) % RATE_HZ < RATE_HZ * 6 // 10, voice, 0).astype(np.int16)
    muted_whole = scored(model, muted, range(LENGTH_S * 50), lambda at: at * FRAME_NS)
    torch.testing.assert_close(torch.tensor(sent.emotion), torch.tensor(muted_whole.emotion), atol=1e-4, rtol=0)
