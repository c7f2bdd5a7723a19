"""Detects input topics that were deleted, recreated, or are unequal.

Topics are unequal if their numbers of partitions differ. A deleted topic costs its own records: the others are read on,
and it is read again once it exists. All of it shows in the metadata that the client keeps, and renews by itself when a
fetch fails, so nothing is requested. A cluster that has just started does not know all topics yet, which is no fault;
so a topic counts as deleted when it was missing for two seconds.
"""

from collections.abc import Collection, Iterable

import structlog

from streams.clock import NS_PER_S, Clock
from streams.kafka.client_workarounds import ClusterMetadata

log = structlog.get_logger(__name__)

_CERTAIN_NS = 2 * NS_PER_S


class TopicWatch:
    """Compares the client's metadata with what it was before.

    Owned by the source's thread; `deleted` and `fault` may be read by any other.
    """

    def __init__(self, topics: Iterable[str], cluster: ClusterMetadata, clock: Clock) -> None:
        self._topics = tuple(topics)
        self._cluster = cluster
        self._clock = clock
        self._ids: dict[str, object] = {}
        self._missing_ns: dict[str, int] = {}
        """Since when topics that existed are missing."""
        self._unequal = ""
        self.deleted: frozenset[str] = frozenset()
        """The topics that were deleted and are not back."""

    @property
    def all_seen(self) -> bool:
        """Whether every topic has existed: only then can its deletion be detected."""
        return len(self._ids) == len(self._topics)

    @property
    def fault(self) -> str | None:
        """What is wrong, and what to do; None if nothing is."""
        if self.deleted:
            return (
                f"{', '.join(sorted(self.deleted))}: does not exist any more; create it again (deploy/kafka/topics.sh)"
            )
        return self._unequal or None

    def check(self) -> dict[str, set[int]]:
        """Topics recreated since the last check, with their partition numbers.

        Their offsets begin again.
        """
        known = {name: self._cluster.partitions_for_topic(name) for name in self._topics}
        partitions = {name: numbers for name, numbers in known.items() if numbers}
        counts = {name: len(numbers) for name, numbers in partitions.items()}
        self._compare(counts)
        ids = {name: self._cluster.topic_id(name) for name in counts}
        recreated = {name for name, known in ids.items() if known and self._ids.get(name, known) != known}
        for name in recreated - self.deleted:
            log.warning("an input topic was deleted and recreated: its offsets begin again", topic=name)
        self._find_deleted(counts.keys(), recreated)
        self._ids |= ids
        return {name: partitions[name] for name in recreated}

    def _find_deleted(self, existing: Iterable[str], recreated: Collection[str]) -> None:
        # Polling raises an error for topics without permission.
        now_ns, unauthorized = self._clock.monotonic_ns(), self._cluster.unauthorized_topics
        for name in self._ids.keys() - set(existing) - set(unauthorized):
            since_ns = self._missing_ns.setdefault(name, now_ns)
            if name not in self.deleted and now_ns - since_ns >= _CERTAIN_NS:
                self.deleted |= {name}
                log.error("an input topic does not exist any more", topic=name)
        for name in self._missing_ns.keys() & set(existing):
            away_s = (now_ns - self._missing_ns.pop(name)) / NS_PER_S
            if name in self.deleted:
                self.deleted -= {name}
                again = name in recreated
                log.info("an input topic is back", topic=name, away_s=round(away_s, 1), offsets_begin_again=again)

    def _compare(self, counts: dict[str, int]) -> None:
        unequal = ""
        if len(set(counts.values())) > 1:
            each = ", ".join(f"{name} {count}" for name, count in counts.items())
            unequal = f"input topics have unequal partitions ({each}): sessions are torn apart; make them equal"
        if unequal != self._unequal:
            if unequal:
                log.error("input topics have unequal partitions: sessions are torn apart", partitions=counts)
            else:
                log.info("input topics have equal partitions again", partitions=counts)
        self._unequal = unequal
