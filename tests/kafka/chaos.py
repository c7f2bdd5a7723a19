"""Disturbs groups of instances while they read, many at a time."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path
from typing import Any

import pytest

from daemon.config import Config
from tests.kafka.broker import Cluster
from tests.kafka.conftest import Topics
from tests.kafka.feed import DISORDER_BOUND_MS, IDLE_AFTER_S, PARTITIONS, SESSIONS, Feed
from tests.kafka.hashing import NO_SPEECH, expected
from tests.kafka.instance import PROMPT, Instance, Slowness
from tests.kafka.network import Network
from tests.kafka.outcome import GUARANTEES, Guarantee, Outcome, Reader
from tests.kafka.reading import everything

PATIENCE_S = 240.0  # a busy machine runs six groups of instances several times more slowly
_DRAIN_S = 20.0


class Group:
    """Instances of one consumer group and their results. Owned by one thread."""

    def __init__(
        self, case: str, guarantee: Guarantee, feed: Feed, folder: Path, smoothing_s: float = 0.0, **kafka: Any
    ) -> None:
        """Creates the topics of the results.

        smoothing_s: how far windows look back. kafka: settings of the source
        beside the usual.
        """
        self.case = case
        self.guarantee = guarantee
        self.feed = feed
        self.instances: list[Instance] = []
        self.exit_statuses: list[int | None] = []
        self.undisturbed_s: float | None = None
        self._disturbances: list[tuple[float, frozenset[str]]] = []
        self._folder = folder
        self._windows = {
            "disorder_bound_ms": DISORDER_BOUND_MS,
            "idle_after_s": IDLE_AFTER_S,
            "smoothing_s": smoothing_s,
        }
        self._kafka = kafka
        self._count = 0
        self._all: list[Instance] = []
        self._topics = Topics(feed.topics.cluster, f"{feed.topics.prefix}-{case}-{guarantee}")
        self._topics.cluster.create_topics(self._topics.outputs, PARTITIONS)
        self.reader = Reader(self._topics, guarantee)

    def settings(self, name: str) -> dict[str, Any]:
        """The configuration of one instance."""
        inputs = dict(zip(("video_topic", "audio_topic", "text_topic"), self.feed.topics.inputs, strict=True))
        outputs = dict(
            zip(("predictions_topic", "alerts_topic", "dead_letters_topic"), self._topics.outputs, strict=True)
        )
        source = {
            "bootstrap_servers": [self._topics.cluster.bootstrap],
            "group_id": self._topics.group,
            "session_timeout_s": 3.0,
            **inputs,
            **self._kafka,
        }
        exactly_once = self.guarantee == "exactly_once"
        return {
            "windows": self._windows,
            "sources": [{"kind": "kafka", "kafka": source}],
            "sinks": [{"kind": "kafka", "kafka": outputs}],
            "delivery": {
                "guarantee": self.guarantee,
                "transactional_id": f"{self._topics.group}.{name}" if exactly_once else "",
            },
            "http": {"bind": ""},
            "transcription": NO_SPEECH,
            "lifecycle": {"drain_timeout_s": _DRAIN_S},
        }

    def join(self, *, network: Network | None = None, slowness: Slowness = PROMPT, name: str = "") -> Instance:
        """Starts one more instance, or one that replaces `name`."""
        self._count += 1
        name = name or f"instance-{self._count}"
        log = self._folder / f"{self.case}-{self.guarantee}-{self._count}.log"
        instance = Instance(name, self.settings(name), log, network, slowness)
        self.instances.append(instance)
        self._all.append(instance)
        return instance

    def kill(self, instance: Instance) -> None:
        """Ends an instance at once, and remembers which sessions that disturbs."""
        numbers = instance.state.numbers
        instance.kill()
        self.instances.remove(instance)
        self.disturbed(numbers)

    def leave(self, instance: Instance) -> None:
        """Drains an instance; remembers its sessions and its exit."""
        numbers = instance.state.numbers
        self.instances.remove(instance)
        instance.terminate()
        self.disturbed(numbers)
        self.exit_statuses.append(instance.join(_DRAIN_S + 10))

    def disturbed(self, numbers: Iterable[int] = range(PARTITIONS)) -> None:
        """Something begins or ends now for sessions of these partition groups."""
        sessions = frozenset(f"room {session}" for session in range(SESSIONS) if session % PARTITIONS in set(numbers))
        if sessions:
            self._disturbances.append((time.monotonic(), sessions))

    def begin(self, instances: int = 1, **how: Any) -> None:
        """Starts instances; waits until all partitions are read at full speed."""
        for _ in range(instances):
            self.join(**how)
        self.settle()
        self.disturbed()
        self.recover()
        self.disturbed()
        self.recover()
        self.undisturbed_s = self._recovered_s()[-1]
        self._disturbances.clear()

    def settle(self) -> None:
        """Waits until every instance reads, and every partition group is read."""
        wait(self._settled, f"{self.case}, {self.guarantee}: all partitions to be read")

    def recover(self) -> None:
        """Waits for predictions of the disturbed sessions after the disturbance."""
        if self._disturbances:
            wait(self._recovered, f"{self.case}, {self.guarantee}: new predictions")

    def finish(self) -> Outcome:
        """Waits until all is published, stops the instances, reads everything."""
        self.feed.finish()
        wanted = expected(self.feed.records, Config.model_validate(self.settings("reference")))
        seen, changed_s = -1, time.monotonic()
        while not wanted.keys() <= self.reader.ids and time.monotonic() - changed_s < PATIENCE_S:
            if len(self.reader.arrivals) != seen:
                seen, changed_s = len(self.reader.arrivals), time.monotonic()
            time.sleep(0.2)
        recovered_s = self._recovered_s()
        for instance in list(self.instances):
            self.leave(instance)
        self.reader.stop()
        committed = self.guarantee == "exactly_once"
        messages = everything(self._topics.cluster.bootstrap, self._topics.predictions, committed=committed)
        return Outcome(
            self.case,
            self.guarantee,
            wanted,
            [message.value for message in messages],
            self.undisturbed_s,
            recovered_s,
            self.exit_statuses,
            [instance.history for instance in self._all if instance.state.numbers or instance.history],
        )

    def _settled(self) -> bool:
        read = [instance.state.numbers for instance in self.instances]
        return all(read) and sorted(chain.from_iterable(read)) == list(range(PARTITIONS))

    def _recovered(self) -> bool:
        return self.reader.fresh_after_s(*self._disturbances[-1]) is not None

    def _recovered_s(self) -> list[float | None]:
        """Of every disturbance."""
        return [self.reader.fresh_after_s(at_s, sessions) for at_s, sessions in self._disturbances]

    def kill_all(self) -> None:
        """Ends the instances that still run."""
        for instance in self._all:
            instance.kill()

    def close(self) -> None:
        """Ends whatever still runs, the reader too."""
        self.kill_all()
        self.reader.stop()


def wait(until: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    deadline_s = time.monotonic() + patience_s
    while not until():
        assert time.monotonic() < deadline_s, f"waited {patience_s:g} s for {what}"
        time.sleep(0.05)


Outcomes = Mapping[tuple[str, Guarantee], Future[Outcome]]
"""By case."""


def check(outcomes: Outcomes, case: str, guarantee: Guarantee, capsys: pytest.CaptureFixture[str]) -> Outcome:
    """Waits for an outcome, prints its figures and checks it."""
    outcome = outcomes[case, guarantee].result()
    with capsys.disabled():
        print(outcome.figures())
    outcome.check()
    return outcome


@dataclass(frozen=True, slots=True)
class Run:
    """A disturbance and its groups; input continues until all runs end."""

    groups: Sequence[Group]
    disturb: Callable[[Sequence[Group]], None]


@contextmanager
def each_by_itself(
    cases: Mapping[str, Callable[[Sequence[Group]], None]], cluster: Cluster, folder: Path, smoothing_s: float
) -> Iterator[Outcomes]:
    """Runs every case for both guarantees at once, in groups that read one input."""
    with ExitStack() as stack:
        feed = stack.enter_context(closing(Feed(Topics(cluster, f"test-{uuid.uuid4().hex[:12]}"))))
        runs = []
        for (case, disturb), guarantee in product(cases.items(), GUARANTEES):
            group = stack.enter_context(closing(Group(case, guarantee, feed, folder, smoothing_s)))
            runs.append(Run([group], disturb))
        yield stack.enter_context(together(runs))


@contextmanager
def together(runs: Sequence[Run]) -> Iterator[Outcomes]:
    """Runs disturbances concurrently; outcomes by case and guarantee.

    Whoever made the groups closes them.
    """
    groups = [group for run in runs for group in run.groups]
    with ThreadPoolExecutor(len(runs) + len(groups)) as threads:
        disturbed = [threads.submit(_disturb, run) for run in runs]
        owner = {id(group): done for run, done in zip(runs, disturbed, strict=True) for group in run.groups}

        def conclude(group: Group) -> Outcome:
            futures.wait(disturbed)
            group.feed.stop()
            owner[id(group)].result()
            return group.finish()

        try:
            yield {(group.case, group.guarantee): threads.submit(conclude, group) for group in groups}
            futures.wait(disturbed)
        finally:
            for group in groups:
                group.kill_all()


def _disturb(run: Run) -> None:
    run.disturb(run.groups)
    for group in run.groups:
        group.recover()
