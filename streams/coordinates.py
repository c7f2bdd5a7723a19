"""Where a record lies in a log: topic, partition and offset."""

from typing import NamedTuple


class Partition(NamedTuple):
    """One partition of one topic of a log."""

    topic: str
    number: int


class Coordinates(NamedTuple):
    """Place of a record in a log, with its key and headers.

    With the payload this is enough to dead-letter the record as it came.
    """

    partition: Partition
    offset: int
    written_ns: int
    """The log's own time of the record, never after it was received; says in what order partitions are read."""
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()

    def named(self) -> dict[str, str | int]:
        """The place alone, for log messages.

        The key is left out: a session may be the name of a person.
        """
        return {"topic": self.partition.topic, "partition": self.partition.number, "offset": self.offset}
