"""A cut link carries nothing, and a restored one everything."""

import subprocess
from collections.abc import Callable

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError

from tests.kafka.broker import Broker
from tests.kafka.network import Network

pytestmark = pytest.mark.kafka

TOPIC = "letters"


def next_value(consumer: KafkaConsumer, within_s: float) -> bytes | None:
    batches = consumer.poll(timeout_ms=round(within_s * 1000), max_records=1)
    return next((message.value for batch in batches.values() for message in batch), None)


@pytest.mark.parametrize("silently", [False, True], ids=["noticed", "silent"])
def test_clients_outside_go_on_when_the_link_is_mended(
    cut_off: Callable[[], Network], own_broker: Callable[..., Broker], silently: bool
) -> None:
    link = cut_off()
    broker = own_broker(host=link.inside, command=link.command)
    broker.create_topics([TOPIC])
    with (
        KafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer,
        KafkaConsumer(bootstrap_servers=broker.bootstrap) as consumer,
    ):
        consumer.assign([TopicPartition(TOPIC, 0)])
        consumer.seek_to_beginning()
        producer.send(TOPIC, b"before", partition=0).get(timeout=20)
        assert next_value(consumer, within_s=20) == b"before"
        link.cut(silently=silently)
        sent = producer.send(TOPIC, b"after", partition=0)
        assert next_value(consumer, within_s=1) is None
        with pytest.raises(KafkaTimeoutError):
            sent.get(timeout=1)
        link.restore()
        assert sent.get(timeout=60).offset == 1
        assert next_value(consumer, within_s=60) == b"after"


def test_a_program_inside_reaches_the_brokers_of_this_side(
    cut_off: Callable[[], Network], own_broker: Callable[..., Broker]
) -> None:
    near, far = cut_off(), cut_off()
    broker = own_broker(host=near.outside)
    host, port = broker.bootstrap.split(":")
    knock = ["timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}"]

    def reached(link: Network) -> bool:
        return subprocess.run([*link.command, *knock], capture_output=True, check=False).returncode == 0

    assert reached(near)
    assert reached(far)
    far.cut(silently=True)
    assert reached(near)
    assert not reached(far)
