"""Works around faults of kafka-python that need its private parts.

Problem: some faults and gaps of the client can only be corrected from inside. Rule: whatever is private is used here
and nowhere else, one class or function for each fault. Each gets its private parts when it is constructed, so that a
version of kafka-python without them is refused at once, by name. A test runs each against the installed library, and
shows that the fault is still there. All of this was observed in kafka-python 3.0.12.
"""

import contextlib
import re
import traceback
from collections.abc import Callable
from typing import Any, Protocol

import kafka
from kafka import KafkaProducer, TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.record import util as record_util

from streams.sources.base import SourceError


class UnsupportedClient(SourceError):
    """The installed kafka-python lacks a private part; the message names both."""


class ParkedRecords:
    """Releases records of resumed partitions that kafka-python keeps parked.

    Records that were fetched of a partition are parked while it is paused (KAFKA-7548, dpkp/kafka-python pull request
    2981). They come back only while no other records are next in line, and records that were handed out stay in line
    until something else replaces them. So they may stay parked for ever. Not reported.
    """

    def __init__(self, consumer: Any) -> None:
        self._fetcher = _private(consumer, "_fetcher")
        _private(self._fetcher, "_next_partition_records")

    def release(self) -> None:
        """Removes handed-out records from the line; for every poll, before it."""
        if not self._fetcher._next_partition_records:
            self._fetcher._next_partition_records = None


class DeferredError:
    """Tells whether the next poll raises an error of the last one.

    An error that follows records in one poll is raised by the next. If its partition is paused in between, the error
    is forgotten, and reading that partition never ends. So nothing may be paused while an error is pending. Not
    reported.
    """

    def __init__(self, consumer: Any) -> None:
        self._fetcher = _private(consumer, "_fetcher")
        _private(self._fetcher, "_next_in_line_exception_metadata")

    @property
    def is_pending(self) -> bool:
        return self._fetcher._next_in_line_exception_metadata is not None


class UnreadableBatch:
    """Finds the partition of a record batch that cannot be read.

    Errors of decompression name no partition, and neither does that of a checksum in a form for programs. So the
    partition is that whose records are next in line, if the error passed through the function that unpacks batches. A
    batch that is cut off has an error whose text alone names the partition. Not reported; the Java client is to carry
    the partition in the error (KAFKA-19613), and aiokafka has the same gap (aio-libs/aiokafka issue 321).
    """

    _CUT_OFF = re.compile(r"no complete records|Failed to make progress")
    _NAMED = re.compile(r"TopicPartition\(topic='([^']+)', partition=(\d+)\)")

    def __init__(self, consumer: Any) -> None:
        self._fetcher = _private(consumer, "_fetcher")
        _private(self._fetcher, "_next_partition_records")
        self._unpacking = _private(Fetcher, "PartitionRecords._unpack_records.__code__")

    def partition_of(self, error: Exception) -> TopicPartition | None:
        """The partition of a batch error; None for other errors."""
        if any(frame.f_code is self._unpacking for frame, _ in traceback.walk_tb(error.__traceback__)):
            records = self._fetcher._next_partition_records
            return None if records is None else records.topic_partition
        text = str(error)
        if type(error) is not KafkaError or not self._CUT_OFF.search(text):
            return None
        named = self._NAMED.search(text)
        return TopicPartition(named[1], int(named[2])) if named else None


class DeadlineWait:
    """Awaits a future on the client's IO thread, up to a timeout.

    A rebalance listener must await the last commit, and must not await it for ever. Of the public functions none does
    that: `commit` blocks the IO thread, `commit_async` gives a future without a timeout. Not reported.
    """

    def __init__(self, consumer: Any) -> None:
        self._wait_for = _private(consumer, "_manager.wait_for")

    async def wait(self, future: Any, timeout_s: float) -> None:
        """Returns when the future is done; its error, or KafkaTimeoutError after `timeout_s`."""
        await self._wait_for(future, round(timeout_s * 1000))


class ClusterMetadata(Protocol):
    """What the client knows of topics without a request."""

    unauthorized_topics: set[str]

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """The partition numbers; None if there is no such topic."""
        ...

    def topic_id(self, topic: str) -> object:
        """The id, which changes if the topic is recreated (KIP-516).

        None where it is not known.
        """
        ...


def cluster_metadata(consumer: Any) -> ClusterMetadata:
    """The metadata that the consumer keeps of its topics.

    Its public functions give neither ids nor topics without permission, and request metadata from the cluster, which
    takes time. Topic ids came to the Java client with KAFKA-12257; for kafka-python no such wish is reported.
    """
    cluster: ClusterMetadata = _private(consumer, "_cluster")
    for name in ("partitions_for_topic", "topic_id", "unauthorized_topics"):
        _private(cluster, name)
    return cluster


def rejoin_request(consumer: Any) -> Callable[[], None]:
    """Makes the consumer rejoin its group at the next poll, when called.

    A rebalance that the leader begins because topics have changed is forgotten if it takes longer than one poll: it is
    not finished, and no heartbeat is sent. The same fault of the Java client is KAFKA-9815 (apache/kafka pull request
    8420). Not reported for kafka-python.
    """
    request: Callable[[], None] = _private(consumer, "_coordinator.request_rejoin")
    return request


class ClosingProducer(KafkaProducer):  # type: ignore[misc]  # kafka-python has no types
    """A producer whose `close` always ends its thread.

    Since dpkp/kafka-python pull request 2537 `close` flushes first, and an error of that, as of messages that cannot be
    sent in time, leaves the thread running. Pull request 3108 is about the same stall.
    """

    def flush(self, timeout: float | None = None) -> None:
        """Sends what is queued; raises no error of a message."""
        with contextlib.suppress(KafkaTimeoutError):
            super().flush(timeout)


def has_native_crc32c() -> bool:
    """Whether checksums are computed in C.

    Without the package crc32c they are computed in Python, 20 times slower and without a warning
    (dpkp/kafka-python issue 2380).
    """
    return _private(record_util, "crc32c_c") is not None


def _private(owner: Any, path: str) -> Any:
    part = owner
    for name in path.split("."):
        try:
            part = getattr(part, name)
        except AttributeError:
            what = getattr(owner, "__name__", type(owner).__name__)
            raise UnsupportedClient(
                f"kafka-python {kafka.__version__} has no {what}.{path}, which this service needs; install the version "
                f"that constraints.txt names"
            ) from None
    return part
