"""Reading a topic of a test from its beginning to its end."""

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord


def everything(bootstrap: str, topic: str, *, committed: bool = False) -> list[ConsumerRecord]:
    """Reads all messages of a topic, in order within each partition.

    committed: without those of aborted transactions.
    """
    options = {"isolation_level": "read_committed" if committed else "read_uncommitted"}
    with KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", **options) as consumer:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        found: list[ConsumerRecord] = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for messages in consumer.poll(timeout_ms=200).values():
                found.extend(messages)
        return sorted(found, key=lambda message: (message.partition, message.offset))
