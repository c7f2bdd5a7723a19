"""What the tests of time are written in: seconds from the start of 2000, and modalities by their first letter."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from streams.alignment.closed_window import ClosedWindow
from streams.alignment.origin import DEVICE, STORED
from streams.alignment.sessions import Sessions
from streams.alignment.timeline_config import TimelineConfig
from streams.alignment.watermark import WatermarkConfig
from streams.alignment.windows import SegmentGrid, WindowGrid
from streams.clock import NS_PER_S, ManualClock
from streams.delivery.ledger import Ledger
from streams.events import EncodingUnit, Event, Line, Picture, Sound
from streams.reasons import ClosedBy
from streams.records import Modality
from streams.speech.session_speech import SpeechConfig
from streams.telemetry import NullTelemetry

START_NS = 946_684_800 * NS_PER_S
"""2000-01-01: a multiple of every window step and segment used here."""


def ns(at_s: float) -> int:
    return START_NS + span_ns(at_s)


def span_ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)


def seconds(at_ns: int) -> float:
    return (at_ns - START_NS) / NS_PER_S


def picture(at_s: float, content: bytes = b"picture", session: str = "room") -> Event:
    return Event(session, Modality.VIDEO, ns(at_s), 0, ns(at_s), Picture("image/jpeg", content))


def sound(at_s: float, for_s: float = 0.1, session: str = "room", level: float = 0.5, rate_hz: int = 16_000) -> Event:
    samples = np.full(round(for_s * rate_hz), level, np.float32)
    return Event(session, Modality.AUDIO, ns(at_s), span_ns(for_s), ns(at_s), Sound(samples, rate_hz))


def line(at_s: float, text: str = "hello", session: str = "room") -> Event:
    return Event(session, Modality.TEXT, ns(at_s), 0, ns(at_s), Line(text))


def config(
    size_s: float = 4,
    step_s: float = 1,
    bound_s: float = 0.5,
    idle_after_s: float = 3,
    grace_s: float = 0,
    sample_hz: float = 5,
    segment_s: float = 1,
    hop_s: float | None = None,
    lookback_s: float = 0,
    speech: SpeechConfig | None = None,
) -> TimelineConfig:
    return TimelineConfig(
        WindowGrid(span_ns(size_s), span_ns(step_s)),
        WatermarkConfig(span_ns(bound_s), span_ns(idle_after_s)),
        span_ns(grace_s),
        sample_hz,
        SegmentGrid(span_ns(segment_s), span_ns(hop_s or segment_s)),
        span_ns(lookback_s),
        speech,
    )


class Counts(NullTelemetry):
    """Counts by (what, modality or reason)."""

    def __init__(self) -> None:
        self.of: Counter[tuple[str, str]] = Counter()

    def event(self, modality: Modality) -> None:
        self.of["event", modality] += 1

    def dropped(self, modality: Modality, reason: str, count: int = 1) -> None:
        self.of[reason, modality] += count

    def late(self, modality: Modality) -> None:
        self.of["missed a window", modality] += 1

    def window_closed(self, closed_by: ClosedBy) -> None:
        self.of["window", closed_by] += 1


@dataclass
class Stage:
    """Sessions in virtual time, with an engine that encodes every unit at once (unless `encodes` is False)."""

    config: TimelineConfig = field(default_factory=config)
    timeout_s: float = 60
    encodes: bool = True
    clock: ManualClock = field(default_factory=ManualClock)
    counts: Counts = field(default_factory=Counts)
    units: list[EncodingUnit] = field(default_factory=list)
    windows: list[ClosedWindow] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sessions = Sessions(
            self.config, span_ns(self.timeout_s), self.clock, self.counts, Ledger(self.config.grid)
        )

    def live(self, *events: Event, source: str = "device") -> None:
        """Events from a device: caught up whenever it is silent."""
        for event in events:
            self._took(self.sessions.add(event, source, DEVICE))

    def stored(self, *events: Event, source: str = "file") -> None:
        """Events from a file or a log that is not read to its end."""
        for event in events:
            self._took(self.sessions.add(event, source, STORED))

    def promise(self, modality: Modality, through_s: float, session: str = "room", source: str = "file") -> None:
        live = source != "file"
        self._took(self.sessions.progress(session, modality, ns(through_s), source, DEVICE if live else STORED))

    def end(self, source: str = "file", session: str = "room") -> None:
        self._took(self.sessions.end(session, source))

    def drain(self) -> None:
        self._took(self.sessions.drain())

    def wait(self, for_s: float, tick_s: float = 0.2) -> None:
        """Lets time pass, ticking as the timeline thread does."""
        for _ in range(round(for_s / tick_s)):
            self.clock.advance(tick_s)
            self.tick()

    def tick(self) -> None:
        self._took(self.sessions.tick())

    def spans(self) -> list[tuple[float, float]]:
        """The windows handed on so far, in seconds."""
        return [(seconds(window.start_ns), seconds(window.end_ns)) for window in self.windows]

    def starts(self) -> list[float]:
        return [start for start, _ in self.spans()]

    def take(self) -> None:
        """Takes what is ready to be scored."""
        self.windows += self.sessions.ready_windows()

    def _took(self, units: list[EncodingUnit]) -> None:
        self.units += units
        if self.encodes:
            for unit in units:
                unit.done = True
        self.take()


def starts_of(units: tuple[EncodingUnit, ...]) -> list[float]:
    return [seconds(unit.start_ns) for unit in units]
