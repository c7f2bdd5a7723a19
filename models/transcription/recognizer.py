"""Recognises the utterances of many sessions in batches.

Problem: Whisper encodes 30 s whatever is given, and most utterances are of two or three. Rule: an utterance is encoded
with a context of its own length and 6 s of padding, rounded up to 2 s, and those of one context are encoded, decoded
and aligned together. What a row gives depends on the row alone. A reading that is refused is tried once more with
Whisper's whole 30 s, without chance, so that the same sound always gives the same words.

Measured with tiny.en on 60 synthesised utterances, word errors in % clean and with noise at 10 dB, and seconds of one
core to encode and decode them: 6 s of padding and five beams 12.0, 24.4, 8.6 + 5.1; one beam 15.4, 31.9, 9.4 + 2.6;
4 s of padding and five beams 17.2, 26.0, 5.6 + 5.4 (some run into repetition); 30 s and five beams 14.7 clean,
50.6 + 8.7.

The encoder is not shared with speech emotion (`models.speech.whisper`). Handing a torch encoder's last layer to the
decoder works, but Whisper base over this context costs 0.110 s of a core a second of speech in torch and 0.067 s here
in int8; emotion's own layers cost about 0.05 s. One pass for both would save 6 %, and emotion would have to wait for
the end of the utterance and be trained anew on longer sound. Whisper tiny has no layers in common with it.

Left out: where utterances begin and end (`streams`), and partial results.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from ctranslate2 import StorageView
from faster_whisper.feature_extractor import FeatureExtractor
from threadpoolctl import threadpool_limits

from models.artifact import ModelError
from models.speech.whisper import MEL_HOP, SAMPLE_RATE_HZ
from models.transcription.guards import is_said_twice, rejection_of
from models.transcription.languages import SessionLanguages
from models.transcription.model_files import find_model
from models.transcription.network import FloatArray, WhisperNetwork, choose_ct2_device, rows_of
from models.transcription.recognition import Recognition, Rejection
from models.transcription.words import words_of

SHORTEST_S = 0.1
LONGEST_S = 30.0

WHOLE_FRAMES = 3000
"""Log-mel frames of Whisper's own context, 30 s."""

_PADDING_FRAMES = 600
_BUCKET_FRAMES = 200
_MOST_FRAMES = 12_000  # of one batch
_FRAMES_PER_S = SAMPLE_RATE_HZ // MEL_HOP
_ATTENTION_LAG_S = {"tiny.en": 0.09, "base": -0.04}  # median against a synthesiser's marks; 0 for other models
_LOUDEST = 2.0  # sound beyond -1..1 by filters is borne, integers given as float are not
_TRY_AGAIN = (Rejection.REPETITION, Rejection.COMPRESSION, Rejection.LOW_CONFIDENCE)


