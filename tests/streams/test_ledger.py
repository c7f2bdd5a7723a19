"""What is still needed of a log, and what a checkpoint says of it."""

import pytest

from streams.alignment.window_progress import BEFORE_ALL
from streams.alignment.windows import WindowGrid
from streams.coordinates import Coordinates, Partition
from streams.delivery.checkpoint import MOST_SESSIONS, decode, encode, session_digest
from streams.delivery.ledger import Ledger, PartitionAssignment, SessionLease

pytestmark = pytest.mark.unit

GRID = WindowGrid(4_000_000_000, 1_000_000_000)
VIDEO, AUDIO = Partition("video", 0), Partition("audio", 0)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger(GRID)


@pytest.fixture
def assignment(ledger: Ledger) -> PartitionAssignment:
    return ledger.assigned(0, {VIDEO: 10, AUDIO: 20}, {})


def at(partition: Partition, offset: int) -> Coordinates:
    return Coordinates(partition, offset, written_ns=0)


def read(ledger: Ledger, partition: Partition, *offsets: int) -> None:
    ledger.read(partition, [(offset, 100) for offset in offsets])


def offsets(ledger: Ledger) -> dict[Partition, int]:
    return {partition: position.offset for partition, position in ledger.checkpoint().items()}


def published_through(ledger: Ledger) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for position in ledger.checkpoint().values():
        found |= decode(position.metadata, GRID)
    return found


def hand_on(ledger: Ledger, lease: SessionLease, *windows: int) -> None:
    for index in windows:
        ledger.submitted(lease, index)
        ledger.advance(lease, index + 1)


def test_before_anything_is_read_the_start_is_committed(ledger: Ledger, assignment: PartitionAssignment) -> None:
    assert offsets(ledger) == {VIDEO: 10, AUDIO: 20}


def test_a_record_is_needed_from_when_it_is_read_even_before_the_timeline_takes_it(
    ledger: Ledger, assignment: PartitionAssignment
) -> None:
    read(ledger, VIDEO, 10, 11)
    assert offsets(ledger)[VIDEO] == 10
    assert ledger.waiting_bytes == 200


def test_a_record_is_needed_until_the_last_window_it_matters_to_is_delivered(
    ledger: Ledger, assignment: PartitionAssignment
) -> None:
    read(ledger, VIDEO, 10, 11)
    lease = ledger.lease(assignment, "room")
    ledger.retain(lease, at(VIDEO, 10), last_window=5)
    ledger.retain(lease, at(VIDEO, 11), last_window=6)
    assert ledger.waiting_bytes == 0
    hand_on(ledger, lease, 4, 5)
    assert offsets(ledger)[VIDEO] == 10
    ledger.delivered(lease, 4)
    assert offsets(ledger)[VIDEO] == 10
    ledger.delivered(lease, 5)
    assert offsets(ledger)[VIDEO] == 11


def test_windows_that_nothing_lies_in_are_passed_over(ledger: Ledger, assignment: PartitionAssignment) -> None:
    read(ledger, VIDEO, 10)
    lease = ledger.lease(assignment, "room")
    ledger.retain(lease, at(VIDEO, 10), last_window=5)
    ledger.advance(lease, 6)
    assert offsets(ledger)[VIDEO] == 11


def test_a_slow_window_holds_back_those_after_it(ledger: Ledger, assignment: PartitionAssignment) -> None:
    read(ledger, VIDEO, 10)
    lease = ledger.lease(assignment, "room")
    ledger.retain(lease, at(VIDEO, 10), last_window=5)
    hand_on(ledger, lease, 4, 5, 6)
    ledger.delivered(lease, 5)
    ledger.delivered(lease, 6)
    assert offsets(ledger)[VIDEO] == 10
    assert published_through(ledger) == {session_digest("room"): 4}
    ledger.delivered(lease, 4)
    assert offsets(ledger)[VIDEO] == 11
    assert published_through(ledger) == {session_digest("room"): 7}


