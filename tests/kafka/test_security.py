"""Logging in to a secured Kafka: TLS, mutual TLS, passwords, tokens."""

import base64
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer

from streams.kafka.connection import Connection, Mechanism, Security
from streams.kafka.reachability import Refused, Unreachable, probe_cluster
from tests.kafka.broker import PASSWORD, USER, Broker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

NOWHERE = "127.0.0.1:1"


@dataclass(frozen=True)
class Door:
    """A broker with every listener, and files to enter by."""

    broker: Broker
    files: Path
    misleading: str
    """A plain listener that tells its clients to go on to an address where nothing is."""

    def file(self, name: str, text: str) -> str:
        (self.files / name).write_text(text, encoding="utf-8")
        return str(self.files / name)

    def login(self, mechanism: Mechanism, password: str = PASSWORD) -> Security:
        return Security(
            "sasl_tls",
            ca_file=f"{self.broker.tls}/ca.pem",
            mechanism=mechanism,
            username=USER,
            password_file=self.file("password", f"{password}\n"),
        )

    def token(self, expires_in_s: int) -> Security:
        security = replace(self.login("OAUTHBEARER"), username="", password_file="")
        return replace(security, token_file=self.file("token", unsigned_token(expires_in_s)))

    def shown(self, who: str) -> Security:
        """TLS on both sides, with the certificate of `who`."""
        return Security(
            "tls",
            ca_file=f"{self.broker.tls}/ca.pem",
            certificate_file=f"{self.broker.tls}/{who}.pem",
            key_file=f"{self.broker.tls}/{who}.key",
        )


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    if not os.environ.get("KAFKA_HOME"):
        pytest.skip("set KAFKA_HOME (folder of an unpacked Apache Kafka 4)")
    broker = Broker(tmp_path_factory.mktemp("broker"), secure=True)
    try:
        misleading = add_misleading_listener(broker)
        yield Door(broker.start(), tmp_path_factory.mktemp("files"), misleading)
    finally:
        broker.kill()


def add_misleading_listener(broker: Broker) -> str:
    """Its address; to be added before the start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    file = broker.folder / "server.properties"
    added = {
        "listener.security.protocol.map": "MISLEADING:PLAINTEXT",
        "listeners": f"MISLEADING://{address}",
        "advertised.listeners": f"MISLEADING://{NOWHERE}",
    }
    lines = file.read_text(encoding="utf-8").splitlines()
    more = ((line, added.get(line.partition("=")[0])) for line in lines)
    file.write_text("".join(f"{line},{value}\n" if value else f"{line}\n" for line, value in more), encoding="utf-8")
    return address


def unsigned_token(expires_in_s: int) -> str:
    """An unsigned JSON Web Token, as a broker without an authority accepts."""
    expires_s = int(time.time()) + expires_in_s  # noqa: TID251  # a broker's clock is the world's
    claims = {"sub": USER, "iat": expires_s - 3600, "exp": expires_s, "scope": ""}
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "none"}, claims))
    return f"{b'.'.join(parts).decode()}."


def round_trip(connection: Connection, topic: str) -> bytes:
    """Writes and reads one message with the daemon's clients."""
    producer = KafkaProducer(**connection.options(), bootstrap_timeout_ms=10_000)
    try:
        producer.send(topic, b"hello", partition=0).get(10)
    finally:
        producer.close(5)
    consumer = KafkaConsumer(
        topic, **connection.options(), auto_offset_reset="earliest", consumer_timeout_ms=10_000, max_poll_records=1
    )
    try:
        return bytes(next(consumer).value)
    finally:
        consumer.close()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_a_password_over_tls_lets_records_in_and_out(door: Door, mechanism: Mechanism) -> None:
    door.broker.create_topics([topic := f"by-{mechanism.lower()}"], partitions=1)
    connection = Connection((door.broker.secure_bootstrap,), door.login(mechanism))
    assert round_trip(connection, topic) == b"hello"


def test_a_token_over_tls_lets_records_in_and_out(door: Door) -> None:
    door.broker.create_topics([topic := "by-token"], partitions=1)
    connection = Connection((door.broker.secure_bootstrap,), door.token(expires_in_s=3600))
    assert round_trip(connection, topic) == b"hello"


def test_a_certificate_of_ones_own_lets_records_in_and_out(door: Door) -> None:
    door.broker.create_topics([topic := "by-certificate"], partitions=1)
    connection = Connection((door.broker.tls_bootstrap,), door.shown("client"))
    assert round_trip(connection, topic) == b"hello"


