"""The utterances that recognisers are compared on: sentences in several voices, clean, in noise, and over bad lines.

Deterministic: utterance n is the same sound whichever others are asked for.
"""

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from tests.speech import noise
from tests.speech.sentences import SENTENCES
from tests.speech.synthesis import RATE_HZ, VOICES, Samples, Spoken, SpokenWord, synthesize

_LEAD_S = 0.25  # of quiet before an utterance
_QUIET = 3e-5

Condition = Callable[[Samples, int], Samples]


@dataclass(frozen=True, slots=True)
class Utterance:
    """pcm: (samples,) float32 at 16 kHz. marks: empty where nobody knows when the words are said."""

    name: str
    text: str
    language: str
    pcm: Samples
    marks: tuple[SpokenWord, ...] = ()


def in_noise(snr_db: float) -> Condition:
    """White, pink or hum by turns."""

    def mix(pcm: Samples, seed: int) -> Samples:
        kind = list(noise.NOISES)[seed % len(noise.NOISES)]
        return noise.mixed(pcm, noise.NOISES[kind](len(pcm), seed), snr_db)

    return mix


CONDITIONS: dict[str, Condition] = {
    "clean": lambda pcm, _: pcm,
    "20 dB": in_noise(20),
    "10 dB": in_noise(10),
    "telephone": lambda pcm, _: noise.telephone(pcm),
    "clipped": lambda pcm, _: noise.clipped(pcm),
}


def synthesised(language: str, condition: str, numbers: Sequence[int] | None = None) -> Iterator[Utterance]:
    """Sentences of a language, each in one of its voices; all of them unless some are named by number."""
    for number in range(len(SENTENCES[language])) if numbers is None else numbers:
        text = SENTENCES[language][number]
        spoken = _spoken(text, language, number)
        pcm = CONDITIONS[condition](spoken.pcm, number)
        yield Utterance(f"{language} {condition} {number}", text, language, pcm, spoken.words)


def acted(most: int) -> Iterator[Utterance]:
    """Clips of RAVDESS spread over actors and emotions, people who say one of two sentences; none without the data."""
    folder = Path(os.environ.get("AFFECTD_DATA", "/nowhere")) / "speech"
    table = folder / "ravdess.csv"
    if not table.is_file():
        return
    with table.open(encoding="utf-8", newline="") as rows:
        clips = list(csv.DictReader(rows))
    for number in np.linspace(0, len(clips) - 1, min(most, len(clips))).round().astype(int):
        clip = clips[number]
        pcm, rate_hz = soundfile.read(folder / clip["file"], dtype="float32")
        if rate_hz != RATE_HZ or pcm.ndim != 1:
            raise ValueError(f"{clip['file']}: wanted 16 kHz mono")
        text = {"1": "Kids are talking by the door", "2": "Dogs are sitting by the door"}[clip["statement"]]
        yield Utterance(f"ravdess {number}", text, "en", pcm)


def _spoken(text: str, language: str, number: int) -> Spoken:
    rng = np.random.default_rng((7, number))
    voice = VOICES[language][number % len(VOICES[language])]
    spoken = synthesize(text, voice, int(rng.integers(135, 195)), int(rng.integers(30, 75)), int(rng.integers(50, 130)))
    lead = rng.normal(0, _QUIET, round(_LEAD_S * RATE_HZ)).astype(np.float32)
    marks = tuple(SpokenWord(word.text, word.start_s + _LEAD_S, word.end_s + _LEAD_S) for word in spoken.words)
    return Spoken(np.concatenate([lead, spoken.pcm]), marks)
