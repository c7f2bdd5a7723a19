"""Cuts the speech of a session into utterances.

Problem: an instance that reads a log from anywhere must find the same utterances as the one that read it before. Rule:
a frame is voice by its probability, with hysteresis. Frames of voice with short pauses between them are one stretch of
speech, and an utterance ends where the pause is long enough. Where somebody speaks on and on, the stretch is cut at
places of the event-time grid: in each cell, at the most quiet place of its second half.

    frames      ─ ─ ─ ▄▄▄▄▄▄ ─ ▄▄▄▄▄▄▄▄▄ ─ ─ ─ ─ ─ ─ ▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄▄
    utterances        [── one utterance ─]           [── first part ─][── second ──][── ...
                             short pause    end                       cuts, one a cell

So an utterance follows from the voice in it and of `REACH_NS` before its end, at most.
Left out: which frames are voice, which is a network's (`models.speech.voice_stream`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from streams.clock import NS_PER_MS
from streams.events import Voice

FRAME_NS = 32 * NS_PER_MS
"""Length of a frame of voice activity; frame k begins at k * FRAME_NS since the Unix epoch."""

_ON, _OFF = 0.5, 0.35  # probability at which voice begins and ends: Silero's own defaults
_WEAK_FRAMES = 48  # 1.5 s: what is only voice because of the voice before it is voice no longer than this
_PAUSE_FRAMES = 12  # 0.38 s: a longer pause ends an utterance; pauses between words are shorter
_LEAST_FRAMES = 5  # 0.16 s: a shorter burst is a knock or a breath, no word
_PADDING_FRAMES = 6  # 0.19 s, half a pause: the soft beginnings and ends of words
_LONG_FRAMES = 256  # 8.2 s: a longer stretch is cut
_CELL_FRAMES = 192  # 6.1 s: one cut in each
_APART_FRAMES = 32  # 1.0 s: no cut is nearer to the beginning or the end of a stretch

_LONGEST_FRAMES = _CELL_FRAMES + _CELL_FRAMES // 2 + _APART_FRAMES
LONGEST_NS = _LONGEST_FRAMES * FRAME_NS
"""No utterance has more voice than this: 10.2 s."""
REACH_NS = (_WEAK_FRAMES + _LONG_FRAMES) * FRAME_NS + LONGEST_NS
"""Voice changes no utterance that ends later than this after it."""

_SILENCE_DB = -100.0


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of speech.

    Voice is in [start, end), sound to be read in [from, until).
    """

    start_ns: int
    end_ns: int
    from_ns: int
    until_ns: int


@dataclass(slots=True)
class UtteranceSegmenter:
    """Segments one session's frames. Owned by the timeline thread; no lock."""

    _next: int | None = None
    """The frame that comes next."""
    _voiced: bool = False
    """Whether the last frame was voice."""
    _last_strong: int = 0
    """The last frame that was voice by itself."""
    _began: int | None = None
    """The first frame of the open stretch."""
    _last_voiced: int = 0
    _part_from: int = 0
    """The first frame of the open stretch that is in no utterance yet."""
    _quietest: tuple[float, int] | None = None
    """Level and frame of the most quiet place of the cell so far."""
    _cuts: list[int] = field(default_factory=list)
    """Places of cells that are over, the oldest first."""
    _levels: tuple[float, float] = (_SILENCE_DB, _SILENCE_DB)

    @property
    def open_from_ns(self) -> int | None:
        """Where speech begins that is in no utterance yet; None without any."""
        return None if self._began is None else self._part_from * FRAME_NS

    @property
    def needed_from_ns(self) -> int | None:
        """The first sound that an utterance to come may need."""
        at = self._part_from if self._began is not None else self._next
        return None if at is None else (at - _PADDING_FRAMES) * FRAME_NS

    def take(self, frame: int, voice: Voice) -> list[Utterance]:
        """Takes frames from `frame` on; those missing before are silence."""
        utterances = self.silence_until(frame)
        self._next = frame
        for probability, level_db in zip(voice.probability, voice.level_db, strict=True):
            utterances += self._step(probability, level_db)
        return utterances

    def silence_until(self, frame: int) -> list[Utterance]:
        """Takes silence up to `frame`."""
        utterances = []
        while self._began is not None and self._next is not None and self._next < frame:
            utterances += self._step(0.0, _SILENCE_DB)
        if self._began is None:
            self._voiced = self._voiced and self._next == frame
        self._next = frame if self._next is None else max(frame, self._next)
        return utterances

    def _step(self, probability: float, level_db: float) -> list[Utterance]:
        at = self._next or 0
        self._next = at + 1
        if probability >= _ON:
            self._voiced, self._last_strong = True, at
        else:
            self._voiced = self._voiced and probability >= _OFF and at - self._last_strong <= _WEAK_FRAMES
        if self._voiced:
            if self._began is None:
                self._begin(at)
            self._last_voiced = at
        if self._began is None:
            return []
        self._look_for_cut(at, level_db)
        if at - self._last_voiced >= _PAUSE_FRAMES:
            return list(self._end())
        return list(self._parts())

    def _begin(self, at: int) -> None:
        self._began = self._part_from = at
        self._cuts = []
        self._quietest = None
        self._levels = _SILENCE_DB, _SILENCE_DB

    def _look_for_cut(self, at: int, level_db: float) -> None:
        """Notes how quiet it is, and the cut of a finished cell."""
        first, second = self._levels
        self._levels = second, level_db
        place = at - 1
        in_cell = place % _CELL_FRAMES
        if place - 1 < self._part_from:
            return
        level = (first + second + level_db) / 3
        if in_cell >= _CELL_FRAMES // 2 and (self._quietest is None or level < self._quietest[0]):
            self._quietest = level, place
        if in_cell == _CELL_FRAMES - 1:
            if self._quietest is not None and self._quietest[1] - (self._began or 0) >= _APART_FRAMES:
                self._cuts.append(self._quietest[1])
            self._quietest = None

    def _parts(self) -> Iterator[Utterance]:
        """Utterances of a long stretch, up to the cuts that are certain."""
        is_long = self._last_voiced + 1 - (self._began or 0) >= _LONG_FRAMES
        while is_long and self._cuts and self._last_voiced - self._cuts[0] >= _APART_FRAMES:
            cut = self._cuts.pop(0)
            yield self._utterance(cut, cut)
            self._part_from = cut

    def _end(self) -> Iterator[Utterance]:
        end = self._last_voiced + 1
        yield from self._parts()
        if end - self._part_from >= _LEAST_FRAMES:
            yield self._utterance(end, end + _PADDING_FRAMES)
        self._began = None

    def _utterance(self, end: int, until: int) -> Utterance:
        padding = _PADDING_FRAMES if self._part_from == self._began else 0
        return Utterance(
            start_ns=self._part_from * FRAME_NS,
            end_ns=end * FRAME_NS,
            from_ns=(self._part_from - padding) * FRAME_NS,
            until_ns=until * FRAME_NS,
        )
