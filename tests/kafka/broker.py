"""Runs one real Apache Kafka node for tests, in a folder.

It is broker and controller in one (KRaft).

It is run by the distribution's own tools, so any unpacked Kafka of version 4 serves; `start` returns once clients are
answered. Ports, data and certificates stay in the folder: a broker that was stopped or killed comes back as it was. A
watching shell kills the broker when the process that started it is gone, however that ended. Left out: more than one
node.
"""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from tests.kafka.certificates import make_certificates

USER = "affectd"
PASSWORD = "affectd-secret"  # of the secure listener, for PLAIN and for SCRAM-SHA-512
_CLUSTER_ID = "affectdTestCluster0000"
_HEAP = "-Xms128m -Xmx384m"
_PORTS = range(20_000, 32_000)  # Linux gives those above to clients: one might sit on ours while the broker is away
_START_S = 120.0  # of a busy machine
_TOPICS_MS = 60_000
_STOP_S = 30.0

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data
num.partitions=3
auto.create.topics.enable=false
message.max.bytes=4194304
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=250
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,TLS:SSL
"""
_LOGIN_MODULES = "org.apache.kafka.common.security"
_SECURE_PROPERTIES = f"""\
ssl.keystore.type=PEM
ssl.keystore.location={{folder}}/tls/server-keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location={{folder}}/tls/ca.pem
listener.name.tls.ssl.client.auth=required
listener.name.secure.ssl.client.auth=requested
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN,OAUTHBEARER
listener.name.secure.scram-sha-512.sasl.jaas.config={_LOGIN_MODULES}.scram.ScramLoginModule required;
listener.name.secure.plain.sasl.jaas.config={_LOGIN_MODULES}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";
listener.name.secure.oauthbearer.sasl.jaas.config={_LOGIN_MODULES}.oauthbearer.OAuthBearerLoginModule required;
"""


class BrokerProblem(Exception):
    """The broker does not start, or a tool is missing."""


class Cluster:
    """A Kafka that serves plain clients at `bootstrap` ("HOST:PORT")."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def create_topics(self, names: Iterable[str], partitions: int = 3, config: Mapping[str, str] | None = None) -> None:
        """Creates topics; returns when every partition has a leader.

        config: settings of the topics.
        """
        settings = {"num_partitions": partitions, "replication_factor": 1, "configs": dict(config or {})}
        wanted = dict.fromkeys(names, settings)
        with self.admin() as admin:
            admin.create_topics(wanted)
            admin.wait_for_topics(list(wanted), timeout_ms=_TOPICS_MS)

    def delete_topics(self, names: Iterable[str]) -> None:
        with self.admin() as admin:
            admin.delete_topics(list(names))

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Deletes the records below the offset `before`, as retention does."""
        with self.admin() as admin:
            admin.delete_records({TopicPartition(topic, partition): before})

    def admin(self, **options: object) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.bootstrap, **options)


class Broker(Cluster):
    """A Kafka node. Owned by the test that made it.

    Listeners: `bootstrap` (plain) and, when `secure`, `secure_bootstrap` (SASL over TLS: SCRAM-SHA-512 or PLAIN with
    USER and PASSWORD, OAUTHBEARER with unsigned tokens; a client certificate is optional) and `tls_bootstrap` (TLS that
    asks for a client certificate). `tls` holds ca.pem, client.pem and client.key.
    `properties` adds or changes broker settings. `command` is put before the tools' own, such as
    `("ip", "netns", "exec", NAME)`; `host` is the address that the listeners bind.
    """

    def __init__(
        self,
        folder: Path,
        *,
        secure: bool = False,
        properties: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        command: tuple[str, ...] = (),
    ) -> None:
        """Formats the folder; BrokerProblem without KAFKA_HOME or a tool."""
        ports = _free_ports(4)
        super().__init__(f"{host}:{ports[0]}")
        self.secure_bootstrap = f"{host}:{ports[2]}"
        self.tls_bootstrap = f"{host}:{ports[3]}"
        self.folder = folder.resolve()
        self.tls = self.folder / "tls"
        self.host = host
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        listeners = f"PLAINTEXT://{self.bootstrap}"
        text = _PROPERTIES
        if secure:
            make_certificates(self.tls, host)
            listeners += f",SECURE://{self.secure_bootstrap},TLS://{self.tls_bootstrap}"
            text += _SECURE_PROPERTIES
        text = text.format(folder=self.folder, controller=ports[1])
        text += f"listeners={listeners},CONTROLLER://127.0.0.1:{ports[1]}\nadvertised.listeners={listeners}\n"
        text += "".join(f"{name}={value}\n" for name, value in (properties or {}).items())
        self.folder.mkdir(parents=True, exist_ok=True)
        self._properties = self.folder / "server.properties"
        self._properties.write_text(text, encoding="utf-8")
        self._format()

    def start(self) -> "Broker":
        """Starts the node and waits for answers; BrokerProblem with its log."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, _tool("kafka-server-start.sh"), str(self._properties)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment(), start_new_session=True,
            )  # fmt: skip
        kill_when_orphaned = f"read -r _; kill -KILL -{self._process.pid}"
        self._watch = subprocess.Popen(["sh", "-c", kill_when_orphaned], stdin=subprocess.PIPE, start_new_session=True)
        try:
            _wait(self._serves, _START_S, f"a broker that serves at {self.bootstrap}")
        except BrokerProblem as problem:
            self.kill()
            raise BrokerProblem(f"{problem}; the end of its log:\n{self._log_end()}") from problem
        return self

    def stop(self) -> None:
        """Shuts the node down; does nothing if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the node at once (SIGKILL), as a crash does."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stops the node's threads (SIGSTOP): connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets a paused node go on."""
        self._signal(signal.SIGCONT)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _end(self, how: signal.Signals) -> None:
        process, watch = self._process, self._watch
        if process is None:
            return
        if process.poll() is None:
            self._signal(how)
            self._signal(signal.SIGCONT)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                process.wait()
        if watch is not None:
            watch.kill()
            watch.communicate()
        self._process = self._watch = None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise BrokerProblem(f"the broker at {self.bootstrap} does not run")
        os.killpg(self._process.pid, number)

    def _serves(self) -> bool:
        if not self.running:
            raise BrokerProblem(f"the broker at {self.bootstrap} ended while it started")
        host, port = self.bootstrap.rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            with self.admin(bootstrap_timeout_ms=2000, request_timeout_ms=2000) as admin:
                return bool(admin.describe_cluster()["brokers"])
        except (OSError, KafkaError):
            return False

    def _format(self) -> None:
        scram = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        done = subprocess.run(
            [_tool("kafka-storage.sh"), "format", "--cluster-id", _CLUSTER_ID, "--config", str(self._properties),
             "--add-scram", scram],
            env=self._environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise BrokerProblem(f"kafka-storage.sh could not format {self.folder}: {done.stdout}{done.stderr}")

    def _environment(self) -> dict[str, str]:
        quick = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto"  # to start soon rather than to run fast
        return {
            **os.environ,
            "KAFKA_HEAP_OPTS": _HEAP,
            "KAFKA_JVM_PERFORMANCE_OPTS": quick,
            "KAFKA_OPTS": quick,
            "EXTRA_ARGS": "-name kafkaServer",  # without the distribution's log of garbage collections
            "LOG_DIR": str(self.folder / "logs"),
        }

    def _log_end(self) -> str:
        return "\n".join((self.folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()[-20:])


def _tool(name: str) -> str:
    home = os.environ.get("KAFKA_HOME")
    if not home:
        raise BrokerProblem("KAFKA_HOME is not set: the folder of an unpacked Apache Kafka")
    path = Path(home, "bin", name)
    if not path.is_file():
        raise BrokerProblem(f"KAFKA_HOME: {path} is not there")
    return str(path)


def _free_ports(count: int) -> list[int]:
    ports: list[int] = []
    while len(ports) < count:
        port = random.choice(_PORTS)
        with socket.socket() as trial:
            if port not in ports and trial.connect_ex(("127.0.0.1", port)):
                ports.append(port)
    return ports


def _wait(until: Callable[[], bool], limit_s: float, what: str) -> None:
    deadline_s = time.monotonic() + limit_s
    while not until():
        if time.monotonic() > deadline_s:
            raise BrokerProblem(f"waited {limit_s:g} s for {what}")
        time.sleep(0.05)
