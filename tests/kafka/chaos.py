"""What the tests of disturbances share: an input that goes on, groups of instances that read it, and the verdict.

The input is written at the pace at which it happens, by a producer that does not give up; so there is one truth about
what must be published of it (`tests.kafka.hashing.expected`), whatever happens to broker, network and instances.
"""

import json
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from daemon.config import Config
from streams import rfc3339
from streams.clock import NS_PER_MS, NS_PER_S, SystemClock
from streams.kafka.contract import to_message
from streams.records import Modality, Record
from tests.kafka.conftest import Topics
from tests.kafka.hashing import Content, content, expected
from tests.kafka.instance import PROMPT, Instance, Slowness, State
from tests.kafka.network import Network
from tests.kafka.reading import everything

Guarantee = Literal["at_least_once", "exactly_once"]
GUARANTEES: tuple[Guarantee, ...] = ("at_least_once", "exactly_once")

PARTITIONS = 4
SESSIONS = 8
PATIENCE_S = 60.0
DRAIN_S = 20.0

_CLOCK = SystemClock()
_FRAME_S, _SOUND_S, _LINE_S = 0.16, 0.25, 1.1
_RATE_HZ = 8000
_MOST_DELAY_S = 0.3  # of a record on its way to the broker, which puts records of a session out of order
_DISORDER_BOUND_MS = 1500
_IDLE_AFTER_S = 5.0  # above what a producer needs to find a broker that is back


@dataclass(frozen=True, slots=True)
class Sending:
    """A record, and when it is sent."""

    at_ns: int
    number: int
    record: Record


def sendings(start_ns: int, for_s: float, seed: int = 0, picture_bytes: int = 0) -> list[Sending]:
    """Eight sessions of pictures, sound and lines, in the order of sending; pictures have `picture_bytes` at least."""
    chance = random.Random(seed)
    planned: list[Sending] = []
    for session in range(SESSIONS):
        for modality, step_s in zip(Modality, (_FRAME_S, _SOUND_S, _LINE_S), strict=True):
            for sequence in range(int(for_s / step_s)):
                event_ns = start_ns + round((sequence + 0.1 * session) * step_s * NS_PER_S)
                lasts_s = step_s if modality is Modality.AUDIO else 0.0
                sent_ns = event_ns + round((lasts_s + chance.uniform(0, _MOST_DELAY_S)) * NS_PER_S)
                kind, payload = _PAYLOADS[modality](chance, picture_bytes)
                record = Record(f"room {session}", modality, kind, payload, event_ns, 0, sequence)
                planned.append(Sending(sent_ns, session % PARTITIONS, record))
    return sorted(planned, key=lambda sending: sending.at_ns)


def _picture(chance: random.Random, size_bytes: int) -> tuple[str, bytes]:
    pixels = np.frombuffer(chance.randbytes(8 * 8 * 3), np.uint8).reshape(8, 8, 3)
    return "image/jpeg", cv2.imencode(".jpg", pixels)[1].tobytes().ljust(size_bytes, b"\0")


def _sound(chance: random.Random, _: int) -> tuple[str, bytes]:
    return f"audio/L16;rate={_RATE_HZ};channels=1", chance.randbytes(2 * round(_SOUND_S * _RATE_HZ))


def _line(chance: random.Random, _: int) -> tuple[str, bytes]:
    return "text/plain", f"it is {chance.random()}".encode()


_PAYLOADS = {Modality.VIDEO: _picture, Modality.AUDIO: _sound, Modality.TEXT: _line}


class Feed:
    """Writes the input in real time until it is told to stop; or all at once, as if it had been written before."""

    def __init__(
        self, topics: Topics, most_s: float = 240.0, *, beforehand: bool = False, picture_bytes: int = 0
    ) -> None:
        """Creates the input topics and begins."""
        self.topics = topics
        topics.cluster.create_topics(topics.inputs, PARTITIONS)
        start_ns = _CLOCK.wall_ns() - (round((most_s + 2) * NS_PER_S) if beforehand else -NS_PER_S)
        self._planned = sendings(start_ns, most_s, picture_bytes=picture_bytes)
        self._stop = threading.Event()
        self._sent = 0
        self._acknowledged = False
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    @property
    def records(self) -> list[Record]:
        """What was sent."""
        return [sending.record for sending in self._planned[: self._sent]]

    def stop(self) -> None:
        """Sends no more."""
        self._stop.set()

    def finish(self) -> None:
        """Waits until all that was sent is acknowledged."""
        self._thread.join(2 * PATIENCE_S)
        assert self._acknowledged, "the input could not be written"

    def _run(self) -> None:
        topic = dict(zip(Modality, self.topics.inputs, strict=True))
        with KafkaProducer(
            bootstrap_servers=self.topics.cluster.bootstrap,
            acks="all",
            delivery_timeout_ms=300_000,
            max_block_ms=300_000,
            reconnect_backoff_max_ms=500,
            linger_ms=10,
        ) as producer:
            futures = []
            for sending in self._planned:
                if self._stop.wait(max(0.0, (sending.at_ns - _CLOCK.wall_ns()) / NS_PER_S)):
                    break
                key, value, headers = to_message(sending.record)
                futures.append(
                    producer.send(
                        topic[sending.record.modality],
                        key=key,
                        value=value,
                        headers=headers,
                        partition=sending.number,
                        timestamp_ms=sending.at_ns // NS_PER_MS,
                    )
                )
                self._sent += 1
            for future in futures:
                future.get()
        self._acknowledged = True


