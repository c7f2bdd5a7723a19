"""Turns prepared utterances into transcripts, in batches over all sessions.

Overload: an utterance of what happens now is dropped where the recogniser comes to it after half of the delay that
windows wait for words; the other half is for computing. So the oldest go first, and those that are begun are worth it.
Utterances of stored sessions and of a backlog wait as long as it takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from daemon.scoring.results import Untranscribed
from daemon.telemetry.metrics import Metrics
from models.transcription.recognition import Recognition
from streams.clock import NS_PER_S, Clock
from streams.events import EncodingUnit, SpokenWord, Transcript
from streams.reasons import UtteranceOutcome


class SpeechRecognizer(Protocol):
    """Recognises words in utterances: `models.transcription.recognizer.Recognizer`."""

    def prepare(self, pcm: Any) -> Any:
        """Prepares (samples,) float32 at 16 kHz; any thread may call."""
        ...

    def recognize(self, utterances: Sequence[tuple[str, Any]]) -> list[Recognition]:
        """Recognises prepared utterances of streams, each as by itself."""
        ...

    def example(self) -> Any:
        """Returns a prepared utterance of usual length."""
        ...

    def forget(self, stream: str) -> None:
        """Frees what is held of a stream that has ended."""
        ...


@dataclass(frozen=True, slots=True)
class QueuedUtterance:
    """An utterance that waits for the recogniser.

    since_ns: monotonic; 0 where it does not expire.
    """

    unit: EncodingUnit
    prepared: Any
    since_ns: int = 0


class Transcriber:
    """Computes the lane of the recogniser.

    Owned by the recogniser's thread; no lock.
    """

    def __init__(self, recognizer: SpeechRecognizer, max_delay_s: float, clock: Clock, metrics: Metrics) -> None:
        """max_delay_s: how long windows wait for words."""
        self._recognizer = recognizer
        self._most_ns = round(max_delay_s * NS_PER_S / 2)
        self._clock = clock
        self._metrics = metrics

    def transcribe(self, queued: Sequence[QueuedUtterance]) -> list[Transcript | Untranscribed]:
        """Transcribes a batch; drops what has waited for too long."""
        now_ns = self._clock.monotonic_ns()
        timely = [not each.unit.may_expire or now_ns - each.since_ns <= self._most_ns for each in queued]
        taken = [each for each, in_time in zip(queued, timely, strict=True) if in_time]
        recognized = iter(self._recognizer.recognize([(each.unit.stream, each.prepared) for each in taken]))
        return [
            self._transcript(each.unit, next(recognized)) if in_time else self._dropped()
            for each, in_time in zip(queued, timely, strict=True)
        ]

    def try_example(self) -> None:
        """Recognises an example; raises if that cannot be computed."""
        self._recognizer.recognize([("", self._recognizer.example())])

    def _transcript(self, unit: EncodingUnit, recognized: Recognition) -> Transcript:
        if recognized.rejected is not None:
            outcome = UtteranceOutcome(recognized.rejected.value)
        else:
            outcome = UtteranceOutcome.TRANSCRIBED if recognized.words else UtteranceOutcome.NO_WORDS
        self._metrics.utterance(outcome)
        return transcript(unit.start_ns, recognized)

    def _dropped(self) -> Untranscribed:
        self._metrics.utterance(UtteranceOutcome.OVERLOAD)
        return Untranscribed()


def transcript(start_ns: int, recognized: Recognition) -> Transcript:
    """Gives the words of an utterance event times.

    start_ns: of its first sample.
    """
    words = tuple(
        SpokenWord(word.text, start_ns + round(word.start_s * NS_PER_S), start_ns + round(word.end_s * NS_PER_S))
        for word in recognized.words
    )
    return Transcript(words, recognized.text, recognized.language, recognized.confidence)
