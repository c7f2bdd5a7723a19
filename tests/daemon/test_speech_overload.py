"""More is said than can be transcribed: the oldest utterances are dropped and counted, and windows go on."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from daemon.scoring.in_flight import InFlight
from daemon.scoring.results import Untranscribed
from daemon.scoring.transcription import QueuedUtterance, Transcriber
from daemon.telemetry.instruments import Instruments
from models.transcription.recognition import Recognition, Rejection, Word
from streams.alignment.closed_window import ClosedWindow
from streams.clock import NS_PER_S, ManualClock
from streams.delivery.crash_journal import CrashJournal
from streams.events import EncodingUnit, Event, Task, Transcript
from streams.records import Modality, Record
from streams.speech.session_speech import SpeechConfig
from tests.daemon.making import counted, unit
from tests.streams.making import config, ns, seconds
from tests.streams.speaking import SpeechStage, said, spoken

pytestmark = pytest.mark.unit

_MAX_DELAY_S = 6.0
_SIZE_S, _STEP_S = 4.0, 2.0
_TICK_S = 0.1
_LENGTH_S = 60
_BATCH = 8
_SESSIONS = ("one", "two", "three")


class Words:
    """Implements `daemon.scoring.transcription.SpeechRecognizer`: one word in each utterance."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def prepare(self, pcm: Any) -> Any:
        return pcm

    def recognize(self, utterances: Sequence[tuple[str, Any]]) -> list[Recognition]:
        self.calls.append(len(utterances))
        return [Recognition((Word("yes", 0.2, 0.5, 0.9),), "en", 0.8, None) for _ in utterances]

    def example(self) -> Any:
        return None

    def forget(self, session: str) -> None:
        """Nothing is remembered."""


def utterance(at_s: float = 0.0, session: str = "room", may_expire: bool = True) -> EncodingUnit:
    made = unit(Modality.AUDIO, at_s, 2.0, session)
    made.task, made.may_expire = Task.TRANSCRIBE, may_expire
    return made


@dataclass
class Lane:
    """The recogniser's thread in virtual time: every utterance that it takes up lasts `takes_s`."""

    takes_s: float
    clock: ManualClock
    waiting: deque[QueuedUtterance] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.of = Instruments(self.clock)
        self.recognizer = Words()
        self._transcriber = Transcriber(self.recognizer, _MAX_DELAY_S, self.clock, self.of.metrics)
        self._computed: list[EncodingUnit] = []
        self._free_at_ns = 0

    def work(self) -> list[EncodingUnit]:
        """Begins the next batch if the last is done; returns what is done."""
        if self.clock.monotonic_ns() < self._free_at_ns:
            return []
        done, self._computed = self._computed, []
        batch = [self.waiting.popleft() for _ in range(min(_BATCH, len(self.waiting)))]
        before = sum(self.recognizer.calls)
        for queued, answer in zip(batch, self._transcriber.transcribe(batch), strict=True):
            queued.unit.result = answer
            self._computed.append(queued.unit)
        taken = sum(self.recognizer.calls) - before
        self._free_at_ns = self.clock.monotonic_ns() + round(taken * self.takes_s * NS_PER_S)
        return done


