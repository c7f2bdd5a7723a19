"""Clock, metrics and heartbeats, which every part is handed."""

from dataclasses import dataclass, field

from daemon.telemetry.heartbeats import Heartbeats
from daemon.telemetry.metrics import Metrics
from streams.clock import Clock, SystemClock


@dataclass(frozen=True)
class Instruments:
    """One set per daemon. Callable from any thread."""

    clock: Clock = field(default_factory=SystemClock)
    metrics: Metrics = field(default_factory=Metrics)
    heartbeats: Heartbeats = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "heartbeats", Heartbeats(self.clock, self.metrics.watch_worker))
