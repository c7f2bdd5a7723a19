"""Records what is published during disturbances, and checks it."""

import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from streams.clock import NS_PER_S, SystemClock
from streams.formats import rfc3339
from tests.kafka.conftest import Topics
from tests.kafka.feed import PARTITIONS
from tests.kafka.hashing import Content, content
from tests.kafka.instance import State

Guarantee = Literal["at_least_once", "exactly_once"]
GUARANTEES: tuple[Guarantee, ...] = ("at_least_once", "exactly_once")

_CLOCK = SystemClock()
_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Arrival:
    """A prediction as a consumer read it: when (monotonic), which window."""

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
        """Seconds from `since_s` until each session has a later window's prediction.

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
            metadata_max_age_ms=2000,  # else partitions without a leader for a moment are not read for minutes
        ) as consumer:
            consumer.assign([TopicPartition(self._topics.predictions, number) for number in range(PARTITIONS)])
            while not self._stop.is_set():
                try:
                    polled = consumer.poll(timeout_ms=100)
                except KafkaError:  # the broker is being disturbed
                    self._stop.wait(_AGAIN_S)  # a broker that is gone is an error at once
                    continue
                now_s = time.monotonic()
                for message in (message for messages in polled.values() for message in messages):
                    headers = dict(message.headers)
                    end_ns = rfc3339.parse(headers["ce_time"].decode())
                    self.arrivals.append(Arrival(now_s, message.key.decode(), end_ns, headers["ce_id"].decode()))


@dataclass
class Outcome:
    """What a group published, to be compared with the expected."""

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
    """The states that each instance reported."""

    @cached_property
    def contents(self) -> list[Content]:
        return [content(line) for line in self.published]

    @property
    def duplicates(self) -> int:
        return len(self.contents) - len({each["id"] for each in self.contents})

    @property
    def growth_bytes(self) -> int:
        """The largest growth of an instance's memory after its start."""
        return max(max(state.rss_bytes for state in history) - history[0].rss_bytes for history in self.histories)

    def check(self) -> None:
        """Asserts that nothing is missing, different or, where promised, repeated, and that all stops were orderly."""
        found = Counter(each["id"] for each in self.contents)
        missing = [each["session"] + each["window"]["start"] for id_, each in self.expected.items() if id_ not in found]
        assert not missing, f"{len(missing)} of {len(self.expected)} were not published: {sorted(missing)[:8]}"
        assert not found.keys() - self.expected.keys(), "windows were published that there are not"
        differing = [each for each in self.contents if each != self.expected[each["id"]]]
        assert not differing, f"{len(differing)} differ: {differing[0]}, not {self.expected[differing[0]['id']]}"
        if self.guarantee == "exactly_once":
            assert not self.duplicates
        assert set(self.exit_statuses) == {0}, self.exit_statuses

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