def test_a_cluster_that_lets_us_in_says_its_version_and_brokers(door: Door) -> None:
    reached = probe_cluster(Connection((door.broker.secure_bootstrap,), door.login("PLAIN")))
    assert reached.server == door.broker.secure_bootstrap
    assert reached.brokers == (door.broker.secure_bootstrap,)
    assert reached.version >= (4, 0)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
def test_a_wrong_password_is_refused_with_what_to_check(door: Door, mechanism: Mechanism) -> None:
    connection = Connection((door.broker.secure_bootstrap,), door.login(mechanism, password="hunter2"))
    with pytest.raises(Refused, match=rf"refuses the login with {mechanism}: .*'affectd'.*password_file") as raised:
        probe_cluster(connection)
    assert "hunter2" not in str(raised.value)


def test_a_token_that_has_run_out_is_refused_with_what_to_check(door: Door) -> None:
    with pytest.raises(Refused, match=r"refuses the login with OAUTHBEARER: .*token_file"):
        probe_cluster(Connection((door.broker.secure_bootstrap,), door.token(expires_in_s=-3600)))


def test_a_mechanism_that_is_not_offered_is_reported_with_those_that_are(door: Door) -> None:
    with pytest.raises(Refused, match=r"does not take the mechanism SCRAM-SHA-256: it offers SCRAM-SHA-512, PLAIN"):
        probe_cluster(Connection((door.broker.secure_bootstrap,), door.login("SCRAM-SHA-256")))


@pytest.mark.parametrize("authority", ["stranger.pem", ""])
def test_a_cluster_that_our_authority_does_not_know_is_not_trusted(door: Door, authority: str) -> None:
    ca_file = f"{door.broker.tls}/{authority}" if authority else ""
    security = replace(door.login("PLAIN"), ca_file=ca_file)
    with pytest.raises(Refused, match=r"is not trusted: .*; set ca_file"):
        probe_cluster(Connection((door.broker.secure_bootstrap,), security))


def test_a_cluster_of_another_name_is_not_trusted(door: Door) -> None:
    port = door.broker.secure_bootstrap.rpartition(":")[2]
    by_another_name = f"0.0.0.0:{port}"  # Linux takes it for this machine; the certificate does not name it
    with pytest.raises(Refused, match=r"is not trusted: .*bootstrap_servers to the names in it"):
        probe_cluster(Connection((by_another_name,), door.login("PLAIN")))


@pytest.mark.parametrize("who", ["nobody", "stranger"])
def test_mutual_tls_wants_a_certificate_that_the_cluster_trusts(door: Door, who: str) -> None:
    security = Security("tls", ca_file=f"{door.broker.tls}/ca.pem") if who == "nobody" else door.shown(who)
    with pytest.raises(Refused, match=r"ended the connection over TLS .*\(certificate_file\)"):
        probe_cluster(Connection((door.broker.tls_bootstrap,), security))


def test_a_protocol_that_the_listener_does_not_speak_is_reported_with_a_guess(door: Door) -> None:
    tls = Security("tls", ca_file=f"{door.broker.tls}/ca.pem")
    cases = (
        (door.broker.bootstrap, tls, r"does not speak TLS .*; is it a listener without TLS\?"),
        (door.broker.secure_bootstrap, Security(), r"is it a listener with TLS \(protocol\)"),
        (door.broker.secure_bootstrap, tls, r"hung up; does it want a login \(protocol\)\?"),
    )
    for server, security, message in cases:
        with pytest.raises(Unreachable, match=message):
            probe_cluster(Connection((server,), security))


def test_a_listener_without_logins_says_so(door: Door) -> None:
    security = replace(door.login("PLAIN"), protocol="sasl_plaintext", ca_file="")
    with pytest.raises(Refused, match=r"this listener takes no logins \(protocol\)"):
        probe_cluster(Connection((door.broker.bootstrap,), security))


def test_the_next_server_is_tried_where_one_is_away(door: Door) -> None:
    reached = probe_cluster(Connection(("127.0.0.1:1", door.broker.bootstrap)))
    assert reached.server == door.broker.bootstrap


def test_an_address_that_the_cluster_gives_its_clients_and_nobody_can_reach_is_reported(door: Door) -> None:
    message = (
        rf"{door.misleading} answers, but .*{NOWHERE} cannot be reached: Connection refused; .*advertised\.listeners"
    )
    with pytest.raises(Unreachable, match=message):
        probe_cluster(Connection((door.misleading,)))
