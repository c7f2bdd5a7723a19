"""Two faults of kafka-python (3.0.12) in what it does with paused partitions, and how they are kept away from.

It parks records that it has fetched of a paused partition, and takes them out again only while none of another are in
their turn; but what has had its turn is never cleared away, so they may lie there for ever. And an error that waits for
the next poll is forgotten if its partition is paused before; taking records from that partition then never ends.
Nothing of this is in its public interface.
"""

from typing import Any


def release_parked(consumer: Any) -> None:
    """Clears away records that have had their turn; before every poll."""
    fetcher = consumer._fetcher
    if not fetcher._next_partition_records:
        fetcher._next_partition_records = None


def error_is_due(consumer: Any) -> bool:
    """Whether the next poll raises an error, before which no partition may be paused."""
    return consumer._fetcher._next_in_line_exception_metadata is not None
