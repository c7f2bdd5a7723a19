"""Predictions as JSON lines."""

import io
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


def test_a_full_disk_is_a_refusal_that_names_the_file_and_so_is_its_close() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    sink = JsonLines.file(full)
    refusal = r"^/dev/full: cannot be written: No space left on device$"
    with pytest.raises(SinkError, match=refusal):
        sink.publish(ANY, b"line")
    assert sink.flush(1.0)
    with pytest.raises(SinkError, match=refusal):
        sink.close()


def test_standard_output_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written))
    sink = JsonLines.stdout()
    sink.publish(ANY, b"line")
    sink.close()
    assert sink.name == "stdout"
    assert written.getvalue() == b"line\n"
