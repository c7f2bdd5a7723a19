"""How long it takes from the end of an utterance to its text event, in a session that happens now.

    python -m tests.benchmarks.transcription_latency --model tiny --language en --sentences 40

The whole daemon runs: sound comes in real time in records of 100 ms, as from a microphone, and voice, recogniser and
text encoder share the CPU. What comes from a log waits for `windows.disorder_bound_ms` more. Printed is one line of
JSON, with the load of the machine at the end.
"""

import argparse
import json
import os
import threading
from dataclasses import dataclass, field

import numpy as np

from daemon.config import Config
from daemon.config.sections import HttpSettings, ModelSettings, TranscriptionSettings
from daemon.runtime.service import Service
from daemon.scoring import threads
from daemon.telemetry.instruments import Instruments
from daemon.wiring import SourceFeed, stored_endpoints
from streams.alignment.driver import AlignmentDriver
from streams.channels.channel import OverflowPolicy
from streams.clock import NS_PER_S, Clock, SystemClock
from streams.events import EncodingUnit, Line, Task
from streams.predictions import Prediction
from streams.records import EndOfSession, Modality, Progress, Record
from streams.sources.base import Emit
from tests.speech.sentences import SENTENCES
from tests.speech.synthesis import RATE_HZ, Samples, synthesize

_CHUNK_S = 0.1
_LEAD_S = 1.0  # of silence, before the first sentence
_PAUSE_S = 1.5  # between sentences, so that each is an utterance
_SESSION = "room"


@dataclass
class Speaking:
    """Implements `streams.sources.base.Source`: says the sound in real time, as a microphone hears it."""

    pcm: Samples
    clock: Clock
    name: str = "speaking"
    live: bool = True
    modalities: frozenset[Modality] = frozenset({Modality.AUDIO})

    def open(self) -> None:
        """Nothing to open."""

    def read(self, emit: Emit, stop: threading.Event) -> None:
        start_ns, length = self.clock.wall_ns(), round(_CHUNK_S * RATE_HZ)
        for number, at in enumerate(range(0, len(self.pcm), length)):
            event_ns = start_ns + at * NS_PER_S // RATE_HZ
            heard_ns = event_ns + round(_CHUNK_S * NS_PER_S)
            if self.clock.wait(stop, max(0.0, (heard_ns - self.clock.wall_ns()) / NS_PER_S)):
                return
            payload = (self.pcm[at : at + length] * 32767).astype("<i2").tobytes()
            kind = f"audio/L16;rate={RATE_HZ};channels=1"
            emit(Record(_SESSION, Modality.AUDIO, kind, payload, event_ns, self.clock.wall_ns(), number))
            emit(Progress(_SESSION, Modality.AUDIO, heard_ns))
        emit(EndOfSession(_SESSION))

    def close(self) -> None:
        """Holds nothing."""


@dataclass
class Nowhere:
    """Implements `streams.sinks.base.Sink`."""

    name: str = "nowhere"

    def publish(self, prediction: Prediction, line: bytes) -> None:
        """Forgets it."""

    def flush(self, timeout_s: float) -> bool:
        return True

    def close(self) -> None:
        """Holds nothing."""


@dataclass
class Delays:
    """Delays of what is said, noted on the timeline thread, in seconds.

    cut: from the end of an utterance's voice until it is given to the recogniser. text: until its words are text
    events.
    """

    clock: Clock
    cut: list[float] = field(default_factory=list)
    text: list[float] = field(default_factory=list)
    _cut_at_ns: dict[int, int] = field(default_factory=dict)
    """By the end of the sound of an utterance."""

    def note(self, units: list[EncodingUnit]) -> list[EncodingUnit]:
        """Notes the utterances among new units."""
        self._cut_at_ns |= {unit.end_ns: self.clock.wall_ns() for unit in units if unit.task is Task.TRANSCRIBE}
        return units

    def finished(self, unit: EncodingUnit) -> None:
        if not isinstance(unit.payload, Line) or not unit.payload.spoken:
            return
        of_it = min(end_ns for end_ns in self._cut_at_ns if end_ns >= unit.end_ns)
        self.cut.append((self._cut_at_ns.pop(of_it) - unit.end_ns) / NS_PER_S)
        self.text.append((self.clock.wall_ns() - unit.end_ns) / NS_PER_S)


def measured(model: str, language: str, sentences: int) -> dict[str, object]:
    """The delays of so many sentences, in seconds."""
    clock, pause = SystemClock(), np.zeros(round(_PAUSE_S * RATE_HZ), np.float32)
    delays = Delays(clock)

    class Noting(AlignmentDriver):
        def take(self, *arguments: object, **named: object) -> list[EncodingUnit]:
            return delays.note(super().take(*arguments, **named))  # type: ignore[arg-type]

        def tick(self) -> list[EncodingUnit]:
            return delays.note(super().tick())

        def finish(self, unit: EncodingUnit) -> list[EncodingUnit]:
            follows = delays.note(super().finish(unit))
            delays.finished(unit)
            return follows

    vars(threads)["AlignmentDriver"] = Noting
    said = [piece for text in SENTENCES["en"][:sentences] for piece in (synthesize(text).pcm, pause)]
    source = Speaking(np.concatenate([np.zeros(round(_LEAD_S * RATE_HZ), np.float32), *said]), clock)
    config = Config(
        http=HttpSettings(bind=""),
        model=ModelSettings(device="cpu"),
        transcription=TranscriptionSettings(model=model, language=language),
    )
    feed = SourceFeed(source, OverflowPolicy.BLOCK, 64)
    Service(config, stored_endpoints(config, feed, Nowhere()), Instruments()).run()
    quantiles = {
        f"{name}_{of}_s": round(float(np.quantile(values, share)), 3)
        for name, values in (("cut", delays.cut), ("text", delays.text))
        for of, share in (("p50", 0.5), ("p95", 0.95), ("most", 1.0))
    }
    return {
        "model": model,
        "utterances": len(delays.text),
        **quantiles,
        "load": [round(each, 1) for each in os.getloadavg()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--language", default="en")
    parser.add_argument("--sentences", type=int, default=40)
    options = parser.parse_args()
    print(json.dumps(measured(options.model, options.language, options.sentences)))


if __name__ == "__main__":
    main()
