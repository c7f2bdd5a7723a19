"""Runs a daemon in another process, to be killed or cut off.

All of it is real but the model.

Processes are forked from one that has loaded everything, so an instance is there in a fraction of a second, and what
they have loaded lies in memory once. Ten times a second an instance reports its state.
"""

import ctypes
import faulthandler
import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from daemon.config import Config
from daemon.runtime.service import Service
from daemon.scoring import threads as scoring
from daemon.telemetry import logs
from daemon.telemetry.instruments import Instruments
from daemon.wiring import Endpoints, build_endpoints
from streams.clock import SystemClock
from streams.kafka.source import KafkaSource
from streams.predictions import Prediction
from tests.kafka.hashing import HashingEngine, HashingModel
from tests.kafka.network import Network

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])
_CLONE_NEWNET = 0x40000000
_TELL_S = 0.1


@dataclass(frozen=True, slots=True)
class State:
    """The state of an instance.

    waiting_bytes: read and not taken by the timeline. paused: partitions.
    """

    numbers: tuple[int, ...] = ()
    waiting_bytes: int = 0
    paused: int = 0
    rss_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Slowness:
    """Delays of the engine per unit, of a sink per group."""

    engine_s: float = 0.0
    sink_s: float = 0.0


PROMPT = Slowness()


class Instance:
    """One running daemon. Owned by the thread that made it.

    history: the states that it reported, the oldest first; read whenever `state` is.
    """

    def __init__(
        self,
        name: str,
        settings: Mapping[str, Any],
        log: Path,
        network: Network | None = None,
        slowness: Slowness = PROMPT,
    ) -> None:
        """Starts the daemon.

        settings: a whole configuration. log: a file for what it writes.
        """
        self.name = name
        self._states, reports = _CONTEXT.Pipe(duplex=False)
        namespace = network.name if network else None
        self._process = _CONTEXT.Process(target=_run, args=(settings, log, namespace, slowness, reports), daemon=True)
        self._process.start()
        reports.close()
        self.history: list[State] = []

    @property
    def state(self) -> State:
        """How it stands now, or stood when it ended."""
        try:
            while self._states.poll():
                self.history.append(self._states.recv())
        except (EOFError, OSError):  # it was killed
            pass
        return self.history[-1] if self.history else State()

    @property
    def exit_status(self) -> int | None:
        """None while it runs; below 0 if it was killed."""
        return self._process.exitcode

    def kill(self) -> None:
        """Ends it at once (SIGKILL)."""
        self._process.kill()
        self._process.join()

    def terminate(self) -> None:
        """Asks it to drain (SIGTERM)."""
        self._process.terminate()

    def join(self, timeout_s: float) -> int | None:
        """Waits for its end; the exit status, None if it still runs."""
        self._process.join(timeout_s)
        return self.exit_status


class _SlowSink:
    """Implements `streams.sinks.base.Sink`: delivers nowhere, and takes its time over every group."""

    name = "slow"

    def __init__(self, takes_s: float) -> None:
        self._takes_s = takes_s
        self._waiting = False

    def publish(self, prediction: Prediction, line: bytes) -> None:
        self._waiting = True

    def flush(self, timeout_s: float) -> bool:
        if self._waiting:
            SystemClock().wait(threading.Event(), self._takes_s)
        self._waiting = False
        return True

    def close(self) -> None:
        """Holds nothing."""


# In the instance's own process.


def _run(
    settings: Mapping[str, Any], log: Path, namespace: str | None, slowness: Slowness, reports: Connection
) -> None:
    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    faulthandler.register(signal.SIGUSR1)  # writes to the log what each thread is doing
    if namespace is not None:
        _enter(namespace)
    HashingEngine.takes_s = slowness.engine_s
    vars(scoring).update(AffectModel=HashingModel, ScoringEngine=HashingEngine, build_preparer=lambda *_: None)
    config = Config.model_validate(settings)
    logs.configure(config.log.level, "json", sys.stderr)
    instruments = Instruments()
    endpoints = build_endpoints(config, instruments)
    if slowness.sink_s:
        endpoints = replace(endpoints, sinks=[*endpoints.sinks, _SlowSink(slowness.sink_s)])
    service = Service(config, endpoints, instruments)
    service.handle_signals()
    threading.Thread(target=_report_states, args=(endpoints, instruments, reports), daemon=True).start()
    sys.exit(service.run())


def _enter(namespace: str) -> None:
    """Moves this process, which has one thread yet, into a network namespace."""
    with Path("/run/netns", namespace).open("rb") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {namespace}")


def _report_states(endpoints: Endpoints, instruments: Instruments, reports: Connection) -> None:
    source = next(feed.source for feed in endpoints.feeds if isinstance(feed.source, KafkaSource))
    registry, never = instruments.metrics.registry, threading.Event()
    while not instruments.clock.wait(never, _TELL_S):
        paused = registry.get_sample_value("affectd_partitions_paused") or 0
        rss_bytes = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        try:
            reports.send(State(source.partitions, endpoints.ledger.waiting_bytes, int(paused), rss_bytes))
        except OSError:  # the test is over, however it ended
            os._exit(1)
