"""Whatever the crash, and however slow the recogniser: every window is published once more with the same words."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from streams.alignment.closed_window import ClosedWindow
from streams.coordinates import Partition
from streams.delivery.ledger import Position
from streams.events import EncodingUnit, Line
from streams.speech.session_speech import SpeechConfig
from tests.property.test_delivery import Instance, Log, Published, assert_agrees, content, written
from tests.streams.making import config, line, picture
from tests.streams.speaking import answered, spoken

pytestmark = pytest.mark.property

LENGTH_S = 100
SETTINGS = st.sampled_from([config(2, 1), config(4, 2, lookback_s=4)]).map(
    lambda found: config(
        found.grid.size_ns / 1e9, found.grid.step_ns / 1e9, lookback_s=found.lookback_ns / 1e9, speech=SpeechConfig()
    )
)


class Hearing(Instance):
    """An instance whose engine answers when it is told to."""

    def __init__(self, *arguments: object) -> None:
        self.asked: deque[EncodingUnit] = deque()
        super().__init__(*arguments)  # type: ignore[arg-type]

    def answer(self, most: int) -> None:
        for _ in range(min(most, len(self.asked))):
            unit = self.asked.popleft()
            unit.result = answered(unit)
            unit.finish()
            self._take(self.sessions.finish(unit))

    def end(self) -> None:
        super().end()
        while self.asked:
            self.answer(1)
            super().end()

    def content(self, window: ClosedWindow) -> list[tuple[object, ...]]:
        texts = [
            (unit.payload.text, unit.share)
            for units in window.units.values()
            for unit in units
            if isinstance(unit.payload, Line)
        ]
        return [*content(window), *texts, (window.transcribed_fraction,)]

    def _take(self, units: list[EncodingUnit]) -> None:
        self.asked += units
        self.waiting += self.sessions.ready_windows()


@st.composite
def talks(draw: st.DrawFn) -> Log:
    """Two sessions of sound in which somebody speaks now and then, with some pictures and lines."""
    made = []
    for session in ("one", "two"):
        starts = sorted(draw(st.lists(st.integers(0, LENGTH_S * 2), max_size=6)))
        spans = [(at / 2, at / 2 + draw(st.sampled_from([0.5, 2, 7, 30]))) for at in starts]
        made += spoken(*spans, until_s=LENGTH_S, chunk_s=0.5, session=session)
        made += [picture(at, session=session) for at in draw(st.lists(st.integers(0, LENGTH_S), max_size=5))]
        made += [line(at, session=session) for at in draw(st.lists(st.integers(0, LENGTH_S), max_size=3))]
    return written((event.time_ns, event) for event in made)


@examples(max_examples=15, deadline=None)
@given(talks(), SETTINGS, st.data())
def test_after_any_crashes_every_window_was_published_with_the_same_words(
    log: Log, settings: object, data: st.DataObject
) -> None:
    undisturbed = Hearing({}, settings)
    for event, at in log:
        undisturbed.read(event, at)
        undisturbed.answer(1000)
    undisturbed.end()
    undisturbed.publish(10_000)
    committed: dict[Partition, Position] = {}
    published: Published = {}
    for _ in range(data.draw(st.integers(0, 2), label="crashes")):
        instance = Hearing(committed, settings)
        step = data.draw(st.integers(1, 40), label="step")
        most = data.draw(st.sampled_from([1, 20, 1000]), label="answers")
        for number, (event, at) in enumerate(log[: data.draw(st.integers(0, len(log)), label="read")]):
            instance.read(event, at)
            if number % step == 0:
                instance.answer(most)
                instance.publish(1000)
                committed = instance.ledger.checkpoint()
        assert_agrees(published, instance.published)
        published |= instance.published
    instance = Hearing(committed, settings)
    for event, at in log:
        instance.read(event, at)
    instance.end()
    instance.publish(10_000)
    assert_agrees(published, instance.published)
    assert published | instance.published == undisturbed.published
