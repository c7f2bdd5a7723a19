"""Records that were in hand when a process was killed: suspects, blamed, condemned or cleared."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.clock import ManualClock, SystemClock
from streams.coordinates import Coordinates, Partition
from streams.delivery.crash_journal import CrashJournal, CrashJournalError

pytestmark = pytest.mark.unit

_VICTIM = """
import sys, time
from pathlib import Path
from streams.clock import SystemClock
from streams.delivery.crash_journal import CrashJournal
from streams.records import Coordinates, Partition

crash_journal = CrashJournal(Path(sys.argv[1]), SystemClock())
with crash_journal.working_on([Coordinates(Partition("video", 3), 1, 0)]):
    pass
with crash_journal.working_on([Coordinates(Partition("video", 3), 7, 0)]):
    with crash_journal.working_on([Coordinates(Partition("text", 3), 8, 0), Coordinates(Partition("text", 3), 9, 0)]):
        print("working", flush=True)
        time.sleep(600)
"""


def record(offset: int, topic: str = "video", partition: int = 3) -> Coordinates:
    return Coordinates(Partition(topic, partition), offset, 0)


@contextmanager
def opened(folder: Path) -> Iterator[CrashJournal]:
    crash_journal = CrashJournal(folder, SystemClock())
    try:
        yield crash_journal
    finally:
        crash_journal.close()


def killed_at_work(folder: Path) -> None:
    """A process that has video 7 in hand, then text 8 and 9 too, and is killed with -9."""
    with subprocess.Popen([sys.executable, "-c", _VICTIM, str(folder)], stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        assert "working\n" in iter(victim.stdout.readline, "")
        victim.send_signal(signal.SIGKILL)


def dies_at_work(folder: Path, *together: list[Coordinates]) -> None:
    """What a process leaves that ends while it works on these, each list at the same time, the first the longest."""
    clock = ManualClock()
    crash_journal = CrashJournal(folder, clock)
    assert crash_journal._notes is not None
    for records in together:
        crash_journal._note(crash_journal._notes, records)  # and never erased: the process is gone
        clock.advance(1.0)
    crash_journal.close()


def test_what_a_killed_process_had_in_hand_is_suspect_and_what_it_had_done_is_not(tmp_path: Path) -> None:
    killed_at_work(tmp_path)
    with opened(tmp_path) as crash_journal:
        suspects = [record(7), record(8, "text"), record(9, "text")]
        assert [crash_journal.is_suspect([each]) for each in suspects] == [True] * 3
        others = [record(1), record(8), record(7, partition=2)]
        assert [crash_journal.is_suspect([each]) for each in others] == [False] * 3
        assert not any(crash_journal.is_poison(each) for each in suspects)


def test_the_record_that_was_longest_in_hand_at_two_deaths_is_condemned_and_its_neighbours_are_not(
    tmp_path: Path,
) -> None:
    for _ in range(2):
        killed_at_work(tmp_path)
    with opened(tmp_path) as crash_journal:
        assert crash_journal.is_poison(record(7))
        assert not crash_journal.is_poison(record(8, "text"))
        assert not crash_journal.is_poison(record(9, "text"))


def test_records_that_were_in_hand_as_long_as_each_other_are_suspects_and_none_is_blamed(tmp_path: Path) -> None:
    for _ in range(5):
        dies_at_work(tmp_path, [record(1), record(2)])
    with opened(tmp_path) as crash_journal:
        assert crash_journal.is_suspect([record(1)])
        assert not crash_journal.is_poison(record(1))


def test_a_suspect_that_is_worked_on_to_the_end_is_cleared_for_good(tmp_path: Path) -> None:
    dies_at_work(tmp_path, [record(1)])
    with opened(tmp_path) as crash_journal:
        crash_journal.clear(record(1))
        assert not crash_journal.is_suspect([record(1)])
    dies_at_work(tmp_path, [record(1)])
    with opened(tmp_path) as crash_journal:
        assert crash_journal.is_suspect([record(1)])
        assert not crash_journal.is_poison(record(1))


def test_a_process_that_ends_with_nothing_in_hand_blames_nothing(tmp_path: Path) -> None:
    dies_at_work(tmp_path, [record(1)])
    for _ in range(3):
        with opened(tmp_path) as crash_journal:
            assert crash_journal.is_suspect([record(1)])
            assert not crash_journal.is_poison(record(1))


def test_what_is_kept_is_where_records_lie_and_nothing_else(tmp_path: Path) -> None:
    dies_at_work(tmp_path, [Coordinates(Partition("video", 3), 7, 0, b"alice", (("author", b"alice"),))])
    opened(tmp_path).__enter__().close()
    assert {file.name for file in tmp_path.iterdir()} == {"in-hand", "suspects.json"}
    assert not any(b"alice" in file.read_bytes() for file in tmp_path.iterdir())


def test_a_folder_that_another_process_uses_is_refused_by_name(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(CrashJournalError, match=f"{tmp_path}: another process"):
        CrashJournal(tmp_path, SystemClock())


@pytest.mark.parametrize("content", ["", "{", "[1]", '[["t"]]', "[" * 100_000])
def test_a_list_of_suspects_that_cannot_be_read_begins_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "suspects.json").write_text(content)
    with opened(tmp_path) as crash_journal:
        assert not crash_journal.is_suspect([record(1)])


def test_without_a_folder_nothing_is_noted() -> None:
    crash_journal = CrashJournal(None, SystemClock())
    with crash_journal.working_on([record(1)]):
        assert not crash_journal.is_suspect([record(1)])
    crash_journal.clear(record(1))


def test_more_records_than_there_are_slots_are_worked_on_all_the_same(tmp_path: Path) -> None:
    with opened(tmp_path) as crash_journal, crash_journal.working_on(record(offset) for offset in range(3_000)):
        pass
    with opened(tmp_path) as crash_journal:
        assert not crash_journal.is_suspect([record(1)])
