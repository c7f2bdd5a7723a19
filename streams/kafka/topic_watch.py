"""Notices input topics that are deleted, made anew, or unequal.

Unequal are topics whose numbers of partitions differ. A deleted topic costs its own records: the others are read on,
and it is read again once it is there. All of it is seen in the metadata that the client keeps, and renews by itself
when a fetch fails; nothing is asked for. What a cluster that has just started does not know yet is no fault, so what is
missing must be missing for two seconds.
"""

from collections.abc import Collection, Iterable
from typing import Any

import structlog

from streams.clock import NS_PER_S, Clock

log = structlog.get_logger(__name__)

_CERTAIN_NS = 2 * NS_PER_S


class TopicWatch:
    """Owned by the source's thread; `gone` and `fault` may be read by any other."""

    def __init__(self, topics: Iterable[str], cluster: Any, clock: Clock) -> None:
        """cluster: the metadata of kafka-python's consumer."""
        self._topics = tuple(topics)
        self._cluster = cluster
        self._clock = clock
        self._ids: dict[str, object] = {}
        self._missing_ns: dict[str, int] = {}
        """Since when topics that were there are not."""
        self._unequal = ""
        self.gone: frozenset[str] = frozenset()
        """The topics that were deleted and are not back."""

    @property
    def seen_all(self) -> bool:
        """Whether every topic was there at a look once: only what was seen is known to be deleted or made anew."""
        return len(self._ids) == len(self._topics)

    @property
    def fault(self) -> str | None:
        """What is wrong with the topics, and what to do; None where nothing is."""
        if self.gone:
            return f"{', '.join(sorted(self.gone))}: does not exist any more; create it again (deploy/kafka/topics.sh)"
        return self._unequal or None

    def look(self) -> dict[str, set[int]]:
        """The topics that were made anew since the last look, with their partitions: their offsets begin anew."""
        numbers = {name: found for name in self._topics if (found := self._cluster.partitions_for_topic(name))}
        counts = {name: len(found) for name, found in numbers.items()}
        self._compare(counts)
        ids = {name: self._cluster.topic_id(name) for name in counts}
        anew = {name for name, found in ids.items() if found and self._ids.get(name, found) != found}
        for name in anew - self.gone:
            log.warning("an input topic was deleted and made anew: its offsets begin anew", topic=name)
        self._look_for_gone(counts.keys(), anew)
        self._ids |= ids
        return {name: numbers[name] for name in anew}

    def _look_for_gone(self, there: Iterable[str], anew: Collection[str]) -> None:
        now_ns, refused = self._clock.monotonic_ns(), self._cluster.unauthorized_topics  # of which polling tells
        for name in self._ids.keys() - set(there) - set(refused):
            since_ns = self._missing_ns.setdefault(name, now_ns)
            if name not in self.gone and now_ns - since_ns >= _CERTAIN_NS:
                self.gone |= {name}
                log.error("an input topic does not exist any more", topic=name)
        for name in self._missing_ns.keys() & set(there):
            away_s = (now_ns - self._missing_ns.pop(name)) / NS_PER_S
            if name in self.gone:
                self.gone -= {name}
                log.info("an input topic is back", topic=name, away_s=round(away_s, 1), offsets_begin_anew=name in anew)

    def _compare(self, counts: dict[str, int]) -> None:
        unequal = ""
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{name} {count}" for name, count in counts.items())
            unequal = f"input topics have unequal partitions ({told}): sessions are torn apart; make them equal"
        if unequal != self._unequal:
            if unequal:
                log.error("input topics have unequal partitions: sessions are torn apart", partitions=counts)
            else:
                log.info("input topics have equal partitions again", partitions=counts)
        self._unequal = unequal
