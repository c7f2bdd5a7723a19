"""Sound without a word in it, of many kinds: seeded, of any length.

What a seed changes: the level, the tempo, the pitches, where things happen. Ten seeds of a minute are more various than
ten minutes of one.
"""

import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from tests.speech import noise
from tests.speech.sentences import SENTENCES
from tests.speech.synthesis import RATE_HZ, VOICES, Samples, synthesize

_Sound = npt.NDArray[np.floating]
_Generator = Callable[[int, np.random.Generator], _Sound]

_LEVELS_DB = (-40.0, -12.0)
"""Root mean square of full scale; the crest factor of what is made fits above it."""


def non_speech(kind: str, seed: int, seconds: float) -> Samples:
    """Makes sound of a kind (a key of KINDS): (samples,) float32 in -1..1 at 16 kHz."""
    rng = np.random.default_rng((zlib.crc32(kind.encode()), seed))
    samples = round(seconds * RATE_HZ)
    sound = KINDS[kind](samples, rng)
    power = np.square(sound, dtype=np.float64).mean()
    level_db = _ROOM_DB if kind == "room" else rng.uniform(*_LEVELS_DB)
    gain = 10 ** (level_db / 20) / np.sqrt(power) if power > 0 else 0.0
    return np.clip(sound * gain, -1, 1).astype(np.float32)


_ROOM_DB = -60.0
_DTMF_HZ = ((697, 770, 852, 941), (1209, 1336, 1477, 1633))
_SCALE = (0, 2, 4, 5, 7, 9, 11, 12)
_CHORDS = ((0, 4, 7), (5, 9, 12), (7, 11, 14), (9, 12, 16), (2, 5, 9))
_BABBLERS, _BACKWARDS = 10, 4


def _noise_of(slope: float) -> _Generator:
    return lambda samples, rng: noise.coloured(samples, slope, int(rng.integers(1 << 31)))


def _silence(samples: int, rng: np.random.Generator) -> _Sound:
    return np.zeros(samples, np.float32)


def _room(samples: int, rng: np.random.Generator) -> _Sound:
    """A quiet room: brown noise, some mains, a converter's hiss."""
    hiss = rng.normal(0, 0.1, samples)
    return _noise_of(-1.0)(samples, rng) + 0.3 * _hum(samples, rng) + hiss


def _hum(samples: int, rng: np.random.Generator) -> _Sound:
    return noise.hum(samples, float(rng.choice((50.0, 60.0))))


def _tones(samples: int, rng: np.random.Generator) -> _Sound:
    """Pure tones and sweeps, half a second to four seconds each, with pauses."""
    sound = np.zeros(samples)
    at = 0
    while at < samples:
        length = round(rng.uniform(0.5, 4.0) * RATE_HZ)
        first_hz, last_hz = rng.uniform(80, 4000, 2)
        last_hz = last_hz if rng.random() < 0.4 else first_hz
        _add(sound, at, _faded(np.sin(_phase(np.linspace(first_hz, last_hz, length)))))
        at += length + round(rng.choice((0.0, 0.3, 1.5)) * RATE_HZ)
    return sound


