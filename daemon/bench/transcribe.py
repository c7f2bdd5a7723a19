"""Benchmark of speech to text: sessions at once beside faster-whisper's calls.

Those are made one after the other. Both read the same utterances of the sample session with the same model files,
language and beam, on the same threads.
"""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import partial
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel

from daemon.bench.material import sample_pcm
from daemon.bench.measure import Effort, Figure, figure, timed
from models.speech.activity import FRAME_SAMPLES, VoiceActivity
from models.transcription.model_files import find_model
from models.transcription.recognizer import Recognizer, RecognizerSettings
from models.trusted_files import WHISPER_TINY
from streams.decoding.sound import RATE_HZ

THREADS = 2

_LANGUAGE = "en"
_ENGLISH_S = 43  # of the sample, from its start
_PAUSE_FRAMES = 16  # 0.5 s
_MARGIN_FRAMES = 6
_SHORTEST_FRAMES = 32

Sound = npt.NDArray[np.float32]
Answers = list[str]


def transcribe(effort: Effort) -> Iterator[Figure]:
    """Each packaged model's speech per second and latency."""
    spoken = _utterances((sample_pcm()[: RATE_HZ * _ENGLISH_S] / 32768).astype(np.float32))
    utterances = [spoken[number % len(spoken)] for number in range(effort.speakers)]
    for model in ("tiny", "base"):
        if model == "base" or find_spec(WHISPER_TINY[0].module) is not None:
            yield from _of_model(model, utterances, effort.scored_rounds)


def _of_model(model: str, utterances: Sequence[Sound], rounds: int) -> Iterator[Figure]:
    recognizer = Recognizer.load(RecognizerSettings(model, _LANGUAGE, "cpu", THREADS))
    whisper = _faster_whisper(model)
    calls = [
        partial(_at_once, recognizer, utterances),
        partial(_one_by_one, recognizer, utterances),
        partial(_one_by_one, recognizer, utterances[:1]),
        partial(_by_faster_whisper, whisper, utterances),
    ]
    (together, together_s), (alone, alone_s), (_, first_s), (reference, reference_s) = timed(calls, rounds)
    speech_s = sum(len(utterance) for utterance in utterances) / RATE_HZ
    names = {"model": recognizer.name, "sessions": len(utterances)}
    against = f"{len(utterances)} calls of faster-whisper, one after the other"
    for name, answers, took_s in (
        (f"{len(utterances)} sessions at once", together, together_s),
        ("1 session", alone, alone_s),
        ("faster-whisper, call after call", reference, reference_s),
    ):
        compared: Figure = {} if answers is reference else {"ratio": reference_s / took_s, "against": against}
        yield figure(
            "transcribe",
            f"{recognizer.name}: speech, {name}",
            speech_s / took_s,
            "s/s",
            **names,
            **compared,
            words=_count(answers),
            differing_words=_differing(answers, reference),
        )
    seconds = len(utterances[0]) / RATE_HZ
    yield figure("transcribe", f"{recognizer.name}: utterance of {seconds:.1f} s", first_s * 1e3, "ms", **names)


def _faster_whisper(model: str) -> WhisperModel:
    files = find_model(model, _LANGUAGE, on_gpu=False)
    return WhisperModel(files.name, device="cpu", compute_type="int8", cpu_threads=THREADS, files=dict(files.contents))


def _at_once(recognizer: Recognizer, utterances: Sequence[Sound]) -> Answers:
    rows = [(f"session {number}", recognizer.prepare(pcm)) for number, pcm in enumerate(utterances)]
    return [" ".join(word.text for word in answer.words) for answer in recognizer.recognize(rows)]


def _one_by_one(recognizer: Recognizer, utterances: Sequence[Sound]) -> Answers:
    return [text for pcm in utterances for text in _at_once(recognizer, [pcm])]


def _by_faster_whisper(whisper: WhisperModel, utterances: Sequence[Sound]) -> Answers:
    answers = []
    for pcm in utterances:
        parts, _ = whisper.transcribe(
            pcm,
            language=_LANGUAGE,
            beam_size=5,
            without_timestamps=True,
            word_timestamps=True,
            condition_on_previous_text=False,
        )
        answers.append("".join(part.text for part in parts))
    return answers


def _utterances(sound: Sound) -> list[Sound]:
    """Stretches of voice, with half a second of silence between them."""
    voiced = np.flatnonzero(VoiceActivity()(sound).voiced)
    stretches = np.split(voiced, np.flatnonzero(np.diff(voiced) > _PAUSE_FRAMES) + 1)
    spans = [(max(0, part[0] - _MARGIN_FRAMES), part[-1] + 1 + _MARGIN_FRAMES) for part in stretches]
    return [
        sound[first * FRAME_SAMPLES : last * FRAME_SAMPLES] for first, last in spans if last - first >= _SHORTEST_FRAMES
    ]


def _differing(answers: Answers, reference: Answers) -> int:
    """Counts words that differ, but for case and punctuation."""
    own, other = (" ".join(texts).split() for texts in (map(_plain, answers), map(_plain, reference)))
    same = sum(block.size for block in SequenceMatcher(None, own, other, autojunk=False).get_matching_blocks())
    return max(len(own), len(other)) - same


def _count(answers: Answers) -> int:
    return sum(len(text.split()) for text in answers)


def _plain(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum() or character.isspace())
