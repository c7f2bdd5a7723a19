"""Synthesises speech, with the times of its words.

The synthesiser is espeak-ng, from the package espeakng_loader.

The library is one state machine in the process, and what it said before changes what it says next. So each call loads
it anew (3 ms), and calls take turns: the same arguments give the same samples, in any order and from any thread.
"""

import _ctypes
import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import espeakng_loader
import numpy as np
import numpy.typing as npt
import soxr

RATE_HZ = 16_000

VOICES = {
    "en": ("en-us", "en-gb", "en-gb-scotland", "en-us+f4", "en-us+m3", "en-gb+Annie", "en-us+m7", "en-gb-x-rp+f1"),
    "de": ("de", "de+f4", "de+m3"),
    "es": ("es", "es-419", "es+f4"),
    "fr": ("fr-fr", "fr-fr+f4", "fr-ch"),
    "zh": ("cmn", "cmn+f4"),
}
"""Voices of a language that differ in accent, sex and timbre; `+f4` and the like are variants of espeak-ng."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word of the text, and when it is heard.

    Short words that the synthesiser runs together are one ("of the"). Chinese words are those of its dictionary.
    """

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Spoken:
    """Synthesised sound.

    pcm: (samples,) float32 in -1..1 at 16 kHz. words: in order, by the synthesiser's own marks.
    """

    pcm: Samples
    words: tuple[SpokenWord, ...]


def synthesize(
    text: str, voice: str = "en-us", words_per_minute: int = 165, pitch: int = 50, loudness: int = 100
) -> Spoken:
    """Says a text.

    pitch: 0..99, loudness: 0..200 (espeak-ng's scales). Raises ValueError for an unknown voice.
    """
    if not text.strip():
        raise ValueError("synthesize: no text")
    with _TURN:
        said = _say(text, voice, {_RATE: words_per_minute, _PITCH: pitch, _VOLUME: loudness})
    samples, rate_hz = np.concatenate(said.pieces), said.rate_hz
    words = tuple(
        SpokenWord(word, start / rate_hz, _last_heard(samples, start, end) / rate_hz)
        for word, start, end in _marks(text, said.events)
    )
    pcm: Samples = soxr.resample(samples.astype(np.float32) / 32768, rate_hz, RATE_HZ)
    return Spoken(np.clip(pcm, -1, 1), words)


_TURN = threading.Lock()
_FILES = {"en-gb": "en", "fr-fr": "fr"}
"""Accents that espeak-ng keeps under the name of the language."""

_AUDIO_SYNCHRONOUS = 2  # to a callback, before the call returns
_CHARACTERS_UTF8, _END_PAUSE = 1, 0x1000
_RATE, _VOLUME, _PITCH = 1, 2, 3
_EVENTS_END, _EVENT_WORD, _EVENT_SENTENCE, _EVENT_END = 0, 1, 2, 5
_BUFFER_MS = 200
_QUIET = 60  # of 32768: a pause of the synthesiser is silent but for rounding


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("message", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True, slots=True)
class _Mark:
    """An event of the synthesiser.

    kind: one of the events above. character: of the text, from 0. sample: at the synthesiser's rate.
    """

    kind: int
    character: int
    sample: int


class _Said:
    """What the library handed to its callback."""

    def __init__(self) -> None:
        self.rate_hz = 0
        self.pieces: list[npt.NDArray[np.int16]] = []
        self.events: list[_Mark] = []

    def take(self, samples: "ctypes._Pointer[ctypes.c_short]", length: int, events: "ctypes._Pointer[_Event]") -> int:
        if samples and length:
            self.pieces.append(np.ctypeslib.as_array(samples, (length,)).copy())
        number = 0
        while (event := events[number]).kind != _EVENTS_END:
            if event.kind in (_EVENT_WORD, _EVENT_SENTENCE, _EVENT_END):
                self.events.append(_Mark(event.kind, event.text_position - 1, event.sample))
            number += 1
        return 0  # go on


def _say(text: str, voice: str, parameters: dict[int, int]) -> _Said:
    data = Path(espeakng_loader.get_data_path())
    accent, _, variant = voice.partition("+")
    if variant:
        _check_variant(data / "voices" / "!v" / variant)
    said = _Said()
    callback = _CALLBACK(said.take)
    espeak = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        said.rate_hz = espeak.espeak_Initialize(_AUDIO_SYNCHRONOUS, _BUFFER_MS, str(data).encode(), 0)
        espeak.espeak_SetSynthCallback(callback)
        name = _FILES.get(accent, accent) + (f"+{variant}" if variant else "")
        if espeak.espeak_SetVoiceByName(name.encode()) != 0:
            raise ValueError(f"synthesize: espeak-ng has no voice {voice!r}; see VOICES")
        for parameter, value in parameters.items():
            espeak.espeak_SetParameter(parameter, value, 0)
        written = text.encode() + b"\0"
        flags = _CHARACTERS_UTF8 | _END_PAUSE
        failed = espeak.espeak_Synth(written, ctypes.c_size_t(len(written)), 0, 0, 0, flags, None, None)
        if failed or not said.pieces:
            raise RuntimeError(f"espeak-ng says nothing ({failed})")
    finally:
        espeak.espeak_Terminate()
        _ctypes.dlclose(espeak._handle)
    return said


def _check_variant(file: Path) -> None:
    if not file.exists():
        raise ValueError(f"synthesize: espeak-ng has no variant {file.name!r}; see VOICES")
    if "breath" in file.read_text("utf-8", errors="replace"):
        raise ValueError(f"synthesize: the variant {file.name!r} breathes by chance, each time otherwise; see VOICES")


def _marks(text: str, events: Sequence[_Mark]) -> list[tuple[str, int, int]]:
    """Words with their first and last samples.

    Each reaches to the next in the text, and to the next event in the sound.
    """
    starts = [number for number, event in enumerate(events) if event.kind == _EVENT_WORD]
    ends = [events[number].character for number in starts[1:]] + [len(text)]
    return [
        (text[events[number].character : end].strip(), events[number].sample, events[number + 1].sample)
        for number, end in zip(starts, ends, strict=True)
    ]


def _last_heard(samples: npt.NDArray[np.int16], start: int, end: int) -> int:
    """The last sample heard of a word, without the pause after it."""
    loud = np.flatnonzero(np.abs(samples[start:end].astype(np.int32)) > _QUIET)
    return start + int(loud[-1]) + 1 if loud.size else end
