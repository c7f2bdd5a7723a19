"""Follows the speech of one session or participant, sound to words.

The way of a word, in which every step is a unit that the engine works on:

    sound ──► blocks ──► voice ──► utterances ──► transcript ──► a spoken line ──► its words
              of the grid          (`streams.speech.utterances`)    encoded once    instants in windows

Blocks are taken in order. A word lies at the time when it is said and carries a share of what its utterance weighs
as a line, so that a window has the part of an utterance that was said in it. Windows are held (`hold_ns`) until the
words said in them are known.

Left out: when windows close in spite of it, which is `streams.alignment.timeline`'s to say.
"""

from collections import deque
from dataclasses import dataclass, field

from streams.alignment.assembly import FOREVER_NS, SoundKeeper, SoundSegmenter
from streams.alignment.watermark import NEVER_NS
from streams.alignment.windows import SegmentGrid
from streams.events import EncodingUnit, Event, Line, Task, Transcript, Voice
from streams.participants import name_of
from streams.records import Modality
from streams.speech.utterances import FRAME_NS, REACH_NS, Utterance, UtteranceSegmenter

BLOCK_FRAMES = 8
BLOCKS = SegmentGrid(BLOCK_FRAMES * FRAME_NS, BLOCK_FRAMES * FRAME_NS)
"""Sound is looked at for voice in blocks of 256 ms, on the grid of event time."""

VOICE_REACH_BLOCKS = 20
"""Voice in a block may depend on the sound of so many blocks before it: `models.speech.voice_stream`."""

SOUND_REACH_NS = REACH_NS + VOICE_REACH_BLOCKS * BLOCKS.hop_ns
"""Sound changes no word that is said later than this after it: 25 s."""


def released_until_ns(watermark_ns: int) -> int:
    """Where the last block ends that is final at the watermark."""
    return watermark_ns if watermark_ns == FOREVER_NS else watermark_ns // BLOCKS.hop_ns * BLOCKS.hop_ns


@dataclass(frozen=True, slots=True)
class SpeechConfig:
    """How speech is followed.

    max_delay_ns: how long windows of what happens now wait for words; None for as long as it takes.
    """

    max_delay_ns: int | None = None


@dataclass(slots=True, eq=False)
class _Spoken:
    """An utterance in the recogniser, then as a line in the encoder."""

    utterance: Utterance
    transcript: Transcript | None = None


@dataclass(slots=True)
class _Heard:
    """Voice of an utterance, and whether it gave no words."""

    start_ns: int
    end_ns: int
    missed: bool = False


