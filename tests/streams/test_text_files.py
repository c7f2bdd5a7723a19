"""Files that people name: what is read of them, and what is told of what is no file of text."""

import os
import socket
from pathlib import Path

import pytest

from streams.formats.text_files import FileError, open_file, read_text

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("written", ["déjà vu".encode(), "déjà vu".encode("utf-8-sig")])
def test_text_is_read_without_its_byte_order_mark(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "notes").write_bytes(written)
    assert read_text(tmp_path / "notes") == "déjà vu"


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (b"abc\xff", "is not UTF-8 text (byte 3)"),
        ("text".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
        (b"\xfe\xff" + "text".encode("utf-16-be"), "is UTF-16 text; save it as UTF-8"),
        (b"x" * (2**24 + 1), "holds more than 16 MiB"),
    ],
)
def test_what_is_no_text_is_told_so(tmp_path: Path, written: bytes, problem: str) -> None:
    (tmp_path / "notes").write_bytes(written)
    with pytest.raises(FileError) as told:
        read_text(tmp_path / "notes")
    assert str(told.value) == problem


def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for name, kind in (("pipe", "pipe"), ("socket", "socket"), (".", "folder"), ("/dev/zero", "device")):
            with pytest.raises(FileError, match=f"is a {kind}, not a file"):
                open_file(Path(name))


@pytest.mark.parametrize("name", ["absent", "absent/too", "a\0b", "x" * 300])
def test_a_file_that_is_not_there_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match="cannot be read: "):
        open_file(tmp_path / name)
