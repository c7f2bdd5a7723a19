"""What would stop a training at its end is said before it begins."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from daemon.cli.main import main
from daemon.exit_codes import ExitCode
from models.out_folder import OutFolderError, check_out_folder
from models.training import command
from models.training.command import train
from models.training.settings import TrainingError

pytestmark = pytest.mark.unit

Usage = namedtuple("Usage", ("total", "used", "free"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [f"{n},{('train', 'valid')[n % 2]},line {n},{('joy', 'sad')[n // 2 % 2]}" for n in range(8)]
    (folder / "manifest.csv").write_text("\n".join(["id,split,text,emotion", *rows]) + "\n")
    return folder


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def begun(*_: object) -> None:
        raise AssertionError("a part was trained")

    for name in ("_face", "_user_speech", "_speech", "_text", "_fusion"):
        monkeypatch.setattr(command, name, begun)


def test_a_folder_that_cannot_be_made_or_written_is_told_and_nothing_is_left_there(tmp_path: Path) -> None:
    check_out_folder(tmp_path / "new" / "runs")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    for out, message in (
        (tmp_path / "file" / "runs", "since .*file is a file"),
        (Path("/proc/runs"), "cannot be written"),
    ):
        with pytest.raises(OutFolderError, match=f"^{out}: .*{message}"):
            check_out_folder(out)


def test_a_full_disk_is_told_before_the_first_epoch(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 5_000_000))
    asked = ["--data", str(data), "--out", str(tmp_path / "runs")]
    assert main(["train", "text", *asked]) == ExitCode.UNAVAILABLE
    assert "5 MB are free there, and 600 MB are needed" in capsys.readouterr().err
    assert main(["calibrate", *asked]) == ExitCode.UNAVAILABLE
    assert main(["report", "--data", str(data), "--out", "/proc/report"]) == ExitCode.UNAVAILABLE


def test_settings_of_every_part_are_checked_before_the_first_is_trained(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "train.toml"
    config.write_text("[text]\nepoch = 3\n")
    with pytest.raises(TrainingError, match="text: unknown epoch"):
        train("all", data, tmp_path / "runs", config)
    (tmp_path / "runs" / "text").mkdir(parents=True)
    (tmp_path / "runs" / "text" / "training.json").write_text('{"what": "another", "finished": false}')
    with pytest.raises(TrainingError, match=r"runs/text: begun with other data or settings"):
        train("all", data, tmp_path / "runs")


def test_files_of_known_corpora_that_the_last_step_reads_are_missed_before_the_first(tmp_path: Path) -> None:
    for name in ("faces/ferplus_train.npz", "faces/ferplus_valid.npz", "speech/ravdess.csv", "speech/emodb.csv"):
        (tmp_path / "known" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "known" / name).touch()
    with pytest.raises(TrainingError, match=r"(?s)text/goemotions_train\.jsonl\.gz: no such file.*cold_zh_valid"):
        train("all", tmp_path / "known", tmp_path / "runs")