def _dtmf(samples: int, rng: np.random.Generator) -> _Sound:
    """Telephone keys, in numbers of ten, with the ringing tone between them."""
    sound = np.zeros(samples)
    at = 0
    while at < samples:
        for _ in range(10):
            low_hz, high_hz = rng.choice(_DTMF_HZ[0]), rng.choice(_DTMF_HZ[1])
            _add(sound, at, _both(low_hz, high_hz, 0.1))
            at += round(rng.uniform(0.15, 0.35) * RATE_HZ)
        for _ in range(2):
            _add(sound, at + RATE_HZ // 2, _both(440, 480, 2.0))
            at += 5 * RATE_HZ
    return sound


def _music(samples: int, rng: np.random.Generator) -> _Sound:
    """Chords, a bass, a melody and drums in bars of four beats; the instruments differ from seed to seed."""
    beat = round(60 / rng.uniform(70, 150) * RATE_HZ)
    root_hz = 110 * 2 ** (rng.integers(12) / 12)
    partials = 1 / np.arange(1, rng.integers(3, 9)) ** rng.uniform(0.8, 2)
    drums, melody = rng.random() < 0.7, rng.random() < 0.8
    sound = np.zeros(samples + 4 * beat)
    for bar, at in enumerate(range(0, samples, 4 * beat)):
        chord = _CHORDS[rng.integers(len(_CHORDS)) if bar % 4 else 0]
        for step in chord:
            _add(sound, at, 0.5 * _note(root_hz * 2 * 2 ** (step / 12), 4 * beat, partials))
        _add(sound, at, _note(root_hz * 2 ** (chord[0] / 12) / 2, 2 * beat, partials))
        for number in range(8):
            where = at + number * beat // 2
            if melody and rng.random() < 0.7:
                pitch_hz = root_hz * 4 * 2 ** (rng.choice(_SCALE) / 12)
                _add(sound, where, 0.7 * _note(pitch_hz, round(rng.uniform(0.5, 1.5) * beat), partials))
            if drums:
                _add(sound, where, _drum(number, rng))
    return sound[:samples]


def _breath(samples: int, rng: np.random.Generator) -> _Sound:
    """Breathing near a microphone: noise through the bands of an open mouth, in and out every few seconds."""
    hiss = rng.normal(0, 1, samples)
    mouth = sum(
        (
            weight * noise.band(hiss.astype(np.float32), low, low * 2.2)
            for low, weight in ((350, 0.5), (900, 1), (2200, 0.6))
        ),
        np.zeros(samples),
    )
    envelope = np.zeros(samples)
    at = 0
    while at < samples:
        for loudness, length_s in ((0.6, rng.uniform(0.8, 1.6)), (1.0, rng.uniform(1.0, 2.2))):
            length = round(length_s * RATE_HZ)
            _add(envelope, at, loudness * np.sin(np.linspace(0, np.pi, length)) ** 1.5)
            at += length + round(rng.uniform(0.05, 0.6) * RATE_HZ)
    return mouth * envelope


def _knocks(samples: int, rng: np.random.Generator) -> _Sound:
    """Clicks, typing and knocks on wood over a quiet room."""
    sound = 0.003 * _noise_of(-1.0)(samples, rng)
    at = 0
    while at < samples:
        for _ in range(rng.integers(1, 9)):
            resonance_hz, decay_s = rng.choice(((180, 0.06), (400, 0.03), (2500, 0.008)))
            length = round(6 * decay_s * RATE_HZ)
            time_s = np.arange(length) / RATE_HZ
            struck = np.sin(2 * np.pi * resonance_hz * time_s) + 0.5 * rng.normal(0, 1, length)
            _add(sound, at, rng.uniform(0.3, 1) * struck * np.exp(-time_s / decay_s))
            at += round(rng.uniform(0.08, 0.5) * RATE_HZ)
        at += round(rng.uniform(0.3, 3.0) * RATE_HZ)
    return sound


def _humming(samples: int, rng: np.random.Generator) -> _Sound:
    """A voice that hums a melody with its mouth closed: no vowel, no consonant."""
    sound = np.zeros(samples)
    root_hz, at = rng.uniform(90, 220), 0
    while at < samples:
        length = round(rng.uniform(0.3, 1.5) * RATE_HZ)
        time_s = np.arange(length) / RATE_HZ
        pitch_hz = root_hz * 2 ** (rng.choice(_SCALE) / 12) * (1 + 0.01 * np.sin(2 * np.pi * 5 * time_s))
        phase = _phase(pitch_hz)
        gains = [_nasal(number * root_hz) for number in range(1, 20)]
        waves = [gain * np.sin(number * phase) for number, gain in enumerate(gains, start=1)]
        _add(sound, at, _faded(np.sum(waves, axis=0), 0.08))
        at += length + (round(rng.uniform(0.3, 2) * RATE_HZ) if rng.random() < 0.15 else 0)
    return sound


def _babble(samples: int, rng: np.random.Generator) -> _Sound:
    """A crowd: ten voices forwards and four backwards at once, as loud as one another."""
    return _crowd(samples, rng, _BABBLERS) + _crowd(samples, rng, _BACKWARDS)[::-1]


def _babble_backwards(samples: int, rng: np.random.Generator) -> _Sound:
    return _crowd(samples, rng, _BACKWARDS)[::-1]


def _siren(samples: int, rng: np.random.Generator) -> _Sound:
    """A siren that wails or has two tones, over traffic."""
    time_s = np.arange(samples) / RATE_HZ
    turn_s = rng.uniform(0.3, 4)
    swing = np.sin(2 * np.pi * time_s / turn_s)
    pitch_hz = 900 + 350 * (swing if rng.random() < 0.5 else np.sign(swing))
    phase = _phase(pitch_hz)
    return np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase) + 0.3 * _noise_of(-1.0)(samples, rng)