@dataclass
class Overloaded(SpeechStage):
    """Live sessions beside a slow recogniser; when each window came is noted."""

    takes_s: float = 0.0
    came_s: list[float] = field(default_factory=list)
    now_s: float = 0.0
    cut: int = 0
    """How many utterances there were."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.slow = (Task.TRANSCRIBE,)
        self.lane = Lane(self.takes_s, self.clock)

    def run(self, events: Sequence[Event]) -> None:
        """Hands every event on when it ends, and lets the recogniser work."""
        coming = deque(sorted(events, key=lambda event: event.time_ns + event.duration_ns))
        while coming:
            self.clock.advance(_TICK_S)
            self.now_s += _TICK_S
            while coming and coming[0].time_ns + coming[0].duration_ns <= ns(self.now_s):
                self.live(coming.popleft())
            self.tick()
            self.work()

    def work(self) -> None:
        while self.waiting:
            self.cut += 1
            since_ns = self.clock.monotonic_ns()
            self.lane.waiting.append(QueuedUtterance(self.waiting.popleft(), None, since_ns))
        for done in self.lane.work():
            done.finish()
            self._took(self.sessions.finish(done))

    def take(self) -> None:
        super().take()
        self.came_s += [self.now_s] * (len(self.windows) - len(self.came_s))

    def outcomes(self) -> Counter[str]:
        return Counter(
            {
                outcome: round(counted(self.lane.of, "utterances_total", outcome=outcome))
                for outcome in ("transcribed", "overload")
            }
        )

    def delays_s(self) -> list[float]:
        return [at - seconds(window.end_ns) for at, window in zip(self.came_s, self.windows, strict=True)]

    def with_words(self) -> list[ClosedWindow]:
        return [window for window in self.windows if said(window.units[Modality.TEXT])]


def on(takes_s: float, speech: SpeechConfig, for_s: float = _LENGTH_S) -> Overloaded:
    """Three people at once, each of whom says something for two seconds of every three."""
    stage = Overloaded(config(size_s=_SIZE_S, step_s=_STEP_S, bound_s=0.2, speech=speech), takes_s=takes_s)
    spans = [(at, at + 2.0) for at in range(1, round(for_s) - 3, 3)]
    stage.run([event for session in _SESSIONS for event in spoken(*spans, until_s=for_s, session=session)])
    return stage


HASTY = SpeechConfig(max_delay_ns=round(_MAX_DELAY_S * NS_PER_S))


@pytest.mark.parametrize("takes_s", [0.1, 2.0, 20.0])
def test_windows_go_on_within_the_delay_however_slow_the_recogniser(takes_s: float) -> None:
    stage = on(takes_s, HASTY)
    assert max(stage.delays_s()) <= _MAX_DELAY_S + 1.0
    expected = _LENGTH_S / _STEP_S - (_SIZE_S + _MAX_DELAY_S) / _STEP_S
    assert len(stage.windows) >= len(_SESSIONS) * expected
    assert all(window.units[Modality.AUDIO] for window in stage.windows)


def test_a_recogniser_that_keeps_up_drops_nothing() -> None:
    stage = on(0.1, HASTY)
    assert stage.outcomes()["overload"] == 0
    assert stage.outcomes()["transcribed"] >= len(_SESSIONS) * _LENGTH_S / 3 - 9


def test_one_that_does_not_drops_what_it_cannot_do_and_every_utterance_is_counted() -> None:
    stage = on(2.0, HASTY)
    outcomes = stage.outcomes()
    assert outcomes["overload"] > 10
    assert outcomes["transcribed"] > 10
    assert stage.cut == outcomes.total() + len(stage.lane.waiting)
    assert stage.with_words(), "what is computed still comes in time for its windows"
    assert {w.transcribed_fraction for w in stage.windows} > {0.0, 1.0}
    assert len(stage.lane.waiting) < 3 * _BATCH


def test_where_windows_wait_nothing_is_dropped() -> None:
    stage = on(2.0, SpeechConfig(), for_s=30)
    assert stage.outcomes()["overload"] == 0
    assert all(window.transcribed_fraction in (1.0, None) for window in stage.windows)


def test_the_oldest_are_dropped_when_the_recogniser_comes_to_them_too_late() -> None:
    lane = Lane(0.0, ManualClock())
    late, stored = utterance(0), utterance(1, may_expire=False)
    lane.waiting += [QueuedUtterance(late, None, 0), QueuedUtterance(stored, None, 0)]
    lane.clock.advance(_MAX_DELAY_S)
    timely = utterance(2)
    lane.waiting.append(QueuedUtterance(timely, None, lane.clock.monotonic_ns()))
    lane.work()
    assert isinstance(late.result, Untranscribed)
    assert isinstance(stored.result, Transcript)
    assert isinstance(timely.result, Transcript)
    assert lane.recognizer.calls == [2]


@pytest.mark.parametrize("rejection", list(Rejection))
def test_words_that_are_not_believed_are_counted_by_the_reason(rejection: Rejection) -> None:
    of = Instruments(ManualClock())
    recognizer = Words()
    recognizer.recognize = lambda utterances: [Recognition((), "en", 0.0, rejection)]  # type: ignore[method-assign]
    (answer,) = Transcriber(recognizer, 1, of.clock, of.metrics).transcribe([QueuedUtterance(utterance(), None)])
    assert isinstance(answer, Transcript)
    assert answer.words == ()
    assert counted(of, "utterances_total", outcome=rejection.value) == 1


def in_flight(handed: list[EncodingUnit]) -> InFlight:
    clock = ManualClock()
    return InFlight(1000, handed.append, clock, CrashJournal(None, clock))


def record(session: str) -> Record:
    return Record(session, Modality.AUDIO, "audio/L16", b"\0\0", ns(0), ns(0))


def test_a_session_whose_utterances_wait_is_read_no_further_and_others_are() -> None:
    handed: list[EncodingUnit] = []
    holds = in_flight(handed)
    units = [utterance(at, may_expire=False) for at in range(_BATCH)]
    holds.add_units(units)
    assert not holds.admits(record("room"))
    assert holds.admits(record("hall"))
    holds.unit_completed(units[0])
    assert holds.admits(record("room"))


def test_many_sessions_whose_utterances_wait_hold_all_reading() -> None:
    holds = in_flight([])
    units = [utterance(at, f"room {at}", may_expire=False) for at in range(32)]
    holds.add_units(units)
    assert holds.full
    for done in units:
        holds.unit_completed(done)
    assert not holds.full
    assert holds.count == 0


def test_utterances_that_may_expire_hold_nothing_back() -> None:
    holds = in_flight([])
    holds.add_units([utterance(at) for at in range(100)])
    assert not holds.full
    assert holds.admits(record("room"))
