"""A session in which somebody speaks, and an engine that hears words in whatever sound is loud."""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np

from streams.decoding.sound import RATE_HZ, render_segment
from streams.events import EncodingUnit, Event, Line, SoundPieces, SpokenWord, Task, Transcript, Voice
from streams.records import Modality
from streams.speech.utterances import FRAME_NS
from tests.streams.making import Stage, seconds, sound, span_ns

WORD_S = 0.5
"""Every word lasts so long, from the first sound that is loud on; its text is the time when it begins."""
CONFIDENCE = 0.8


def spoken(*spans: tuple[float, float], until_s: float, chunk_s: float = 0.1, session: str = "room") -> list[Event]:
    """Sound from 0 to `until_s`, loud in the spans."""
    chunks = range(round(until_s / chunk_s))
    loud = [any(begin <= at * chunk_s + 1e-9 < end for begin, end in spans) for at in chunks]
    return [sound(at * chunk_s, chunk_s, session, level=0.5 if loud[at] else 0.0) for at in chunks]


def answered(unit: EncodingUnit) -> object:
    """What the engine makes of a unit."""
    match unit.task, unit.payload:
        case Task.DETECT_VOICE, SoundPieces() as pieces:
            frames = render_segment(pieces, unit.start_ns, unit.end_ns).reshape(-1, RATE_HZ * FRAME_NS // 10**9)
            loud = np.abs(frames).mean(axis=1) > 0.2
            return Voice(tuple(0.9 * loud), tuple(np.where(loud, -10.0, -90.0).tolist()))
        case Task.TRANSCRIBE, SoundPieces() as pieces:
            return transcript(unit, render_segment(pieces, unit.start_ns, unit.end_ns))
        case _:
            return ("features", unit.start_ns)


def transcript(unit: EncodingUnit, pcm: np.ndarray[tuple[int], np.dtype[np.float32]]) -> Transcript:
    loud = np.flatnonzero(np.abs(pcm) > 0.2)
    begins_ns = [unit.start_ns + at * 10**9 // RATE_HZ for at in range(loud[0], loud[-1] + 1, round(WORD_S * RATE_HZ))]
    words = tuple(SpokenWord(f"{seconds(at):.1f}", at, at + span_ns(WORD_S)) for at in begins_ns)
    return Transcript(words, " ".join(word.text for word in words), "en", CONFIDENCE)


@dataclass
class SpeechStage(Stage):
    """Sessions whose speech is transcribed at once, but for tasks in `slow`: these wait for `answer`."""

    slow: Collection[Task] = ()
    waiting: deque[EncodingUnit] = field(default_factory=deque)

    def answer(self) -> None:
        """The engine is done with what waited for it."""
        waiting, self.waiting, slow, self.slow = self.waiting, deque(), self.slow, ()
        self._took(list(waiting))
        self.slow = slow

    def words(self) -> list[tuple[float, list[str]]]:
        """Of each window its start and the words in it."""
        return [(seconds(w.start_ns), said(w.units[Modality.TEXT])) for w in self.windows]

    def _took(self, units: list[EncodingUnit]) -> None:
        todo = deque(units)
        while todo:
            unit = todo.popleft()
            if unit.task in self.slow:
                self.waiting.append(unit)
                continue
            self.units.append(unit)
            unit.result = answered(unit)
            unit.finish()
            todo += self.sessions.finish(unit)
        self.take()


def said(units: Iterable[EncodingUnit]) -> list[str]:
    return [unit.payload.text for unit in units if isinstance(unit.payload, Line) and unit.payload.spoken]
