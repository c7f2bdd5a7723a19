"""Partition groups are assigned whole, evenly, and with few moves."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.coordinator.assignors.abstract import RebalanceProtocol
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription

from streams.kafka.assignor import CoPartitionedAssignor, Member, assign

pytestmark = pytest.mark.unit

TOPICS = frozenset({"video", "audio", "text"})


def member(name: str, *claims: int, generation: int = 1, instance: str = "", topics: frozenset[str] = TOPICS) -> Member:
    return Member(name, topics, frozenset(claims), generation, instance)


def test_a_lone_member_gets_everything() -> None:
    assert assign([member("a")], range(3)) == {"a": [0, 1, 2]}


def test_a_newcomer_gets_nothing_until_the_owner_has_given_it_up() -> None:
    assert assign([member("a", 0, 1, 2), member("b")], range(3)) == {"a": [0, 1], "b": []}
    assert assign([member("a", 0, 1), member("b")], range(3)) == {"a": [0, 1], "b": [2]}


def test_what_a_member_leaves_behind_goes_to_the_others_at_once() -> None:
    assert assign([member("a", 0, 1), member("c", 4, 5)], range(6)) == {"a": [0, 1, 2], "c": [3, 4, 5]}


def test_a_static_member_that_comes_back_gets_back_what_the_others_have_not_got() -> None:
    returned = member("b-again", generation=-1, instance="two")
    assert assign([member("a", 0, 1), returned, member("c", 4, 5)], range(6))["b-again"] == [2, 3]


def test_static_members_come_before_others_where_shares_differ() -> None:
    assert assign([member("a"), member("z", instance="one")], range(3)) == {"a": [2], "z": [0, 1]}


def test_of_two_that_claim_a_number_the_one_of_the_later_generation_keeps_it() -> None:
    assigned = assign([member("a", 0, 1, generation=6), member("b", 0, 1, generation=7)], range(2))
    assert assigned == {"a": [], "b": [0]}


def test_more_members_than_numbers_leave_some_without() -> None:
    assert assign([member("a", 0), member("b", 1), member("c")], range(2)) == {"a": [0], "b": [1], "c": []}


def test_only_the_members_with_the_most_topics_are_served() -> None:
    other = member("b", topics=frozenset({"video"}))
    assert assign([member("a"), other], range(2)) == {"a": [0, 1], "b": []}


def test_numbers_that_are_gone_are_assigned_to_nobody() -> None:
    assert assign([member("a", 0, 1, 2, 3)], range(2)) == {"a": [0, 1]}


NUMBERS = st.integers(0, 40)
NAMES = st.lists(st.text("abcdef", min_size=1, max_size=4), unique=True, min_size=1, max_size=8)


@st.composite
def groups(draw: st.DrawFn) -> tuple[list[Member], int]:
    """Members of one generation; one at most claims each partition group."""
    names, numbers = draw(NAMES), draw(NUMBERS)
    owners = draw(st.lists(st.sampled_from([None, *names]), min_size=numbers, max_size=numbers))
    static = draw(st.sets(st.sampled_from(names)))
    return [
        member(name, *(n for n, owner in enumerate(owners) if owner == name), instance=name * (name in static))
        for name in names
    ], numbers


def rejoined(members: list[Member], assigned: dict[str, list[int]]) -> list[Member]:
    return [member(one.name, *assigned[one.name], generation=2, instance=one.instance) for one in members]


@given(groups())
def test_two_rounds_balance_a_group_and_a_third_moves_nothing(group: tuple[list[Member], int]) -> None:
    members, numbers = group
    first = assign(members, range(numbers))
    members_then = rejoined(members, first)
    second = assign(members_then, range(numbers))
    assert sorted(n for given in second.values() for n in given) == list(range(numbers))
    counts = [len(given) for given in second.values()]
    assert max(counts) - min(counts) <= 1
    assert assign(rejoined(members, second), range(numbers)) == second


@given(groups())
def test_nothing_is_given_before_its_owner_has_given_it_up(group: tuple[list[Member], int]) -> None:
    members, numbers = group
    first = assign(members, range(numbers))
    for one in members:
        for other in members:
            assert one is other or not set(first[one.name]) & other.claims


@given(groups())
def test_no_more_moves_than_balance_asks_for(group: tuple[list[Member], int]) -> None:
    members, numbers = group
    first = assign(members, range(numbers))
    share, left_over = divmod(numbers, len(members))
    owned = sorted((len(one.claims) for one in members), reverse=True)
    shares = [share + 1] * left_over + [share] * (len(members) - left_over)
    surplus = sum(max(0, has - may) for has, may in zip(owned, shares, strict=True))
    assert sum(len(one.claims - set(first[one.name])) for one in members) == surplus


@given(groups(), st.randoms())
def test_the_order_in_which_members_are_given_changes_nothing(group: tuple[list[Member], int], random: object) -> None:
    members, numbers = group
    shuffled = list(members)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert assign(shuffled, range(numbers)) == assign(members, range(numbers))


class Cluster:
    def __init__(self, **counts: int) -> None:
        self._counts = counts

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self._counts[topic])) if topic in self._counts else None


def joined(name: str, assignor: CoPartitionedAssignor, instance: str | None = None) -> SimpleNamespace:
    """A member as the leader sees it, encoded and decoded."""
    subscription = ConsumerProtocolSubscription.decode(assignor.metadata(["text", "video"]).encode())
    return SimpleNamespace(member_id=name, group_instance_id=instance, metadata=subscription)


def applied(assignor: CoPartitionedAssignor, assignment: ConsumerProtocolAssignment, generation: int) -> set[object]:
    decoded = ConsumerProtocolAssignment.decode(assignment.encode())
    assignor.on_assignment(decoded, generation)
    return set(decoded.partitions())


def test_a_number_moves_in_all_topics_over_the_protocol_of_groups() -> None:
    one, two, cluster = CoPartitionedAssignor(), CoPartitionedAssignor(), Cluster(video=2, text=2)
    both = {("video", 0), ("text", 0), ("video", 1), ("text", 1)}
    assert applied(one, one.assign(cluster, [joined("a", one)])["a"], 1) == both
    second = one.assign(cluster, [joined("a", one), joined("b", two)])
    assert applied(one, second["a"], 2) == {("video", 0), ("text", 0)}
    assert applied(two, second["b"], 2) == set()
    third = two.assign(cluster, [joined("a", one), joined("b", two)])
    assert applied(two, third["b"], 3) == {("video", 1), ("text", 1)}


def test_a_member_that_was_put_out_claims_nothing() -> None:
    one, two, cluster = CoPartitionedAssignor(), CoPartitionedAssignor(), Cluster(video=1, text=1)
    applied(one, one.assign(cluster, [joined("a", one)])["a"], 4)
    one.forget_assignment()
    assigned = two.assign(cluster, [joined("a", one), joined("b", two, instance="static")])
    assert applied(two, assigned["b"], 5) == {("video", 0), ("text", 0)}


def test_a_topic_that_is_not_there_is_read_by_nobody() -> None:
    one = CoPartitionedAssignor()
    assigned = one.assign(Cluster(video=1), [joined("a", one)])
    assert applied(one, assigned["a"], 1) == {("video", 0)}


def test_only_incremental_rebalances_are_offered() -> None:
    assert CoPartitionedAssignor().supported_protocols() == [RebalanceProtocol.COOPERATIVE]
