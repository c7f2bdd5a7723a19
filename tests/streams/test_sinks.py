"""Predictions as JSON lines."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from streams.predictions import Prediction
from streams.sinks.base import SinkError
from streams.sinks.json_lines import JsonLines

pytestmark = pytest.mark.unit

ANY = cast(Prediction, None)  # this sink writes the line it is given


def test_every_prediction_is_a_line_and_is_there_at_once(tmp_path: Path) -> None:
    out = tmp_path / "predictions.jsonl"
    sink = JsonLines.file(out)
    sink.publish(ANY, b'{"a":1}')
    assert sink.flush(0.0)
    assert out.read_bytes() == b'{"a":1}\n'
    sink.publish(ANY, b'{"a":2}')
    sink.close()
    assert out.read_bytes() == b'{"a":1}\n{"a":2}\n'


@pytest.mark.parametrize(("append", "after"), [(True, b"before\nnow\n"), (False, b"now\n")])
def test_a_file_that_is_there_is_appended_to_or_replaced(tmp_path: Path, append: bool, after: bytes) -> None:
    out = tmp_path / "predictions.jsonl"
    out.write_bytes(b"before\n")
    sink = JsonLines.file(out, append=append)
    sink.publish(ANY, b"now")
    sink.close()
    assert out.read_bytes() == after


def test_the_folder_of_a_file_is_made(tmp_path: Path) -> None:
    JsonLines.file(tmp_path / "new" / "folder" / "predictions.jsonl").close()
    assert (tmp_path / "new" / "folder" / "predictions.jsonl").exists()


def test_a_file_that_cannot_be_written_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=f"^{tmp_path}: cannot be written: Is a directory$"):
        JsonLines.file(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "predictions.jsonl"
    with pytest.raises(SinkError, match=f"^{out}: cannot be written: "):
        JsonLines.file(out)


def test_a_full_disk_is_a_refusal_that_names_the_file_and_what_was_refused_is_not_written_later() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    sink = JsonLines.file(full)
    refusal = r"^/dev/full: cannot be written: No space left on device$"
    with pytest.raises(SinkError, match=refusal):
        sink.publish(ANY, b"line")
    assert sink.flush(1.0)
    sink.close()


@pytest.fixture
def full_after_4_kib(tmp_path: Path) -> Iterator[Path]:
    """A file on a disk that holds one page."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(tmp_path)], check=False).returncode:
        pytest.skip("needs the right to mount")
    yield tmp_path / "predictions.jsonl"
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_line_that_a_full_disk_took_only_in_part_is_taken_back(full_after_4_kib: Path) -> None:
    sink = JsonLines.file(full_after_4_kib)
    sink.publish(ANY, b"a" * 3000)
    with pytest.raises(SinkError, match="No space left on device"):
        sink.publish(ANY, b"b" * 3000)
    sink.publish(ANY, b"c")
    sink.close()
    assert full_after_4_kib.read_bytes() == b"a" * 3000 + b"\nc\n"


def test_standard_output_that_is_a_file_on_a_full_disk_has_no_hole_afterwards(full_after_4_kib: Path) -> None:
    with full_after_4_kib.open("wb", buffering=0) as out:  # as a shell opens it for `>`: not to append
        sink = JsonLines("stdout", out.fileno())
        sink.publish(ANY, b"a" * 3000)
        with pytest.raises(SinkError, match="No space left on device"):
            sink.publish(ANY, b"b" * 3000)
        sink.publish(ANY, b"c")
        sink.close()
    assert full_after_4_kib.read_bytes() == b"a" * 3000 + b"\nc\n"


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_file_that_is_made_is_for_its_owner_alone_and_one_that_was_there_keeps_its_mode(
    tmp_path: Path, umask: int
) -> None:
    made, there = tmp_path / "made", tmp_path / "there"
    there.touch(0o644)
    there.chmod(0o644)
    before = os.umask(umask)
    try:
        for path in (made, there):
            JsonLines.file(path).close()
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (made, there)] == [0o600, 0o644]


