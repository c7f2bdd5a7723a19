"""Benchmark of alignment: time and windows alone.

Every event goes through `Sessions`, and every unit counts as encoded at once. Decoding is left out.
A step of a tenth of the size makes ten times as many windows; what is shown is that events do not cost more for it.
"""

import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from daemon.bench.material import START_NS, records
from daemon.bench.measure import Effort, Figure, figure, timed
from daemon.config import Config
from daemon.config.sections import TranscriptionSettings, WindowSettings
from daemon.wiring import timeline_config as configured
from streams.alignment.origin import DEVICE, STORED, Origin
from streams.alignment.sessions import Sessions
from streams.alignment.timeline_config import TimelineConfig
from streams.clock import NS_PER_S, ManualClock
from streams.decoding.decode import Limits, decode_record
from streams.delivery.ledger import Ledger
from streams.events import Event, Sound
from streams.telemetry import NullTelemetry

SIZE_NS = 4 * NS_PER_S
_IDLE_AFTER_S = 3
_ACTIVE_S = 6  # longer than a window and the disorder bound: from then on, a session holds the same amount


def align(effort: Effort) -> Iterator[Figure]:
    """Events per second at both steps, and the memory of sessions."""
    events = [decode_record(record, Limits(), live=False) for record in records(effort.stream_s)]
    steps_ns = (SIZE_NS, SIZE_NS // 10)
    (few, whole_s), (many, tenth_s) = timed(
        [partial(pass_through, timeline_config(step_ns), events) for step_ns in steps_ns], effort.rounds
    )
    count = len(events)
    yield figure("align", "events, step = size", count / whole_s, "events/s", events=count, windows=few)
    yield figure(
        "align",
        "events, step = size / 10",
        count / tenth_s,
        "events/s",
        ratio=tenth_s / whole_s,
        against="cost of an event at step = size",
        events=count,
        windows=many,
    )
    yield from _memory(effort.sessions)


def timeline_config(step_ns: int) -> TimelineConfig:
    """Windows of 4 s, and no speech; otherwise as configured by default."""
    windows = WindowSettings(size_s=SIZE_NS / NS_PER_S, step_s=step_ns / NS_PER_S, idle_after_s=_IDLE_AFTER_S)
    return configured(Config(windows=windows, transcription=TranscriptionSettings(enabled=False)))


def pass_through(config: TimelineConfig, events: Sequence[Event]) -> int:
    """Aligns one stored session's events; returns the number of windows."""
    sessions = _sessions(config, ManualClock(START_NS))
    windows = 0
    for event in events:
        _add(sessions, event, STORED)
        windows += sum(1 for _ in sessions.ready_windows(event.session))
    for unit in sessions.drain():
        unit.finish()
    return windows + sum(1 for _ in sessions.ready_windows())


def _memory(count: int) -> Iterator[Figure]:
    """Memory of a session: while all three modalities send, and when idle."""
    clock = ManualClock(START_NS)
    events = [decode_record(record, Limits(), live=False) for record in records(_ACTIVE_S)]
    tracemalloc.start()
    try:
        sessions = _sessions(timeline_config(NS_PER_S), clock)
        before_bytes, _ = tracemalloc.get_traced_memory()
        for number in range(count):
            for event in events:
                _add(sessions, _own(event, f"room-{number}"), DEVICE)
            for _ in sessions.ready_windows():
                pass
        active_bytes, _ = tracemalloc.get_traced_memory()
        clock.advance(_IDLE_AFTER_S + SIZE_NS / NS_PER_S + 1)
        for unit in sessions.tick():
            unit.finish()
        for _ in sessions.ready_windows():
            pass
        idle_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for name, held_bytes in (("active", active_bytes), ("idle", idle_bytes)):
        each_kib = (held_bytes - before_bytes) / count / 1024
        yield figure("align", f"memory of an {name} session", each_kib, "KiB", sessions=len(sessions))


def _sessions(config: TimelineConfig, clock: ManualClock) -> Sessions:
    return Sessions(config, 60 * NS_PER_S, clock, NullTelemetry(), Ledger(config.grid))


def _add(sessions: Sessions, event: Event, origin: Origin) -> None:
    for unit in sessions.add(event, event.modality, origin):
        unit.finish()


def _own(event: Event, session: str) -> Event:
    """Copies an event for another session.

    Its sound is copied too; pictures are freed when they are sampled.
    """
    payload = event.payload
    if isinstance(payload, Sound):
        payload = Sound(payload.samples.copy(), payload.rate_hz)
    return replace(event, session=session, payload=payload)
