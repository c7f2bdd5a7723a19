"""Workarounds against the installed kafka-python: fault and cure.

A test that fails because the fault is gone means that its workaround can go too.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kafka
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import CompletedFetch
from kafka.errors import CorruptRecordError, KafkaError, KafkaTimeoutError
from kafka.future import Future
from kafka.record import util as record_util
from kafka.record.memory_records import MemoryRecordsBuilder

from streams.kafka.client_workarounds import (
    DeadlineWait,
    DeferredError,
    ParkedRecords,
    UnreadableBatch,
    UnsupportedClient,
    cluster_metadata,
    has_native_crc32c,
    rejoin_request,
)
from streams.kafka.connection import Connection
from streams.kafka.producer import ProducerConfig, close_at_once

pytestmark = pytest.mark.unit

ONE, TWO = TopicPartition("one", 0), TopicPartition("two", 0)
FETCH_VERSION = 11
ROOT = Path(__file__).parents[2]


@pytest.fixture
def consumer() -> Iterator[Any]:
    """A real consumer that has two partitions and no broker."""
    consumer = KafkaConsumer(bootstrap_servers="127.0.0.1:1", api_version=(3, 0), auto_offset_reset="none")
    consumer.assign([ONE, TWO])
    consumer.seek(ONE, 0)
    consumer.seek(TWO, 0)
    yield consumer
    consumer.close(autocommit=False, timeout_ms=0)


def batch(*values: bytes) -> bytes:
    """The values as one record batch."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=2**20)
    for offset, value in enumerate(values):
        builder.append(timestamp=offset, key=None, value=value, headers=[])
    builder.close()
    return bytes(builder.buffer())


def fetched(consumer: Any, partition: TopicPartition, records: bytes) -> None:
    """A broker's response to a fetch of `partition` has come."""
    data = SimpleNamespace(
        error_code=0,
        high_watermark=100,
        diverging_epoch=None,
        current_leader=None,
        preferred_read_replica=-1,
        aborted_transactions=[],
        records=records,
    )
    consumer._fetcher._completed_fetches.append(CompletedFetch(partition, 0, FETCH_VERSION, data, None))


def polled(consumer: Any, most: int | None = None) -> dict[TopicPartition, list[bytes]]:
    """What a poll hands out of what was fetched."""
    records, _ = consumer._fetcher.fetched_records(most)
    return {partition: [record.value for record in of_it] for partition, of_it in records.items()}


def parked(consumer: Any) -> None:
    """Parks records of ONE behind handed-out records of TWO, and resumes ONE."""
    fetched(consumer, ONE, batch(b"a", b"b"))
    assert polled(consumer, 1) == {ONE: [b"a"]}
    consumer.pause(ONE)
    fetched(consumer, TWO, batch(b"c"))
    assert polled(consumer) == {TWO: [b"c"]}
    consumer.resume(ONE)


def test_parked_records_of_a_resumed_partition_stay_parked_without_the_workaround(consumer: Any) -> None:
    parked(consumer)
    assert polled(consumer) == {}
    assert polled(consumer) == {}


def test_parked_records_of_a_resumed_partition_are_released(consumer: Any) -> None:
    parked(consumer)
    ParkedRecords(consumer).release()
    assert polled(consumer) == {ONE: [b"b"]}


def test_records_that_are_next_in_line_stay_there(consumer: Any) -> None:
    fetched(consumer, ONE, batch(b"a", b"b"))
    assert polled(consumer, 1) == {ONE: [b"a"]}
    ParkedRecords(consumer).release()
    assert polled(consumer) == {ONE: [b"b"]}


def corrupt(records: bytes) -> bytes:
    return records[:-1] + bytes([records[-1] ^ 1])


def deferred(consumer: Any) -> None:
    """Hands out records of ONE, and defers the error of TWO."""
    fetched(consumer, ONE, batch(b"a"))
    fetched(consumer, TWO, corrupt(batch(b"b")))
    assert polled(consumer) == {ONE: [b"a"]}


def test_an_error_is_forgotten_if_its_partition_is_paused_before_it_is_raised(consumer: Any) -> None:
    deferred(consumer)
    consumer.pause(TWO)
    assert polled(consumer) == {}


def test_an_error_that_the_next_poll_raises_is_pending(consumer: Any) -> None:
    error = DeferredError(consumer)
    assert not error.is_pending
    deferred(consumer)
    assert error.is_pending
    with pytest.raises(CorruptRecordError):
        polled(consumer)
    assert not error.is_pending


