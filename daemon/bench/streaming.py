"""The daemon without its model, from a Kafka source to commits.

A unit counts as encoded as soon as it is handed on, and a window as published, so that what is measured is the way of
the records. Everything else is put together as the daemon puts it together.
"""

from dataclasses import dataclass, field
from uuid import uuid4

from daemon.bench.align import SIZE_NS, timeline_config
from daemon.scoring.pipeline import Pipeline, TimelineMessage, UnitEncoded, WindowPublished
from daemon.telemetry.instruments import Instruments
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.driver import AlignmentDriver
from streams.alignment.sessions import Sessions
from streams.channels.channel import OverflowPolicy
from streams.channels.inlet import Inlet, InletClock
from streams.clock import NS_PER_S
from streams.decoding.decode import Limits
from streams.delivery.ledger import Ledger
from streams.events import EncodingUnit
from streams.kafka.connection import Connection
from streams.kafka.consumer_config import KafkaSourceConfig
from streams.kafka.contract import InputTopic
from streams.kafka.source import KafkaSource
from streams.records import Assigned, Item, Modality, Record, RejectedRecord
from streams.sources.runner import SourceRunner

STEP_NS = SIZE_NS // 4
_MOST_IN_FLIGHT = 128
_STOP_S = 20.0


@dataclass
class NoModel:
    """Implements `daemon.scoring.pipeline.Engine`: replies at once. Owned by the timeline thread."""

    inlet: Inlet[TimelineMessage]
    ledger: Ledger
    instruments: Instruments
    windows: int = 0
    processing_s: list[float] = field(default_factory=list)
    """Of each window: from its last record received until it is complete."""
    arrival_s: list[float] = field(default_factory=list)
    """Of each line: from written to the log until it is in the timeline."""

    def encode(self, unit: EncodingUnit) -> None:
        record = unit.record
        if unit.modality is Modality.TEXT and record is not None and record.coordinates is not None:
            written_ns = record.coordinates.written_ns
            self.arrival_s.append((self.instruments.clock.wall_ns() - written_ns) / NS_PER_S)
        self.inlet.post(UnitEncoded(unit))

    def score(self, window: ClosedWindow) -> None:
        received_ns = max(unit.received_ns for units in window.units.values() for unit in units)
        self.processing_s.append((self.instruments.clock.wall_ns() - received_ns) / NS_PER_S)
        self.windows += 1
        if window.lease is not None:
            self.ledger.delivered(window.lease, window.index)
        self.inlet.post(WindowPublished())

    def forget(self, session: str) -> None:
        """Nothing is remembered."""


class StreamingHalf:
    """One instance in a consumer group of its own.

    Owned by the thread that measures. records: how many were handed to the timeline; began_ns: when partitions were
    first assigned, by monotonic time.
    """

    def __init__(self, connection: Connection, topics: tuple[InputTopic, ...]) -> None:
        self.records = 0
        self.began_ns = 0
        self.instruments = Instruments()
        self.ledger = Ledger(timeline_config(STEP_NS).grid)
        clock, metrics = self.instruments.clock, self.instruments.metrics
        inlet: Inlet[TimelineMessage] = Inlet(clock, metrics)
        config = KafkaSourceConfig("kafka", connection, f"affectd-bench-{uuid4().hex[:12]}", topics)
        self.group_id = config.group_id
        self._source = KafkaSource(config, self.ledger, clock, metrics)
        self._channel = inlet.channel("kafka", OverflowPolicy.BLOCK, None, live=True)
        self._runner = SourceRunner(self._source, self._put, clock, metrics)
        self.engine = NoModel(inlet, self.ledger, self.instruments)
        sessions = Sessions(timeline_config(STEP_NS), 60 * NS_PER_S, InletClock(inlet), metrics, self.ledger)
        driver = AlignmentDriver(sessions, Limits(), clock, metrics, self._reject)
        self._pipeline = Pipeline(inlet, driver, self.engine, _MOST_IN_FLIGHT, self.instruments)

    @property
    def waiting(self) -> bool:
        """Whether records were read that the timeline has not taken."""
        return self.ledger.waiting_bytes > 0

    def start(self) -> None:
        """Joins the group and begins to read."""
        self._pipeline.start()
        self._runner.start()

    def stop(self) -> None:
        """Leaves the group; what is open is dropped."""
        self._source.drain()
        self._channel.close()
        self._pipeline.drain()
        self._pipeline.finished.wait(_STOP_S)
        self._runner.stop()
        self._runner.join(_STOP_S)

    def _put(self, item: Item) -> None:
        if isinstance(item, Record):
            self.records += 1
        elif isinstance(item, Assigned) and not self.began_ns:
            self.began_ns = self.instruments.clock.monotonic_ns()
        self._channel.put(item)

    def _reject(self, letter: RejectedRecord) -> None:
        self.ledger.release(letter.coordinates)
