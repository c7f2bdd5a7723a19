"""Reports consumer lag per modality, in records and in seconds.

Seconds are the age of the last record that was read of the partition that is furthest behind; 0 where all are read.
While no broker says where a partition ends, the number of records is unknown (NaN), and the seconds go on growing.
"""

import math
from collections.abc import Collection, Iterable

from streams.clock import NS_PER_S, Clock
from streams.coordinates import Partition
from streams.kafka.contract import InputTopic
from streams.records import Modality
from streams.telemetry import Telemetry


class Lag:
    """The lag of one source.

    Owned by the source's thread.
    """

    def __init__(self, source: str, topics: Iterable[InputTopic], clock: Clock, telemetry: Telemetry) -> None:
        self._source = source
        self._modalities = {topic.name: topic.modality for topic in topics}
        self._clock = clock
        self._telemetry = telemetry
        self._written_ns: dict[Partition, int] = {}
        self._records: dict[Partition, int] = {}
        self._last_known: dict[Modality, tuple[int, float]] = {
            m: (clock.monotonic_ns(), 0.0) for m in self._modalities.values()
        }
        """When the lag of a modality was last known, and its seconds then."""

    def advance(self, partition: Partition, written_ns: int) -> None:
        """The last record that was read of a partition was written then."""
        self._written_ns[partition] = written_ns

    def update(self, partition: Partition, records: int) -> None:
        """So many records of a partition were not handed on yet."""
        self._records[partition] = max(0, records)

    def report(self, partitions: Iterable[Partition], unknown: Collection[Modality] = ()) -> None:
        """Reports the lag of each modality over these partitions.

        unknown: the modalities whose partitions end nobody knows where.
        """
        records = dict.fromkeys(self._modalities.values(), 0)
        seconds = dict.fromkeys(self._modalities.values(), 0.0)
        wall_ns, now_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        for partition in partitions:
            behind = self._records.get(partition, 0)
            if behind:
                modality = self._modalities[partition.topic]
                age_s = (wall_ns - self._written_ns.get(partition, wall_ns)) / NS_PER_S
                records[modality] += behind
                seconds[modality] = max(seconds[modality], age_s)
        for modality, count in records.items():
            if modality in unknown:
                known_ns, known_s = self._last_known[modality]
                self._telemetry.lag(self._source, modality, math.nan, known_s + (now_ns - known_ns) / NS_PER_S)
            else:
                self._last_known[modality] = now_ns, seconds[modality]
                self._telemetry.lag(self._source, modality, count, seconds[modality])

    def report_unknown(self) -> None:
        """Reports that nobody reads the log any more."""
        for modality in self._modalities.values():
            self._telemetry.lag(self._source, modality, math.nan, math.nan)