@dataclass(slots=True)
class SessionSpeech:
    """Speech of one session or participant.

    Owned by the timeline thread; no lock.
    """

    config: SpeechConfig
    words: list[EncodingUnit] = field(default_factory=list)
    """Words for the timeline to take, each an encoded instant."""
    _blocks: SoundSegmenter = field(default_factory=lambda: SoundSegmenter(BLOCKS))
    _sounds: SoundKeeper = field(default_factory=SoundKeeper)
    _segmenter: UtteranceSegmenter = field(default_factory=UtteranceSegmenter)
    _listening: deque[EncodingUnit] = field(default_factory=deque)
    """Blocks that were released and not taken yet, in order."""
    _spoken: dict[EncodingUnit, _Spoken] = field(default_factory=dict)
    _heard: list[_Heard] = field(default_factory=list)
    _released_until_ns: int = NEVER_NS
    """Blocks before this were released, or held no sound."""

    def accepts(self, event: Event) -> bool:
        """Whether some of a sound lies in blocks to come."""
        return event.time_ns + event.duration_ns > self._released_until_ns

    def add(self, event: Event) -> None:
        """Takes a sound."""
        self._blocks.add(event)
        self._sounds.add(event)

    @property
    def hold_ns(self) -> int:
        """Words of before this time are known; FOREVER_NS where none are awaited."""
        awaited = [
            self._blocks.unreleased_from_ns,
            self._listening[0].start_ns if self._listening else None,
            self._segmenter.open_from_ns,
            *(spoken.utterance.start_ns for spoken in self._spoken.values()),
        ]
        return min((from_ns for from_ns in awaited if from_ns is not None), default=FOREVER_NS)

    def advance(self, watermark_ns: int, live: bool, needed_from_ns: int) -> list[EncodingUnit]:
        """Moves on to the watermark; returns blocks and utterances.

        live: whether the session happens now. needed_from_ns: where the first window begins that still takes words.
        """
        until_ns = released_until_ns(watermark_ns)
        if until_ns <= self._released_until_ns:
            return []
        blocks = [b for b in self._blocks.release(until_ns) if b.start_ns >= self._released_until_ns]
        for block in blocks:
            block.task = Task.DETECT_VOICE
        self._released_until_ns = until_ns
        self._blocks.forget(until_ns)
        self._listening += blocks
        return blocks + self._listen(live, needed_from_ns)

    def finish(self, unit: EncodingUnit, live: bool, needed_from_ns: int) -> list[EncodingUnit]:
        """Takes a finished unit; returns what follows from it.

        Arguments as for `advance`. A unit that is not of this session's speech is left alone.
        """
        match unit.task:
            case Task.DETECT_VOICE:
                return self._listen(live, needed_from_ns)
            case Task.TRANSCRIBE:
                return self._transcribed(unit)
            case Task.ENCODE:
                self._encoded(unit)
                return []

    @property
    def empty(self) -> bool:
        """Whether nothing is held, so that another would go on alike."""
        return self.hold_ns == FOREVER_NS and self._blocks.empty and self._sounds.empty and not self._heard

    def voiced_ns(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """How much speech lies in [start, end), and how much lacks words."""
        awaited = [_Heard(s.utterance.start_ns, s.utterance.end_ns, missed=True) for s in self._spoken.values()]
        open_from_ns = self._segmenter.open_from_ns
        if open_from_ns is not None:
            awaited.append(_Heard(open_from_ns, max(open_from_ns, self._released_until_ns), missed=True))
        spans = [(min(h.end_ns, end_ns) - max(h.start_ns, start_ns), h.missed) for h in (*self._heard, *awaited)]
        total_ns = sum(length_ns for length_ns, _ in spans if length_ns > 0)
        missed_ns = sum(length_ns for length_ns, missed in spans if missed and length_ns > 0)
        return total_ns, missed_ns

    def forget(self, before_ns: int) -> None:
        """Frees what no window after `before_ns` needs."""
        self._heard = [heard for heard in self._heard if heard.end_ns > before_ns]

    def _listen(self, live: bool, needed_from_ns: int) -> list[EncodingUnit]:
        """Takes finished blocks in order; returns utterances."""
        utterances: list[Utterance] = []
        while self._listening and self._listening[0].done:
            block = self._listening.popleft()
            frame = block.start_ns // FRAME_NS
            utterances += self._segmenter.silence_until(frame)
            if isinstance(block.result, Voice):
                utterances += self._segmenter.take(frame, block.result)
        if not self._listening:
            utterances += self._segmenter.silence_until(self._released_until_ns // FRAME_NS)
        units = [self._cut(utterance, live) for utterance in utterances if utterance.end_ns > needed_from_ns]
        needed_ns = self._segmenter.needed_from_ns
        if needed_ns is not None:
            self._sounds.forget(min(needed_ns, self._released_until_ns))
        return units

    def _cut(self, utterance: Utterance, live: bool) -> EncodingUnit:
        unit = self._sounds.cut(utterance.from_ns, utterance.until_ns)
        unit.task = Task.TRANSCRIBE
        unit.may_expire = live and self.config.max_delay_ns is not None
        self._spoken[unit] = _Spoken(utterance)
        return unit

    def _transcribed(self, unit: EncodingUnit) -> list[EncodingUnit]:
        spoken = self._spoken.pop(unit, None)
        if spoken is None:
            return []
        transcript, utterance = unit.result, spoken.utterance
        if not isinstance(transcript, Transcript) or not transcript.words:
            missed = not isinstance(transcript, Transcript)
            self._heard.append(_Heard(utterance.start_ns, utterance.end_ns, missed))
            return []
        line = EncodingUnit(
            session=unit.session,
            modality=Modality.TEXT,
            start_ns=utterance.start_ns,
            end_ns=utterance.end_ns,
            received_ns=unit.received_ns,
            payload=Line(transcript.text, lang=transcript.language, spoken=True),
            order=unit.order,
            sources=unit.sources,
            participant=unit.participant,
        )
        self._spoken[line] = _Spoken(utterance, transcript)
        return [line]

    def _encoded(self, line: EncodingUnit) -> None:
        spoken = self._spoken.pop(line, None)
        if spoken is None or spoken.transcript is None:
            return
        transcript, utterance = spoken.transcript, spoken.utterance
        self._heard.append(_Heard(utterance.start_ns, utterance.end_ns, missed=line.result is None))
        share = transcript.confidence / len(transcript.words)
        for place, word in enumerate(transcript.words):
            at_ns = min(max(word.start_ns, utterance.start_ns), utterance.end_ns - 1)
            self.words.append(
                EncodingUnit(
                    session=line.session,
                    modality=Modality.TEXT,
                    start_ns=at_ns,
                    end_ns=at_ns,
                    received_ns=line.received_ns,
                    payload=Line(word.text, lang=transcript.language, spoken=True),
                    order=(at_ns, 0, f"{utterance.start_ns:020}{place:06}{name_of(line.participant)}"),
                    result=line.result,
                    done=True,
                    share=share,
                    participant=line.participant,
                )
            )
