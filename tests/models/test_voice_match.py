"""A voice is one's whose mouth moves with it, where that is certain; else nobody's."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.face.sight import LOOK_PX
from models.face.voice_match import VOICED_HZ, HeardVoice, SeenFace, face_of_voice

pytestmark = pytest.mark.unit

_S, _HZ = 50, 5
_FACE = np.random.default_rng(1).integers(60, 200, (LOOK_PX, LOOK_PX))
Floats = NDArray[np.float64]


def speech(seed: int, share: float = 0.5) -> Floats:
    """Phrases of one to four seconds with pauses between: voiced shares of tenths."""
    rng, voiced = np.random.default_rng(seed), list[float]()
    while len(voiced) < _S * VOICED_HZ:
        length = rng.integers(10, 40)
        voiced += [1.0] * round(2 * share * length) + [0.0] * round(2 * (1 - share) * length)
    return np.array(voiced[: _S * VOICED_HZ])


def face(moving: Floats, seed: int, seen: slice = slice(None)) -> SeenFace:
    """A face whose mouth opens anew on every picture while `moving`, and whose head nods a little."""
    rng, times = np.random.default_rng(seed), np.arange(_S * _HZ)
    looks = np.repeat(_FACE[None], len(times), axis=0) + rng.normal(0, 3, (len(times), LOOK_PX, LOOK_PX))
    looks += rng.normal(0, 6, len(times))[:, None, None] * np.linspace(-1, 1, LOOK_PX)[None, :, None]
    opened = rng.uniform(0, 60, len(times)) * moving[times * VOICED_HZ // _HZ]
    looks[:, 16:21, 9:15] -= opened[:, None, None]
    stamps = times * (1_000_000_000 // _HZ)
    return SeenFace(stamps[seen], np.clip(looks, 0, 255).astype(np.uint8)[seen])


def heard(voiced: Floats) -> HeardVoice:
    return HeardVoice(0, voiced)


STILL = np.zeros(_S * VOICED_HZ)


@pytest.mark.parametrize("seed", range(5))
def test_the_voice_is_theirs_whose_mouth_moves_with_it(seed: int) -> None:
    voice = speech(seed)
    assert face_of_voice([face(STILL, 1), face(voice, 2)], heard(voice)) == 1
    assert face_of_voice([face(voice, 2), face(speech(seed + 50), 3)], heard(voice)) == 0


@pytest.mark.parametrize("seed", range(5))
def test_a_voice_that_moves_no_mouth_is_nobodys(seed: int) -> None:
    voice = heard(speech(seed))
    assert face_of_voice([face(STILL, 1), face(STILL, 2)], voice) is None
    assert face_of_voice([face(speech(seed + 50), 1), face(speech(seed + 60), 2)], voice) is None


@pytest.mark.parametrize("theirs", [0.5, 0.7])
def test_voices_that_take_turns_are_nobodys(theirs: float) -> None:
    voice = speech(1)
    first = np.arange(len(voice)) % 100 < theirs * 100
    assert face_of_voice([face(voice * first, 1), face(voice * ~first, 2)], heard(voice)) is None


def test_a_voice_is_nobodys_where_two_mouths_move_with_it() -> None:
    voice = speech(1)
    assert face_of_voice([face(voice, 1), face(voice, 2)], heard(voice)) is None


@pytest.mark.parametrize("share", [0.05, 0.98])
def test_without_seconds_of_speech_and_of_silence_nothing_is_certain(share: float) -> None:
    voice = np.zeros(_S * VOICED_HZ)
    voice[: round(share * len(voice))] = 1
    assert face_of_voice([face(voice, 1), face(STILL, 2)], heard(voice)) is None


def test_a_mouth_that_is_hardly_seen_has_no_voice() -> None:
    voice = speech(1)
    assert face_of_voice([face(voice, 1, slice(0, 40)), face(STILL, 2)], heard(voice)) is None


def test_time_without_sound_counts_for_nothing() -> None:
    voice = speech(1)
    gone = voice.copy()
    gone[100:150] = np.nan
    faces = [face(voice, 1), face(STILL, 2)]
    assert face_of_voice(faces, heard(gone)) == 0
    assert face_of_voice(faces, heard(np.full(len(voice), np.nan))) is None
    assert face_of_voice(faces, HeardVoice(10**15, voice)) is None


def test_a_voice_is_asked_for_by_spans_of_time() -> None:
    voice = HeardVoice(1_000_000_000, np.array([0.0, 1.0, 1.0, np.nan]))
    spans = np.array([[1.0, 1.2], [1.1, 1.3], [1.2, 1.4], [0.9, 1.1], [1.1, 1.11]]) * 1e9
    starts, ends = spans.astype(np.int64).T
    assert voice.between(starts, ends).tolist() == pytest.approx([0.5, 1.0, np.nan, np.nan, 1.0], nan_ok=True)


def test_no_faces_have_no_voice() -> None:
    assert face_of_voice([], heard(speech(1))) is None
    assert face_of_voice([SeenFace(np.array([0]), np.zeros((1, LOOK_PX, LOOK_PX), np.uint8))], heard(STILL)) is None
