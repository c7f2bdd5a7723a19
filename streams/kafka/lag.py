"""How far behind the ends of its partitions a source is, per modality: in records, and in seconds of the log.

Seconds are the age of the last record that was read of the partition that is furthest behind; 0 where all are read.
"""

from collections.abc import Iterable

from streams.clock import NS_PER_S, Clock
from streams.kafka.contract import InputTopic
from streams.records import Modality, Partition
from streams.telemetry import Telemetry


class Lag:
    """Owned by the source's thread."""

    def __init__(self, source: str, topics: Iterable[InputTopic], clock: Clock, telemetry: Telemetry) -> None:
        self._source = source
        self._modalities = {topic.name: topic.modality for topic in topics}
        self._clock = clock
        self._telemetry = telemetry
        self._written_ns: dict[Partition, int] = {}
        self._behind: dict[Partition, int] = {}

    def read(self, partition: Partition, written_ns: int) -> None:
        """The last record that was read of `partition` was written then."""
        self._written_ns[partition] = written_ns

    def behind(self, partition: Partition, records: int) -> None:
        """So many records of `partition` have not been handed on."""
        self._behind[partition] = max(0, records)

    def report(self, partitions: Iterable[Partition]) -> None:
        """Tells the lag of the modalities, over these partitions."""
        records = dict.fromkeys(self._modalities.values(), 0)
        seconds: dict[Modality, float] = {}
        now_ns = self._clock.wall_ns()
        for partition in partitions:
            behind = self._behind.get(partition, 0)
            if behind:
                modality = self._modalities[partition.topic]
                age_s = (now_ns - self._written_ns.get(partition, now_ns)) / NS_PER_S
                records[modality] += behind
                seconds[modality] = max(seconds.get(modality, 0.0), age_s)
        for modality, count in records.items():
            self._telemetry.lag(self._source, modality, count, seconds.get(modality, 0.0))