def test_a_corrupt_batch_is_found_though_its_error_carries_no_partition(consumer: Any) -> None:
    fetched(consumer, ONE, corrupt(batch(b"a")))
    with pytest.raises(CorruptRecordError) as raised:
        polled(consumer)
    assert not any(isinstance(value, TopicPartition) for value in vars(raised.value).values())
    assert UnreadableBatch(consumer).partition_of(raised.value) == ONE


def test_a_batch_that_cannot_be_decompressed_is_found(consumer: Any) -> None:
    consumer._fetcher.config["check_crcs"] = False
    records = bytearray(batch(b"a" * 100))
    records[22] |= 1  # the attributes of the batch: gzip, which it is not
    fetched(consumer, TWO, bytes(records))
    with pytest.raises(Exception) as raised:  # noqa: PT011  # of whatever kind the decompression raises
        polled(consumer)
    assert "TopicPartition" not in str(raised.value)
    assert UnreadableBatch(consumer).partition_of(raised.value) == TWO


def test_a_batch_that_is_cut_off_is_found_by_the_text_of_its_error(consumer: Any) -> None:
    fetched(consumer, ONE, batch(b"a")[:-1])
    with pytest.raises(KafkaError) as raised:
        polled(consumer)
    assert UnreadableBatch(consumer).partition_of(raised.value) == ONE


def test_other_errors_are_of_no_batch(consumer: Any) -> None:
    batches = UnreadableBatch(consumer)
    assert batches.partition_of(KafkaTimeoutError("no answer")) is None
    assert batches.partition_of(KafkaError(f"something about {ONE}")) is None


def test_a_future_is_awaited_up_to_a_timeout(consumer: Any) -> None:
    wait = DeadlineWait(consumer)
    with pytest.raises(KafkaTimeoutError):
        consumer._net.run(wait.wait, Future(), 0.01)
    consumer._net.run(wait.wait, Future().success("answer"), 10.0)


def test_the_metadata_gives_ids_of_topics(consumer: Any) -> None:
    cluster = cluster_metadata(consumer)
    assert cluster.partitions_for_topic("unknown") is None
    assert cluster.topic_id("unknown") is None
    assert cluster.unauthorized_topics == set()


def test_a_rejoin_is_remembered_until_the_next_poll(consumer: Any) -> None:
    consumer._coordinator.rejoin_needed = False
    rejoin_request(consumer)()
    assert consumer._coordinator.rejoin_needed


def unsent(timeout: float | None = None) -> None:
    raise KafkaTimeoutError("not everything was sent")


def test_a_producer_with_unsent_messages_keeps_its_thread_without_the_workaround() -> None:
    producer = KafkaProducer(bootstrap_servers="127.0.0.1:1", api_version=(3, 0))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(producer._accumulator, "await_flush_completion", unsent)
        with pytest.raises(KafkaTimeoutError):
            producer.close(timeout=0)
    producer._sender.join(0.5)
    assert producer._sender.is_alive()
    producer.close(timeout=0)
    producer._sender.join(10.0)


def test_a_sinks_producer_with_unsent_messages_ends_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    config = ProducerConfig(Connection(("127.0.0.1:1",)), "predictions", "dead-letters")
    producer = config.open(api_version=(3, 0))
    monkeypatch.setattr(producer._accumulator, "await_flush_completion", unsent)
    close_at_once(producer)
    producer._sender.join(10.0)
    assert not producer._sender.is_alive()


def test_checksums_are_computed_in_c_where_the_package_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_native_crc32c()
    monkeypatch.setattr(record_util, "crc32c_c", None)
    assert not has_native_crc32c()


@pytest.mark.parametrize("workaround", [ParkedRecords, DeferredError, UnreadableBatch, DeadlineWait, cluster_metadata])
def test_a_client_without_the_private_part_is_refused_by_name_and_version(workaround: Any) -> None:
    with pytest.raises(UnsupportedClient, match=f"kafka-python {re.escape(kafka.__version__)} has no object._"):
        workaround(object())


def test_a_part_within_a_part_is_checked_too() -> None:
    with pytest.raises(UnsupportedClient, match=r"has no SimpleNamespace\._coordinator\.request_rejoin"):
        rejoin_request(SimpleNamespace(_coordinator=object()))


@pytest.mark.parametrize("path", sorted((ROOT / "streams" / "kafka").glob("*.py")), ids=lambda path: path.stem)
def test_private_parts_of_others_are_used_in_one_module(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    own = {node.attr for node in attributes if isinstance(node.value, ast.Name) and node.value.id == "self"}
    private = {node.attr for node in attributes if re.fullmatch("_[a-z].*", node.attr)} - own
    assert bool(private) is (path.stem == "client_workarounds"), private