@dataclass(frozen=True, slots=True)
class Arrival:
    """A prediction as a reader saw it: when (monotonic), and of which window."""

    at_s: float
    session: str
    end_ns: int
    id: str


class Reader:
    """Reads what is published as it comes."""

    def __init__(self, topics: Topics, guarantee: Guarantee) -> None:
        self.arrivals: list[Arrival] = []
        self._topics = topics
        self._isolation = "read_committed" if guarantee == "exactly_once" else "read_uncommitted"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def ids(self) -> set[str]:
        return {arrival.id for arrival in list(self.arrivals)}

    def fresh_after_s(self, since_s: float, sessions: Iterable[str]) -> float | None:
        """How long after `since_s` the last of `sessions` had a prediction of a window that ended after it.

        None if one of them never had.
        """
        since_ns = _CLOCK.wall_ns() - round((time.monotonic() - since_s) * NS_PER_S)
        took_s = []
        for session in sessions:
            fresh = (a.at_s for a in self.arrivals if a.session == session and a.end_ns >= since_ns)
            first_s = min(fresh, default=None)
            if first_s is None:
                return None
            took_s.append(first_s - since_s)
        return max(took_s, default=None)

    def _run(self) -> None:
        with KafkaConsumer(
            bootstrap_servers=self._topics.cluster.bootstrap,
            auto_offset_reset="earliest",
            isolation_level=self._isolation,
            fetch_max_wait_ms=50,
            reconnect_backoff_max_ms=500,
        ) as consumer:
            consumer.assign([TopicPartition(self._topics.predictions, number) for number in range(PARTITIONS)])
            while not self._stop.is_set():
                try:
                    polled = consumer.poll(timeout_ms=100)
                except KafkaError:  # the broker is being disturbed
                    continue
                now_s = time.monotonic()
                for message in (message for messages in polled.values() for message in messages):
                    told = dict(message.headers)
                    end_ns = rfc3339.parse(told["ce_time"].decode())
                    self.arrivals.append(Arrival(now_s, message.key.decode(), end_ns, told["ce_id"].decode()))


@dataclass
class Outcome:
    """What came of a group, to be held against what must be published."""

    case: str
    guarantee: Guarantee
    expected: Mapping[str, Content]
    published: list[bytes]
    undisturbed_s: float | None
    """As `recovered_s`, of a moment before anything happened."""
    recovered_s: list[float | None]
    """From each disturbance (or its end) until all sessions it concerned had a prediction of what came after it."""
    exit_statuses: list[int | None]
    histories: list[list[State]]
    """What each instance told."""

    @cached_property
    def contents(self) -> list[Content]:
        return [content(line) for line in self.published]

    @property
    def duplicates(self) -> int:
        return len(self.contents) - len({each["id"] for each in self.contents})

    @property
    def growth_bytes(self) -> int:
        """By how much the memory of an instance grew after its start, at most."""
        return max(max(state.rss_bytes for state in history) - history[0].rss_bytes for history in self.histories)

    def check(self) -> None:
        """Nothing is missing, nothing differs, and nothing comes twice where that is promised."""
        found = Counter(each["id"] for each in self.contents)
        missing = [each["session"] + each["window"]["start"] for id_, each in self.expected.items() if id_ not in found]
        assert not missing, f"{len(missing)} of {len(self.expected)} were not published: {sorted(missing)[:8]}"
        assert not found.keys() - self.expected.keys(), "windows were published that there are not"
        differing = [each for each in self.contents if each != self.expected[each["id"]]]
        assert not differing, f"{len(differing)} differ: {differing[0]}, not {self.expected[differing[0]['id']]}"
        if self.guarantee == "exactly_once":
            assert not self.duplicates

    def figures(self) -> str:
        """For a table in the documentation: one line of JSON."""
        took_s = [s for s in self.recovered_s if s is not None]
        figures = {
            "case": self.case,
            "guarantee": self.guarantee,
            "predictions": len(self.expected),
            "duplicates": self.duplicates,
            "disturbances": len(self.recovered_s),
            "recovered_s_median": round(statistics.median(took_s), 1) if took_s else None,
            "recovered_s_most": round(max(took_s), 1) if took_s else None,
            "undisturbed_s": None if self.undisturbed_s is None else round(self.undisturbed_s, 1),
            "waiting_mib_most": round(max(s.waiting_bytes for h in self.histories for s in h) / 2**20, 1),
            "growth_mib_most": round(self.growth_bytes / 2**20, 1),
        }
        return json.dumps(figures)


