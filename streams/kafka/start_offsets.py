"""Finds the start offset of assigned partitions.

It is the committed offset; where the group has committed none, the beginning or the end, as configured. What lies
between a committed offset and the beginning was deleted by retention, and is counted as lost. A committed offset beyond
the end belongs to another log of the same name, or to one that lost its tail: it is read from the beginning, which may
repeat predictions but misses no record. The metadata of a commit says which windows were published before.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kafka import TopicPartition
from kafka.errors import LeaderNotAvailableError

from streams.alignment.windows import WindowGrid
from streams.coordinates import Partition
from streams.delivery.checkpoint import decode

_REQUEST_MS = 500  # what is not answered is requested again


@dataclass(frozen=True, slots=True)
class StartOffset:
    """Where reading of a partition begins."""

    offset: int
    lost: int = 0
    """Records before it that were never read and are deleted."""
    metadata: str = ""
    """What was committed with the offset."""
    truncated: bool = False
    """Whether the log ends before what was committed."""


def fetch_start_offsets(
    consumer: Any,
    partitions: Iterable[Partition],
    policy: Literal["earliest", "latest"],
    recreated: Collection[Partition] = (),
) -> dict[Partition, StartOffset]:
    """Requests start offsets from the cluster, within a second or two.

    recreated: partitions of topics that were deleted and created again: what is committed for them is of another log.
    Passes errors of kafka-python on, KafkaTimeoutError above all.
    """
    wanted = [TopicPartition(*partition) for partition in partitions]
    # The ends last: a log that grows meanwhile must not seem to end before what was committed.
    committed = {at: consumer.committed(at, metadata=True, timeout_ms=_REQUEST_MS) for at in wanted}
    beginnings = fetch_offsets(consumer.beginning_offsets, wanted)
    ends = fetch_offsets(consumer.end_offsets, wanted)
    return {
        Partition(*partition): StartOffset(beginnings[partition])
        if partition in recreated
        else _start_offset(committed[partition], beginnings[partition], ends[partition], policy)
        for partition in wanted
    }


def fetch_offsets(request: Callable[..., Any], partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    """Calls `beginning_offsets` or `end_offsets` for all partitions, or fails.

    LeaderNotAvailableError if a partition has no leader, for which kafka-python raises KeyError.
    """
    try:
        offsets: dict[TopicPartition, int] = request(partitions, timeout_ms=_REQUEST_MS)
    except KeyError as error:
        raise LeaderNotAvailableError(f"{error.args[0]} has no leader") from error
    return offsets


def emitted_through(starts: Mapping[Partition, StartOffset], grid: WindowGrid) -> dict[bytes, int]:
    """The first unpublished window of each session, by session digest.

    starts: of the partitions of one partition group, with whose offsets this was committed.
    """
    through: dict[bytes, int] = {}
    for start in starts.values():
        for digest, index in decode(start.metadata, grid).items():
            through[digest] = max(index, through.get(digest, index))
    return through


def _start_offset(committed: Any, beginning: int, end: int, policy: Literal["earliest", "latest"]) -> StartOffset:
    if committed is None:
        return StartOffset(beginning if policy == "earliest" else end)
    metadata = committed.metadata or ""
    if committed.offset > end:
        return StartOffset(beginning, 0, metadata, truncated=True)
    return StartOffset(max(beginning, committed.offset), max(0, beginning - committed.offset), metadata)
