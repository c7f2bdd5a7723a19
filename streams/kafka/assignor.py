"""Assigns partition groups to the members of a consumer group.

A partition group is the partitions with one number in all input topics (the term is Kafka Streams'). A session lies in
one partition group, so a member owns a group whole or not at all. In code a partition group is named by that number.

Rule: every member keeps what it owns as far as balance allows; shares differ by one group at most. A group that
moves goes to nobody until its owner has given it up: the first rebalance revokes it, the second, which the former owner
requests, assigns it (KIP-429, incremental cooperative rebalancing). If two members claim a group, the one of the later
generation owns it. Members must read the same topics; while an upgrade changes these, only the members with the most
topics get partitions. Left out: racks.
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
    """One member of a consumer group as the leader sees it."""

    name: str
    """Its member id."""
    topics: frozenset[str]
    claims: frozenset[int] = frozenset()
    """The partition groups that it says it owns."""
    generation: int = -1
    """The generation of the consumer group in which they were assigned."""
    instance: str = ""
    """Static members only."""

    @property
    def seniority(self) -> tuple[bool, str, str]:
        """A fixed order, static members first: they keep their names."""
        return not self.instance, self.instance, self.name


def assign(members: Iterable[Member], numbers: Iterable[int]) -> dict[str, list[int]]:
    """Assigns partition groups, by member name, for one rebalance.

    A group that its owner must give up first is assigned to nobody.
    """
    members, free = list(members), set(numbers)
    most = max((sorted(member.topics) for member in members), key=lambda topics: (len(topics), topics), default=[])
    served = [member for member in members if member.topics == set(most)]
    if len(served) < len(members):
        log.warning("%d members of the group read other topics than %s and get none", len(members) - len(served), most)
    claims = _undisputed_claims(members)
    owned = {member.name: sorted(claims[member.name] & free) for member in served}
    for claimed in claims.values():
        free -= claimed
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
    return {name: sorted(numbers) for name, numbers in assigned.items()}


def _undisputed_claims(members: list[Member]) -> dict[str, set[int]]:
    """What every member owns, each partition group once."""
    owner: dict[int, Member] = {}
    for member in sorted(members, key=lambda member: (-member.generation, member.seniority)):
        for number in member.claims:
            owner.setdefault(number, member)
    return {member.name: {number for number in member.claims if owner[number] is member} for member in members}


def _shares(members: int, groups: int) -> list[int]:
    """How many partition groups each member gets, the larger shares first."""
    if not members:
        return []
    share, left_over = divmod(groups, members)
    return [share + 1] * left_over + [share] * (members - left_over)


class CoPartitionedAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # kafka-python has no types
    """Speaks the consumer group protocol for `assign`.

    One per consumer; called on its IO thread.
    """

    name = "affectd-copartitioned"

    def __init__(self) -> None:
        self._owned: Mapping[str, list[int]] = {}
        self._generation = -1
        self.request_rejoin: Callable[[], None] = lambda: None
        """Of the consumer (`streams.kafka.client_workarounds.rejoin_request`)."""

    def supported_protocols(self) -> list[RebalanceProtocol]:
        """Cooperative only: owned partitions are read during a rebalance too."""
        return [RebalanceProtocol.COOPERATIVE]

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolSubscription:
        """The subscription: topics of this member, what it owns, and since when."""
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
        """The generation of the last assignment; -1 without one."""
        return self._generation

    @property
    def owned(self) -> frozenset[int]:
        """The partition groups that this member owns."""
        return frozenset(number for numbers in self._owned.values() for number in numbers)

    def forget_assignment(self) -> None:
        """The member was expelled from the group: it owns and claims nothing."""
        self._owned, self._generation = {}, -1

    def assign(self, cluster: Any, members: Iterable[Any]) -> dict[str, ConsumerProtocolAssignment]:
        """For the leader: assigns partitions to every member."""
        self.request_rejoin()  # holds until this rebalance is finished
        known = [_member(member) for member in members]
        numbers = {topic: cluster.partitions_for_topic(topic) or set() for member in known for topic in member.topics}
        assigned = assign(known, set().union(*numbers.values()))
        topics = {member.name: sorted(member.topics) for member in known}
        return {
            name: ConsumerProtocolAssignment(
                _ASSIGNMENT_VERSION,
                [(topic, [number for number in groups if number in numbers[topic]]) for topic in topics[name]],
                b"",
            )
            for name, groups in assigned.items()
        }


def _member(member: Any) -> Member:
    subscription = member.metadata
    claims = {number for owned in subscription.owned_partitions or () for number in owned.partitions}
    return Member(
        member.member_id,
        frozenset(subscription.topics),
        frozenset(claims),
        subscription.generation_id if subscription.generation_id is not None else -1,
        member.group_instance_id or "",
    )
