"""Where a partition that was assigned is read from, and which windows of its sessions were published before.

From the committed offset; where the group has committed none, from the beginning or the end, as configured. What lies
between a committed offset and the beginning was deleted by the topic's retention, and is told. A committed offset
beyond the end belongs to another log of the same name, or to one that lost its tail: it is read from the beginning,
which may repeat predictions but misses no record.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kafka import TopicPartition
from kafka.errors import LeaderNotAvailableError

from streams.alignment.windows import WindowGrid
from streams.coordinates import Partition
from streams.delivery.checkpoint import decode

_ANSWER_MS = 500  # what is not answered is asked again


@dataclass(frozen=True, slots=True)
class StartOffset:
    """Where reading a partition begins."""

    offset: int
    lost: int = 0
    """Records before it that were never read and are gone."""
    metadata: str = ""
    """What was committed with the offset."""
    truncated: bool = False
    """Whether the log ends before what was committed."""


def fetch_start_offsets(
    consumer: Any,
    partitions: Iterable[Partition],
    policy: Literal["earliest", "latest"],
    anew: Collection[Partition] = (),
) -> dict[Partition, StartOffset]:
    """Asks the cluster, within a second or two; errors of kafka-python, KafkaTimeoutError above all, are passed on.

    anew: those whose topic was made anew, so that what is committed for them is of another log.
    """
    wanted = [TopicPartition(*partition) for partition in partitions]
    # The ends last: a log that grows meanwhile must not seem to end before what was committed.
    committed = {partition: consumer.committed(partition, metadata=True, timeout_ms=_ANSWER_MS) for partition in wanted}
    beginnings = fetch_offsets(consumer.beginning_offsets, wanted)
    ends = fetch_offsets(consumer.end_offsets, wanted)
    return {
        Partition(*partition): StartOffset(beginnings[partition])
        if partition in anew
        else _start(committed[partition], beginnings[partition], ends[partition], policy)
        for partition in wanted
    }


def fetch_offsets(ask: Callable[..., Any], partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    """The answer of `beginning_offsets` or `end_offsets`, whole; they leave out partitions that have no leader."""
    try:
        offsets: dict[TopicPartition, int] = ask(partitions, timeout_ms=_ANSWER_MS)
    except KeyError as error:
        raise LeaderNotAvailableError(f"{error.args[0]} has no leader") from error
    return offsets


def emitted_through(starts: Mapping[Partition, StartOffset], grid: WindowGrid) -> dict[bytes, int]:
    """By session digest, the first window that was not published, as committed with the partitions of one number."""
    through: dict[bytes, int] = {}
    for start in starts.values():
        for digest, index in decode(start.metadata, grid).items():
            through[digest] = max(index, through.get(digest, index))
    return through


def _start(committed: Any, beginning: int, end: int, policy: Literal["earliest", "latest"]) -> StartOffset:
    if committed is None:
        return StartOffset(beginning if policy == "earliest" else end)
    metadata = committed.metadata or ""
    if committed.offset > end:
        return StartOffset(beginning, 0, metadata, truncated=True)
    return StartOffset(max(beginning, committed.offset), max(0, beginning - committed.offset), metadata)