def test_a_file_that_was_renamed_or_removed_is_made_anew_with_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    out, rotated = folder / "predictions.jsonl", folder / "predictions.jsonl.1"
    sink = JsonLines.file(out)
    out.chmod(0o640)
    sink.publish(ANY, b"1")
    out.rename(rotated)
    sink.publish(ANY, b"2")
    assert (rotated.read_bytes(), out.read_bytes()) == (b"1\n", b"2\n")
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
    out.unlink()
    sink.publish(ANY, b"3")
    assert out.read_bytes() == b"3\n"
    shutil.rmtree(folder)
    sink.publish(ANY, b"4")
    assert out.read_bytes() == b"4\n"
    sink.close()


def test_a_file_that_cannot_be_made_anew_is_refused_until_it_can(tmp_path: Path) -> None:
    out = tmp_path / "out" / "predictions.jsonl"
    sink = JsonLines.file(out)
    shutil.rmtree(out.parent)
    out.parent.touch()
    with pytest.raises(SinkError, match=f"^{out}: cannot be written: "):
        sink.publish(ANY, b"1")
    assert sink.flush(0.0)
    out.parent.unlink()
    sink.publish(ANY, b"2")
    sink.close()
    assert out.read_bytes() == b"2\n"


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_a_pipe_that_nobody_reads_is_refused(pipe: Path) -> None:
    with pytest.raises(SinkError, match=f"^{pipe}: cannot be written: nobody reads the pipe$"):
        JsonLines.file(pipe)


def test_a_full_pipe_holds_back_and_blocks_nobody(pipe: Path) -> None:
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink = JsonLines.file(pipe)
    lines = [bytes([letter]) * 9000 for letter in b"abcdefghijkl"]  # more than the 64 KiB that a pipe holds
    for line in lines:
        sink.publish(ANY, line)
    assert not sink.flush(0.01)
    read = b""
    while not sink.flush(0.0):
        read += os.read(reader, 100_000)
    while len(read) < 12 * 9001:
        read += os.read(reader, 100_000)
    assert read.split() == lines
    for line in lines:
        sink.publish(ANY, line)
    with pytest.raises(SinkError, match="predictions were not taken before the end"):
        sink.close()
    os.close(reader)


def test_a_line_that_a_pipe_took_in_part_is_whole_in_what_takes_its_place(pipe: Path) -> None:
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink = JsonLines.file(pipe)
    sink.publish(ANY, b"a" * 200_000)
    assert not sink.flush(0.0)
    pipe.unlink()
    sink.publish(ANY, b"b")
    assert sink.flush(0.0)
    sink.close()
    os.close(reader)
    assert pipe.read_bytes() == b"a" * 200_000 + b"\nb\n"


def test_a_reader_that_leaves_is_told_once_or_every_line_is_refused(pipe: Path) -> None:
    left: list[bool] = []
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    told, refused = JsonLines.file(pipe, reader_left=lambda: left.append(True)), JsonLines.file(pipe)
    os.close(reader)
    for _ in range(3):
        told.publish(ANY, b"line")
        assert told.flush(0.0)
        with pytest.raises(SinkError, match="nobody reads the pipe"):
            refused.publish(ANY, b"line")
        assert refused.flush(0.0)
    assert left == [True]


def test_a_line_that_a_reader_left_in_the_middle_is_ended_before_the_next(pipe: Path) -> None:
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink = JsonLines.file(pipe)
    sink.publish(ANY, b"x" * 100_000)
    os.close(reader)
    with pytest.raises(SinkError, match="nobody reads the pipe"):
        sink.flush(0.0)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink.publish(ANY, b"whole")
    read = b""
    while not sink.flush(0.0):
        read += os.read(reader, 100_000)
    assert (read + os.read(reader, 100_000)).split()[1:] == [b"whole"]
    sink.close()
    os.close(reader)


def test_closed_standard_output_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    with pytest.raises(SinkError, match=r"^stdout: is closed"):
        JsonLines.stdout()


def test_standard_output_is_written_as_it_is_and_left_open(capfd: pytest.CaptureFixture[str]) -> None:
    sink = JsonLines.stdout()
    sink.publish(ANY, b"line")
    sink.close()
    print("after", flush=True)
    assert sink.name == "stdout"
    assert capfd.readouterr().out == "line\nafter\n"