def _wind(samples: int, rng: np.random.Generator) -> _Sound:
    """Gusts: brown noise that swells, and howls a little."""
    gusts = noise.coloured(-(-samples // 1600) + 2, -1.0, int(rng.integers(1 << 31)))
    swell: _Sound = np.exp(0.8 * np.interp(np.arange(samples) / 1600, np.arange(len(gusts)), gusts))
    howl = noise.band(rng.normal(0, 1, samples).astype(np.float32), 380, 460)
    return swell * (_noise_of(-1.0)(samples, rng) + 0.5 * swell * howl)


KINDS: dict[str, _Generator] = {
    "silence": _silence,
    "room": _room,
    "white": _noise_of(0.0),
    "pink": _noise_of(-0.5),
    "brown": _noise_of(-1.0),
    "hum": _hum,
    "tones": _tones,
    "dtmf": _dtmf,
    "music": _music,
    "breath": _breath,
    "knocks": _knocks,
    "humming": _humming,
    "babble": _babble,
    "babble backwards": _babble_backwards,
    "siren": _siren,
    "wind": _wind,
}


def _crowd(samples: int, rng: np.random.Generator, voices: int) -> _Sound:
    """Voices that talk at once, each from somewhere in a sentence of its own on."""
    sound = np.zeros(samples)
    said = _sayings()
    for _ in range(voices):
        at = -round(rng.uniform(0, 3) * RATE_HZ)
        while at < samples:
            saying = said[rng.integers(len(said))]
            _add(sound, at, saying)
            at += len(saying)
    return sound


@cache
def _sayings() -> list[Samples]:
    """Two sentences of each of 30 speakers, without the pause at the end, all equally loud."""
    rng = np.random.default_rng(5)
    said = []
    for number, text in enumerate(SENTENCES["en"][:240:4]):
        voice = VOICES["en"][number % len(VOICES["en"])]
        words_per_minute, pitch = int(rng.integers(130, 210)), int(rng.integers(20, 85))
        spoken = synthesize(text, voice, words_per_minute, pitch)
        pcm = spoken.pcm[: round(spoken.words[-1].end_s * RATE_HZ)]
        said.append(np.asarray(pcm / np.sqrt(np.square(pcm).mean()), np.float32))
    return said


def _add(sound: _Sound, at: int, piece: _Sound) -> None:
    """Adds a piece at a sample; what reaches over the ends is left out."""
    first, last = max(at, 0), min(at + len(piece), len(sound))
    if first < last:
        sound[first:last] += piece[first - at : last - at]


def _nasal(frequency_hz: float) -> float:
    """The gain of a nose at a frequency: three resonances, one much louder than the others."""
    resonances = ((250, 100, 1.0), (1000, 200, 0.15), (2200, 300, 0.1))
    return float(sum(gain / (1 + ((frequency_hz - at_hz) / width_hz) ** 2) for at_hz, width_hz, gain in resonances))


def _phase(pitch_hz: _Sound) -> _Sound:
    return 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ


def _faded(piece: _Sound, fade_s: float = 0.02) -> _Sound:
    ramp = np.minimum(1, np.arange(len(piece)) / (fade_s * RATE_HZ))
    return piece * ramp * ramp[::-1]


def _both(first_hz: float, second_hz: float, length_s: float) -> _Sound:
    time_s = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    return _faded(np.sin(2 * np.pi * first_hz * time_s) + np.sin(2 * np.pi * second_hz * time_s), 0.005)


def _note(pitch_hz: float, length: int, partials: _Sound) -> _Sound:
    time_s = np.arange(length) / RATE_HZ
    waves = [weight * np.sin(2 * np.pi * number * pitch_hz * time_s) for number, weight in enumerate(partials, start=1)]
    return _faded(np.sum(waves, axis=0) * np.exp(-2 * time_s))


def _drum(number: int, rng: np.random.Generator) -> _Sound:
    """A bass drum on the first and third beat, a snare on the others, a cymbal between them."""
    time_s = np.arange(round(0.2 * RATE_HZ)) / RATE_HZ
    hiss = rng.normal(0, 1, len(time_s))
    if number % 4 == 0:
        return 2 * np.sin(2 * np.pi * 55 * time_s * np.exp(-3 * time_s)) * np.exp(-15 * time_s)
    if number % 4 == 2:
        return (hiss + np.sin(2 * np.pi * 190 * time_s)) * np.exp(-20 * time_s)
    return 0.3 * hiss * np.exp(-60 * time_s)
