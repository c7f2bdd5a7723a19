"""The brokers do what the other tests take for granted."""

import base64
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError
from kafka.net.sasl.oauth import AbstractTokenProvider

from streams.clock import NS_PER_S, SystemClock
from tests.kafka.broker import PASSWORD, USER, Broker, BrokerProblem, Cluster
from tests.kafka.conftest import Topics

pytestmark = pytest.mark.kafka

TOPIC = "letters"


def send(bootstrap: str, *values: bytes, topic: str = TOPIC, **options: Any) -> None:
    with KafkaProducer(bootstrap_servers=bootstrap, acks="all", **options) as producer:
        for sent in [producer.send(topic, value, partition=0) for value in values]:
            sent.get(timeout=20)


def read(bootstrap: str, count: int, *, topic: str = TOPIC, **options: Any) -> list[bytes]:
    with KafkaConsumer(bootstrap_servers=bootstrap, consumer_timeout_ms=20_000, **options) as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        consumer.seek_to_beginning()
        return [message.value for _, message in zip(range(count), consumer, strict=False)]


def test_topics_of_one_test_are_new_to_the_shared_broker(topics: Topics, broker: Cluster) -> None:
    topics.create(partitions=2)
    send(broker.bootstrap, b"first", topic=topics.text)
    assert read(broker.bootstrap, 1, topic=topics.text) == [b"first"]
    with broker.admin() as admin:
        described = admin.describe_topics([*topics.inputs, *topics.outputs])
    assert [len(topic["partitions"]) for topic in described] == [2] * 6


def test_what_was_acknowledged_survives_a_kill(own_broker: Callable[..., Broker]) -> None:
    broker = own_broker()
    broker.create_topics([TOPIC])
    send(broker.bootstrap, b"before")
    broker.kill()
    assert not broker.running
    broker.start()
    send(broker.bootstrap, b"after")
    assert read(broker.bootstrap, 2) == [b"before", b"after"]


def test_a_stopped_broker_comes_back_at_its_address(own_broker: Callable[..., Broker]) -> None:
    broker = own_broker()
    broker.create_topics([TOPIC])
    send(broker.bootstrap, b"kept")
    broker.stop()
    with pytest.raises(KafkaError):
        broker.admin(bootstrap_timeout_ms=500)
    broker.start()
    assert read(broker.bootstrap, 1) == [b"kept"]


def test_a_paused_broker_answers_nothing_until_it_is_resumed(own_broker: Callable[..., Broker]) -> None:
    broker = own_broker()
    broker.create_topics([TOPIC])
    with KafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
        producer.send(TOPIC, b"one", partition=0).get(timeout=20)
        broker.pause()
        waiting = producer.send(TOPIC, b"two", partition=0)
        with pytest.raises(KafkaTimeoutError):
            waiting.get(timeout=0.5)
        broker.resume()
        assert waiting.get(timeout=20).offset == 1


def test_deleted_records_are_gone_from_the_start(own_broker: Callable[..., Broker]) -> None:
    broker = own_broker()
    broker.create_topics([TOPIC])
    send(broker.bootstrap, b"old", b"older", b"new")
    broker.delete_records(TOPIC, 0, before=2)
    assert read(broker.bootstrap, 1) == [b"new"]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if not os.environ.get("KAFKA_HOME"):
        pytest.skip("set KAFKA_HOME (folder of an unpacked Apache Kafka 4)")
    broker = Broker(tmp_path_factory.mktemp("secure"), secure=True)
    try:
        broker.start().create_topics([TOPIC])
        yield broker
    finally:
        broker.kill()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_the_secure_listener_takes_the_user_and_nobody_else(secure: Broker, mechanism: str) -> None:
    options = {
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(secure.tls / "ca.pem"),
        "sasl_mechanism": mechanism,
        "sasl_plain_username": USER,
    }
    send(secure.secure_bootstrap, b"secret", sasl_plain_password=PASSWORD, **options)
    assert read(secure.secure_bootstrap, 1, sasl_plain_password=PASSWORD, **options) == [b"secret"]
    with pytest.raises(KafkaError):
        read(secure.secure_bootstrap, 1, sasl_plain_password="wrong", bootstrap_timeout_ms=3000, **options)


class Token(AbstractTokenProvider):  # type: ignore[misc]
    def __init__(self, **claims: object) -> None:
        self._claims = claims

    def token(self) -> str:
        parts = (base64.urlsafe_b64encode(json.dumps(part).encode()) for part in ({"alg": "none"}, self._claims))
        return "".join(f"{part.decode().rstrip('=')}." for part in parts)


def test_the_secure_listener_takes_tokens_until_they_expire(secure: Broker) -> None:
    options: dict[str, Any] = {
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(secure.tls / "ca.pem"),
        "sasl_mechanism": "OAUTHBEARER",
        "bootstrap_timeout_ms": 3000,
    }
    now_s = SystemClock().wall_ns() // NS_PER_S
    fresh = Token(sub=USER, iat=now_s - 60, exp=now_s + 600)
    send(secure.secure_bootstrap, b"token", sasl_oauth_token_provider=fresh, **options)
    old = Token(sub=USER, iat=now_s - 600, exp=now_s - 60)
    with pytest.raises(KafkaError):
        send(secure.secure_bootstrap, b"token", sasl_oauth_token_provider=old, **options)


@pytest.mark.parametrize("client", ["client", "stranger"])
def test_the_tls_listener_takes_only_clients_that_its_authority_vouches_for(secure: Broker, client: str) -> None:
    context = ssl.create_default_context(cafile=str(secure.tls / "ca.pem"))
    context.load_cert_chain(secure.tls / f"{client}.pem", secure.tls / f"{client}.key")
    options: dict[str, Any] = {"security_protocol": "SSL", "ssl_context": context, "bootstrap_timeout_ms": 3000}
    if client == "client":
        send(secure.tls_bootstrap, b"known", **options)
    else:
        with pytest.raises(KafkaError):
            send(secure.tls_bootstrap, b"unknown", **options)


def test_a_broker_that_cannot_start_says_why(own_broker: Callable[..., Broker]) -> None:
    with pytest.raises(BrokerProblem, match=r"(?s)could not format.*message\.max\.bytes"):
        own_broker(properties={"message.max.bytes": "-1"})
    with pytest.raises(BrokerProblem, match=r"(?s)ended while it started.*Cannot assign requested address"):
        own_broker(host="192.0.2.1")  # of a network that is nobody's


START_ONE = """
import sys
from pathlib import Path
from typing import Any
from tests.kafka.broker import Broker
print(Broker(Path(sys.argv[1])).start()._process.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_broker_outlives_the_process_that_started_it(
    own_broker: Callable[..., Broker], tmp_path: Path, how: signal.Signals
) -> None:
    command = [sys.executable, "-c", START_ONE, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        broker = int(process.stdout.readline())
        os.kill(broker, 0)
        process.send_signal(how)
        process.wait(60)
    assert gone(broker, within_s=60)


def gone(process: int, within_s: float) -> bool:
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        try:
            state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False