def test_one_session_that_waits_holds_the_partition(ledger: Ledger, assignment: PartitionAssignment) -> None:
    read(ledger, VIDEO, 10, 11)
    slow, quick = ledger.lease(assignment, "slow"), ledger.lease(assignment, "quick")
    ledger.retain(slow, at(VIDEO, 10), last_window=5)
    ledger.retain(quick, at(VIDEO, 11), last_window=5)
    hand_on(ledger, quick, 5)
    ledger.delivered(quick, 5)
    assert offsets(ledger)[VIDEO] == 10
    assert published_through(ledger) == {session_digest("quick"): 6}


def test_what_can_matter_to_no_window_is_not_needed(ledger: Ledger, assignment: PartitionAssignment) -> None:
    read(ledger, VIDEO, 10, 11)
    ledger.release(at(VIDEO, 10))
    assert offsets(ledger)[VIDEO] == 11
    assert ledger.waiting_bytes == 100
    assert ledger.uncommitted == 1


def test_a_session_that_is_over_needs_nothing_once_its_windows_are_delivered(
    ledger: Ledger, assignment: PartitionAssignment
) -> None:
    read(ledger, VIDEO, 10)
    lease = ledger.lease(assignment, "room")
    ledger.retain(lease, at(VIDEO, 10), last_window=9)
    hand_on(ledger, lease, 5)
    ledger.session_ended(lease)
    assert offsets(ledger)[VIDEO] == 10
    ledger.delivered(lease, 5)
    assert offsets(ledger)[VIDEO] == 11


def test_a_session_is_known_again_by_what_was_committed(ledger: Ledger) -> None:
    assignment = ledger.assigned(0, {VIDEO: 10}, {session_digest("room"): 7})
    assert ledger.lease(assignment, "room").progress.delivered_until == 7
    assert ledger.lease(assignment, "other").progress.delivered_until == BEFORE_ALL
    assert published_through(ledger) == {session_digest("room"): 7}


def test_a_session_that_has_not_come_back_yet_stays_in_the_checkpoint(ledger: Ledger) -> None:
    ledger.assigned(0, {VIDEO: 10}, {session_digest("room"): 7})
    assert published_through(ledger) == {session_digest("room"): 7}


def test_what_comes_back_for_partitions_that_went_elsewhere_changes_nothing(
    ledger: Ledger, assignment: PartitionAssignment
) -> None:
    read(ledger, VIDEO, 10)
    lease = ledger.lease(assignment, "room")
    ledger.retain(lease, at(VIDEO, 10), last_window=5)
    hand_on(ledger, lease, 5)
    ledger.revoked([0])
    assert not lease.valid
    assert ledger.checkpoint() == {}
    again = ledger.assigned(0, {VIDEO: 10, AUDIO: 20}, {})
    read(ledger, VIDEO, 10)
    ledger.delivered(lease, 5)
    assert offsets(ledger)[VIDEO] == 10
    assert ledger.lease(again, "room").progress.delivered_until == BEFORE_ALL
    assert ledger.waiting_bytes == 100


def test_revoked_partitions_take_their_waiting_bytes_with_them(ledger: Ledger, assignment: PartitionAssignment) -> None:
    read(ledger, VIDEO, 10, 11)
    ledger.revoked([0])
    assert ledger.waiting_bytes == 0
    read(ledger, VIDEO, 12)
    assert ledger.waiting_bytes == 0


def test_more_sessions_than_a_commit_holds_are_spread_over_the_topics_and_the_longest_silent_left_out(
    ledger: Ledger, assignment: PartitionAssignment
) -> None:
    many = 2 * MOST_SESSIONS + 5
    for number in range(many):
        ledger.advance(ledger.lease(assignment, f"room-{number}"), number)
    metadata = [position.metadata for position in ledger.checkpoint().values()]
    assert all(len(text.encode()) <= 4096 for text in metadata)
    known = published_through(ledger)
    assert len(known) == 2 * MOST_SESSIONS
    assert all(known[session_digest(f"room-{number}")] == number for number in range(5, many))


def test_metadata_of_other_windows_or_of_somebody_else_says_nothing() -> None:
    written = encode([(session_digest("room"), 7)], GRID)
    assert decode(written, GRID) == {session_digest("room"): 7}
    assert decode(written, WindowGrid(4_000_000_000, 2_000_000_000)) == {}
    for other in ("", "by hand", "1:", "1:###", written[:-1], "1:" + "0" * 40):
        assert decode(other, GRID) == {}
