"""A real Kafka for the tests of this folder.

AFFECTD_TEST_KAFKA=HOST:PORT names one that serves already, for the tests that do it no harm; KAFKA_HOME names an
unpacked Apache Kafka, from which brokers are started. With neither, tests are skipped; with KAFKA_HOME, a broker that
does not start is a failure.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest

from tests.kafka.broker import Broker, Cluster
from tests.kafka.network import Network, missing, network


@dataclass(frozen=True, slots=True)
class Topics:
    """Unique names for one daemon: topics, consumer group, transactional id."""

    cluster: Cluster
    prefix: str

    @property
    def video(self) -> str:
        return f"{self.prefix}.video"

    @property
    def audio(self) -> str:
        return f"{self.prefix}.audio"

    @property
    def text(self) -> str:
        return f"{self.prefix}.text"

    @property
    def predictions(self) -> str:
        return f"{self.prefix}.predictions"

    @property
    def alerts(self) -> str:
        return f"{self.prefix}.alerts"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}.dead-letters"

    @property
    def group(self) -> str:
        return f"{self.prefix}.group"

    @property
    def inputs(self) -> tuple[str, str, str]:
        return self.video, self.audio, self.text

    @property
    def outputs(self) -> tuple[str, str, str]:
        return self.predictions, self.alerts, self.dead_letters

    def create(self, partitions: int = 3, **config: str) -> "Topics":
        """Creates all six topics.

        config: settings of the topics, with _ for the dots of their names.
        """
        settings = {name.replace("_", "."): value for name, value in config.items()}
        self.cluster.create_topics((*self.inputs, *self.outputs), partitions, settings)
        return self

    def on(self, cluster: Cluster) -> "Topics":
        """The same names on another cluster."""
        return replace(self, cluster=cluster)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A plain broker that all tests share, to be left running."""
    served = os.environ.get("AFFECTD_TEST_KAFKA")
    if served:
        yield Cluster(served)
        return
    _need_kafka_home("AFFECTD_TEST_KAFKA (bootstrap servers of a Kafka that serves) or KAFKA_HOME")
    own = Broker(tmp_path_factory.mktemp("broker"))
    try:
        yield own.start()
    finally:
        own.kill()


@pytest.fixture
def topics(broker: Cluster) -> Topics:
    """Fresh names on the shared broker; `topics.create()` makes the topics."""
    return Topics(broker, f"test-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Broker]]:
    """Starts brokers that the test may harm, killed when it ends.

    The options are those of Broker.
    """
    _need_kafka_home("KAFKA_HOME")
    brokers: list[Broker] = []

    def start(**options: object) -> Broker:
        brokers.append(Broker(tmp_path_factory.mktemp("broker"), **options))  # type: ignore[arg-type]
        return brokers[-1].start()

    yield start
    for own in brokers:
        own.kill()


@pytest.fixture
def cut_off() -> Iterator[Callable[[], Network]]:
    """Makes networks whose link may be cut, removed when the test ends."""
    lack = missing()
    if lack:
        pytest.skip(lack)
    with ExitStack() as networks:
        yield lambda: networks.enter_context(network())


def _need_kafka_home(variables: str) -> None:
    if not os.environ.get("KAFKA_HOME"):
        pytest.skip(f"set {variables} (folder of an unpacked Apache Kafka 4)")