class Group:
    """Instances of one consumer group, with results of their own. Owned by one thread."""

    def __init__(self, case: str, guarantee: Guarantee, feed: Feed, folder: Path, **kafka: Any) -> None:
        """Creates the topics of the results. kafka: settings of the source beside the usual."""
        self.case = case
        self.guarantee = guarantee
        self.feed = feed
        self.instances: list[Instance] = []
        self.exit_statuses: list[int | None] = []
        self.undisturbed_s: float | None = None
        self._disturbances: list[tuple[float, frozenset[str]]] = []
        self._folder = folder
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
            "windows": {"disorder_bound_ms": _DISORDER_BOUND_MS, "idle_after_s": _IDLE_AFTER_S},
            "sources": [{"kind": "kafka", "kafka": source}],
            "sinks": [{"kind": "kafka", "kafka": outputs}],
            "delivery": {
                "guarantee": self.guarantee,
                "transactional_id": f"{self._topics.group}.{name}" if exactly_once else "",
            },
            "http": {"bind": ""},
            "lifecycle": {"drain_timeout_s": DRAIN_S},
        }

    def join(self, *, network: Network | None = None, slowness: Slowness = PROMPT, name: str = "") -> Instance:
        """Starts one more instance; one with the `name` of another that has ended takes its place."""
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
        """Lets an instance drain, and remembers which sessions that disturbs and how it ended."""
        numbers = instance.state.numbers
        self.instances.remove(instance)
        instance.terminate()
        self.disturbed(numbers)
        self.exit_statuses.append(instance.join(DRAIN_S + 10))

    def disturbed(self, numbers: Iterable[int] = range(PARTITIONS)) -> None:
        """Something has happened, or is over now, to the sessions of these numbers."""
        sessions = frozenset(f"room {session}" for session in range(SESSIONS) if session % PARTITIONS in set(numbers))
        if sessions:
            self._disturbances.append((time.monotonic(), sessions))

    def begin(self, instances: int = 1, **how: Any) -> None:
        """Starts instances, and waits until all partitions are read and predictions come as fast as they can."""
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
        """Waits until every partition number is read by one instance."""
        wait(self._settled, f"{self.case}, {self.guarantee}: all partitions to be read")

    def recover(self) -> None:
        """Waits until the sessions that were disturbed last have predictions of what came after that."""
        if self._disturbances:
            wait(self._recovered, f"{self.case}, {self.guarantee}: new predictions")

    def finish(self) -> Outcome:
        """Waits until all is published or no more comes, stops the instances and reads everything there is."""
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
        numbers = [number for instance in self.instances for number in instance.state.numbers]
        return sorted(numbers) == list(range(PARTITIONS))

    def _recovered(self) -> bool:
        return self.reader.fresh_after_s(*self._disturbances[-1]) is not None

    def _recovered_s(self) -> list[float | None]:
        """Of every disturbance."""
        return [self.reader.fresh_after_s(at_s, sessions) for at_s, sessions in self._disturbances]

    def close(self) -> None:
        """Ends whatever still runs."""
        for instance in self._all:
            instance.kill()


def wait(until: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    deadline_s = time.monotonic() + patience_s
    while not until():
        assert time.monotonic() < deadline_s, f"waited {patience_s:g} s for {what}"
        time.sleep(0.05)


Outcomes = Mapping[tuple[str, Guarantee], Future[Outcome]]
"""By case."""


@dataclass(frozen=True, slots=True)
class Run:
    """A disturbance, and the groups that it is done to; their input goes on until all runs are over."""

    groups: Sequence[Group]
    disturb: Callable[[Sequence[Group]], None]


@contextmanager
def together(runs: Sequence[Run]) -> Iterator[Outcomes]:
    """Runs disturbances at the same time, since most of each is waiting: what came of it by case and guarantee."""
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
                group.close()


def _disturb(run: Run) -> None:
    run.disturb(run.groups)
    for group in run.groups:
        group.recover()
