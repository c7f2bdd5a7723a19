"""Where a record lies in a log: topic, partition and offset."""

from typing import NamedTuple


class Partition(NamedTuple):
    """One partition of one topic of a log."""

    topic: str
    number: int


class Coordinates(NamedTuple):
    """Where a record lies in a log, and what lies there beside its payload: enough to set it aside as it came."""

    partition: Partition
    offset: int
    written_ns: int
    """The log's own time of the record, never after it was received; says in what order partitions are read."""
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()

    def named(self) -> dict[str, str | int]:
        """The place alone, for the log: a record's session may be the name of a person."""
        return {"topic": self.partition.topic, "partition": self.partition.number, "offset": self.offset}
