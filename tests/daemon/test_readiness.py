"""Readiness asks a log source, whatever log it reads, why its records do not arrive."""

import threading

import pytest

from daemon.runtime.readiness import Readiness
from streams.clock import ManualClock
from streams.records import Modality
from streams.source_state import SourceState
from streams.sources.base import Emit
from streams.sources.runner import SourceRunner

pytestmark = pytest.mark.unit


class Device:
    name = "camera"
    modalities = frozenset({Modality.VIDEO})
    live = True

    def open(self) -> None: ...

    def read(self, emit: Emit, stop: threading.Event) -> None: ...

    def close(self) -> None: ...


class Log(Device):
    """A log source of no kind that the service knows."""

    name = "log"
    partitions = (0, 2)
    reason: str | None = None

    def unready_reason(self) -> str | None:
        return self.reason

    def drain(self) -> None: ...


def running(source: Device) -> SourceRunner:
    runner = SourceRunner(source, lambda item: None, ManualClock())
    runner.state = SourceState.RUNNING
    return runner


def test_a_log_source_that_runs_is_asked_why_its_records_do_not_arrive() -> None:
    log = Log()
    readiness = Readiness([running(log)], optional=[])
    assert readiness.reasons() == []
    log.reason = "source log is not in its group yet"
    assert readiness.reasons() == ["source log is not in its group yet"]
    assert not readiness.is_open


def test_a_device_that_runs_is_ready() -> None:
    assert Readiness([running(Device())], optional=[]).reasons() == []