@dataclass(frozen=True, slots=True)
class RecognizerSettings:
    """Which model is loaded, and how.

    model: "auto", "tiny", "base", a folder or a hub name. language: a code or "auto".
    device: "auto", "cpu" or "cuda". threads: of the CPU, 0 for CTranslate2's choice.
    """

    model: str = "auto"
    language: str = "auto"
    device: str = "auto"
    threads: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class PreparedUtterance:
    """An utterance ready to be recognised.

    mel: (mel bins, frames) float32, 100 frames a second. level_db: (frames,) loudness.
    """

    mel: FloatArray
    level_db: FloatArray
    duration_s: float

    @property
    def context(self) -> int:
        """Log-mel frames that it is encoded in."""
        wanted = int(self.mel.shape[1]) + _PADDING_FRAMES
        return min(WHOLE_FRAMES, -(-wanted // _BUCKET_FRAMES) * _BUCKET_FRAMES)


@dataclass(slots=True)
class _Row:
    """An utterance on its way, with its place in the call."""

    index: int
    session: str
    utterance: PreparedUtterance


class Recognizer:
    """Recognises utterances.

    `prepare` may run in any thread; all else belongs to one, without a lock.
    """

    def __init__(self, network: WhisperNetwork, name: str, digest: str, language: str) -> None:
        """language: a code that the network has, or "auto"."""
        self.name = name
        self.digest = digest
        self.languages = network.languages
        self._network = network
        self._lag_s = _ATTENTION_LAG_S.get(name, 0.0)
        self._features = FeatureExtractor(network.mel_bins, SAMPLE_RATE_HZ, MEL_HOP)
        self._fixed = network.languages[0] if not network.multilingual else None if language == "auto" else language
        self._sessions = SessionLanguages(network.languages)

    @classmethod
    def load(cls, settings: RecognizerSettings) -> "Recognizer":
        """Loads a model. Raises ModelError and DeviceUnavailableError.

        From then on numpy multiplies matrices in one thread, in the whole process: with more, the last digits of
        log-mel frames, and so a word now and then, would depend on how many cores there are.
        """
        threadpool_limits(limits=1, user_api="blas")
        device = choose_ct2_device(settings.device)
        files = find_model(settings.model, settings.language, device == "cuda")
        network = WhisperNetwork(files, device, settings.threads)
        if settings.language not in ("auto", *network.languages):
            known = ", ".join(network.languages)
            raise ModelError(f"transcription model {files.name} has no language {settings.language!r}; it has {known}")
        return cls(network, files.name, files.digest, settings.language)

    def prepare(self, pcm: npt.NDArray[np.float32]) -> PreparedUtterance:
        """Computes what the network is given; from any thread.

        pcm: (samples,) float32 in -1..1 at 16 kHz, 0.1 to 30 s. Raises ValueError for anything else.
        """
        if pcm.ndim != 1 or pcm.dtype != np.float32:
            raise ValueError(f"utterance: wanted (samples,) float32, got {pcm.shape} {pcm.dtype}")
        duration_s = pcm.size / SAMPLE_RATE_HZ
        if not SHORTEST_S <= duration_s <= LONGEST_S:
            raise ValueError(f"utterance: wanted {SHORTEST_S:g} to {LONGEST_S:g} s, got {duration_s:g} s")
        peak = float(np.abs(pcm).max())
        if not peak <= _LOUDEST:  # also where it is not a number
            raise ValueError(f"utterance: samples must be finite and in -1..1, the greatest is {peak:g}")
        mel = np.ascontiguousarray(self._features(pcm, padding=0), dtype=np.float32)
        return PreparedUtterance(mel, _level_db(pcm, mel.shape[1]), duration_s)

    def example(self) -> PreparedUtterance:
        """A second of a quiet tone, to warm up with."""
        time_s = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
        return self.prepare((0.1 * np.sin(2 * np.pi * 200 * time_s)).astype(np.float32))

    def forget(self, stream: str) -> None:
        """Drops what is known of a stream's language."""
        self._sessions.forget(stream)

    def recognize(self, utterances: Sequence[tuple[str, PreparedUtterance]]) -> list[Recognition]:
        """Recognises utterances, each with its stream.

        A stream is a session, or one participant of it. Those of one stream are in their order in time. A row's answer
        depends on its own sound and on its stream's language, not on the other rows.
        """
        rows = [_Row(index, session, utterance) for index, (session, utterance) in enumerate(utterances)]
        batches = [_Batch(some, context, self._encode(some, context)) for context, some in _bucketed(rows)]
        languages = self._detect(batches)
        answers: dict[int, Recognition] = {}
        for batch in batches:
            for language, part in _by_language(batch, languages):
                answers |= self._read(part, language)
        again = [row for row in rows if row.utterance.context < WHOLE_FRAMES and _is_doubtful(answers[row.index])]
        for some in _limited(again, WHOLE_FRAMES):
            whole = _Batch(some, WHOLE_FRAMES, self._encode(some, WHOLE_FRAMES))
            for language, same in _by_language(whole, languages):
                answers |= self._read(same, language)
        return [answers[row.index] for row in rows]

    def _encode(self, rows: Sequence[_Row], context: int) -> StorageView:
        mel = np.zeros((len(rows), self._network.mel_bins, context), np.float32)
        for place, row in enumerate(rows):
            mel[place, :, : row.utterance.mel.shape[1]] = row.utterance.mel
        return self._network.encode(mel)

    def _detect(self, batches: Sequence["_Batch"]) -> dict[int, str]:
        """The language of each row, by its index.

        Sessions see their utterances in order.
        """
        if self._fixed is not None:
            return {row.index: self._fixed for batch in batches for row in batch.rows}
        detected = [
            (row, probabilities)
            for batch in batches
            for row, probabilities in zip(batch.rows, self._network.detect(batch.encoded), strict=True)
        ]
        detected.sort(key=lambda found: found[0].index)
        return {
            row.index: self._sessions.observe(row.session, probabilities, row.utterance.duration_s)
            for row, probabilities in detected
        }

    def _read(self, batch: "_Batch", language: str) -> dict[int, Recognition]:
        """Answers by index; rows that are refused are not aligned."""
        readings = self._network.read(batch.encoded, language, batch.context / _FRAMES_PER_S)
        rejections = [rejection_of(reading, self._network.multilingual) for reading in readings]
        answers = {
            row.index: Recognition((), language, 0.0, rejection)
            for row, rejection in zip(batch.rows, rejections, strict=True)
            if rejection is not None
        }
        believed = [place for place, rejection in enumerate(rejections) if rejection is None]
        if not believed:
            return answers
        rows = [batch.rows[place] for place in believed]
        alignments = self._network.align(
            rows_of(batch.encoded, believed),
            language,
            [readings[place].tokens for place in believed],
            [row.utterance.mel.shape[1] for row in rows],
        )
        tokenizer = self._network.tokenizer(language)
        for row, place, alignment in zip(rows, believed, alignments, strict=True):
            words = words_of(tokenizer, readings[place].tokens, alignment, row.utterance.level_db, self._lag_s)
            confidence = min(1.0, math.exp(readings[place].mean_log_probability))
            answers[row.index] = Recognition(words, language, confidence, None)
        return answers


def _is_doubtful(answer: Recognition) -> bool:
    """Whether more context may give a better reading."""
    return answer.rejected in _TRY_AGAIN or is_said_twice(answer.text)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows that were encoded together."""

    rows: list[_Row]
    context: int
    encoded: StorageView


def _bucketed(rows: Sequence[_Row]) -> Iterator[tuple[int, list[_Row]]]:
    """Rows by context, the shortest first."""
    buckets: dict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        buckets[row.utterance.context].append(row)
    for context in sorted(buckets):
        for part in _limited(buckets[context], context):
            yield context, part


def _limited(rows: list[_Row], context: int) -> Iterator[list[_Row]]:
    """Cuts rows into batches that need no more than some 300 MB."""
    most = max(1, _MOST_FRAMES // context)
    for start in range(0, len(rows), most):
        yield rows[start : start + most]


def _by_language(batch: _Batch, languages: Mapping[int, str]) -> Iterator[tuple[str, _Batch]]:
    """Parts of a batch that are read in one language."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(batch.rows):
        places[languages[row.index]].append(place)
    for language, some in places.items():
        yield language, _Batch([batch.rows[place] for place in some], batch.context, rows_of(batch.encoded, some))


def _level_db(pcm: FloatArray, frames: int) -> FloatArray:
    """Loudness per log-mel frame, dB full scale, at least -100."""
    padded = np.zeros(frames * MEL_HOP, np.float32)
    padded[: pcm.size] = pcm[: padded.size]
    power = np.square(padded.reshape(frames, MEL_HOP)).mean(axis=1)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-10)), np.float32)
