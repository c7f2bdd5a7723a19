"""Which instance reads what: partition numbers, whole, spread evenly, and moved as little as possible.

A session lies under the same partition number in every topic, so the unit is the number over all topics, and an
instance owns it in all of them or in none. Every member keeps what it owns as far as balance allows (counts differ by
at most one). A number that moves is given to nobody until its owner has given it up: the first rebalance takes it
away, the second, which the former owner asks for, hands it out (KIP-429, incremental cooperative rebalancing).

Where two members claim a number, the one that was in the later generation owns it. Members must read the same topics;
while an upgrade changes them, only the members with the most topics are served. Left out: racks.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka.coordinator.assignors.abstract import AbstractPartitionAssignor, RebalanceProtocol
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription

log = logging.getLogger(__name__)

_SUBSCRIPTION_VERSION = 2  # the first that says in which generation partitions were owned
_ASSIGNMENT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a group as the leader sees it."""

    name: str
    """Its member id."""
    topics: frozenset[str]
    claims: frozenset[int] = frozenset()
    """Numbers it holds, or thinks it holds."""
    generation: int = -1
    """In which generation of the group it was given them."""
    instance: str = ""
    """Static members only."""

    @property
    def seniority(self) -> tuple[bool, str, str]:
        """A fixed order: static members first, since they come back under the same name."""
        return not self.instance, self.instance, self.name


def assign(members: Iterable[Member], numbers: Iterable[int]) -> dict[str, list[int]]:
    """The numbers of every member, by its name, for this round; what must first be given up is in none."""
    members, free = list(members), set(numbers)
    most = max((sorted(member.topics) for member in members), key=lambda topics: (len(topics), topics), default=[])
    served = [member for member in members if member.topics == set(most)]
    if len(served) < len(members):
        log.warning("%d members of the group read other topics than %s and get none", len(members) - len(served), most)
    claimed = _without_rivals(members)
    owned = {member.name: sorted(claimed[member.name] & free) for member in served}
    for numbers_claimed in claimed.values():
        free -= numbers_claimed
    served.sort(key=lambda member: (-len(owned[member.name]), member.seniority))
    shares = _shares(len(served), len(set(numbers)))
    assigned: dict[str, list[int]] = {member.name: [] for member in members} | {
        member.name: owned[member.name][:share] for member, share in zip(served, shares, strict=True)
    }
    room = {member.name: share - len(assigned[member.name]) for member, share in zip(served, shares, strict=True)}
    for number in sorted(free):
        name = max(room, key=lambda name: room[name], default=None)
        if name is None or room[name] == 0:
            break
        assigned[name].append(number)
        room[name] -= 1
    return {name: sorted(given) for name, given in assigned.items()}


def _without_rivals(members: list[Member]) -> dict[str, set[int]]:
    """What every member owns, each number once."""
    owner: dict[int, Member] = {}
    for member in sorted(members, key=lambda member: (-member.generation, member.seniority)):
        for number in member.claims:
            owner.setdefault(number, member)
    return {member.name: {number for number in member.claims if owner[number] is member} for member in members}


def _shares(members: int, numbers: int) -> list[int]:
    """How many numbers each member gets, the larger shares first."""
    if not members:
        return []
    share, left_over = divmod(numbers, members)
    return [share + 1] * left_over + [share] * (members - left_over)


class CoPartitionedAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # kafka-python has no types
    """The rule above in the protocol of consumer groups. One per consumer; called on its IO thread."""

    name = "affectd-copartitioned"

    def __init__(self) -> None:
        self._owned: Mapping[str, list[int]] = {}
        self._generation = -1
        self.request_rejoin: Callable[[], None] = lambda: None
        """The consumer's own. Without it kafka-python forgets a rebalance that a leader began because topics changed,
        if it outlasts one poll: it is then not finished, no heartbeat is sent, and nobody is told.
        """

    def supported_protocols(self) -> list[RebalanceProtocol]:
        """Cooperative only: what is kept is read on during a rebalance."""
        return [RebalanceProtocol.COOPERATIVE]

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolSubscription:
        """What this member tells the leader: its topics, and what it owns since when."""
        owned = ConsumerProtocolSubscription.TopicPartition
        return ConsumerProtocolSubscription(
            version=_SUBSCRIPTION_VERSION,
            topics=sorted(topics),
            user_data=b"",
            owned_partitions=[owned(topic=topic, partitions=numbers) for topic, numbers in self._owned.items()],
            generation_id=self._generation,
        )

    def on_assignment(self, assignment: ConsumerProtocolAssignment, generation: int) -> None:
        """Remembers what is owned, to claim it in the next rebalance."""
        owned: dict[str, list[int]] = {}
        for topic, number in sorted(assignment.partitions()):
            owned.setdefault(topic, []).append(number)
        self._owned, self._generation = owned, generation

    @property
    def generation(self) -> int:
        """In which generation of the group this member was last told what it owns; -1 if it owns nothing of any."""
        return self._generation

    @property
    def numbers(self) -> frozenset[int]:
        """The partition numbers that it owns."""
        return frozenset(number for numbers in self._owned.values() for number in numbers)

    def lost(self) -> None:
        """The group has put this member out: it owns nothing, and may claim nothing."""
        self._owned, self._generation = {}, -1

    def assign(self, cluster: Any, members: Iterable[Any]) -> dict[str, ConsumerProtocolAssignment]:
        """For the leader: every member's partitions in this round."""
        self.request_rejoin()  # holds until this rebalance is finished
        known = [_member(member) for member in members]
        numbers = {topic: cluster.partitions_for_topic(topic) or set() for member in known for topic in member.topics}
        assigned = assign(known, set().union(*numbers.values()))
        topics = {member.name: sorted(member.topics) for member in known}
        return {
            name: ConsumerProtocolAssignment(
                _ASSIGNMENT_VERSION,
                [(topic, [number for number in given if number in numbers[topic]]) for topic in topics[name]],
                b"",
            )
            for name, given in assigned.items()
        }


def _member(member: Any) -> Member:
    told = member.metadata
    claims = {number for owned in told.owned_partitions or () for number in owned.partitions}
    return Member(
        member.member_id,
        frozenset(told.topics),
        frozenset(claims),
        told.generation_id if told.generation_id is not None else -1,
        member.group_instance_id or "",
    )
