"""Runs the microphone source and reports what it does, one JSON object a line, until it is ended.

A process of its own, since ALSA and PortAudio read their configuration once per process. The argument is the device.
"""

import json
import sys
import threading
from typing import Any

import numpy as np
import structlog

from streams.clock import SystemClock
from streams.records import Item, Modality, Progress, Record
from streams.sources.backoff import Backoff
from streams.sources.devices import discovery
from streams.sources.devices.microphone import Microphone, MicrophoneConfig
from streams.sources.runner import SourceRunner
from streams.telemetry import NullTelemetry

RATE_HZ = 16_000


def report(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


class Reporting(NullTelemetry):
    def __init__(self) -> None:
        self.runner: SourceRunner | None = None

    def source_state(self, source: str, state: str) -> None:
        error = None if self.runner is None else self.runner.error
        report(state=state, error=None if error is None else str(error))

    def reconnect(self, source: str) -> None:
        report(reconnect=True)

    def dropped(self, modality: Modality, reason: str, count: int = 1) -> None:
        report(dropped=reason, count=count)


def report_item(item: Item) -> None:
    match item:
        case Record():
            samples = np.frombuffer(item.payload, "<i2").astype(np.float64)
            spectrum = np.abs(np.fft.rfft(samples))
            report(
                item="record",
                begin_ns=item.event_time_ns,
                end_ns=item.event_time_ns + len(samples) * 1_000_000_000 // RATE_HZ,
                received_ns=item.received_ns,
                loudness=float(np.sqrt((samples**2).mean())),
                pitch_hz=float(spectrum.argmax() * RATE_HZ / len(samples)),
            )
        case Progress():
            report(item="progress", through_ns=item.through_ns)


def main(device: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    report(microphones=[microphone.name for microphone in discovery.microphones()])
    telemetry = Reporting()
    clock = SystemClock()
    source = Microphone(MicrophoneConfig("room", device, rate_hz=RATE_HZ), clock, telemetry)
    runner = SourceRunner(source, report_item, clock, telemetry, Backoff(0.2, 0.5))
    telemetry.runner = runner
    runner.start()
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "default")
