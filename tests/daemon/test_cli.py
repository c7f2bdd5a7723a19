"""The command line: what it prints where, and the exit status of each kind of end."""

import importlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from daemon.cli.main import main
from daemon.config.errors import ConfigurationError
from daemon.config.source import load
from daemon.exit_codes import STATUS_BY_ERROR, ExitCode, exit_code
from daemon.http.server import CannotBind
from daemon.version import package_version
from models.artifact import ModelError
from models.data.user.manifest import ManifestError
from models.metrics.labelled_rows import EvaluationError
from models.training.command import TASKS
from models.training.settings import TrainingError
from streams.delivery.crash_journal import CrashJournalError
from streams.kafka.checks import ChecksFailed
from streams.kafka.connection import ConnectionProblem
from streams.kafka.errors import BrokerUnavailable
from streams.kafka.reachability import Refused, Unreachable
from streams.kafka.resubmissions import TooManyRanges
from streams.sources.base import SourceError

pytestmark = pytest.mark.unit

COMMANDS = (
    *("run", "demo", "replay", "check-config", "show-config", "profiles", "doctor", "devices", "evaluate", "bench"),
    *("train", "calibrate", "report", "produce", "dead-letters", "explain", "transcribe"),
)
Captured = pytest.CaptureFixture[str]


def test_help_lists_every_command(capsys: Captured) -> None:
    assert main(["--help"]) == ExitCode.OK
    assert set(COMMANDS) == set(re.findall(r"^  ([a-z-]+)  ", capsys.readouterr().out.partition("Commands:")[2], re.M))


def test_the_version_is_that_of_the_package(capsys: Captured) -> None:
    assert main(["--version"]) == ExitCode.OK
    assert capsys.readouterr().out == f"affectd, version {package_version()}\n"


def test_every_exit_code_is_told_by_help(capsys: Captured) -> None:
    main(["--help"])
    shown = capsys.readouterr().out
    told = shown[shown.index("Exit codes:") :].partition(";")[0]
    assert set(re.findall(r"\b\d{1,2}\b", told)) >= {str(int(code)) for code in ExitCode}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_tab_key_completes_commands_as_help_says(tmp_path: Path) -> None:
    (tmp_path / "affectd").write_text(f'#!/bin/sh\nexec {sys.executable} -m daemon "$@"\n')
    (tmp_path / "affectd").chmod(0o755)
    script = (
        f'PATH="{tmp_path}:$PATH"; eval "$(_AFFECTD_COMPLETE=bash_source affectd)"; '
        'COMP_WORDS=(affectd che) COMP_CWORD=1; _affectd_completion affectd; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "check-config\n", done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["bogus"],
        ["replay"],
        ["demo", "--speed", "0"],
        ["replay", "x", "--start", "a"],
        ["bench", "x"],
        ["train", "faces", "--data", ".", "--out", "out"],
        ["train", "all", "--data", "."],
        ["explain"],
        ["explain", "x", "--at", "-1"],
        ["explain", "x", "--at", "nan"],
        ["explain", "x", "--at", "1e308"],
        ["demo", "--speed", "1e308"],
        ["replay", "x", "--speed", "nan"],
        ["replay", "x", "--channels", "agent,agent"],
        ["explain", "x", "--channels", "agent,"],
        ["produce", "x", "--channels", "x" * 300],
        ["explain", "x", "--target", "joy"],
        ["calibrate", "--data", "."],
        ["report"],
        ["report", "--data", ".", "--rows", "0"],
        ["produce"],
        ["produce", "x", "--bootstrap-servers", "nowhere"],
        ["produce", "x", "--pictures", "gif"],
        ["dead-letters", "bogus"],
        ["dead-letters", "--offset", "7"],
        ["dead-letters", "replay", "--since", "yesterday"],
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(arguments: list[str], capsys: Captured) -> None:
    assert main(arguments) == ExitCode.USAGE
    heard = capsys.readouterr()
    assert heard.out == ""
    assert "Usage: affectd" in heard.err


def test_a_bad_configuration_is_reported_whole_on_stderr(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("[windows]\nsize_s = 0\nstep_ms = 1\n")
    assert main(["check-config", str(file)]) == ExitCode.CONFIGURATION
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.splitlines() == [
        f"{file}:2 windows.size_s: must be at least 0.01 (is 0)",
        f"{file}:3 windows.step_ms: unknown key; it is set in seconds, as step_s",
        f"{file} sources: none is configured; give at least one [[sources]] table",
    ]


def test_a_good_configuration_is_said_to_be_good(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "good.toml"
    file.write_text("[windows]\nsize_s = 2\n[[sources]]\nkind = 'chat'\nchat = { transport = 'http' }\n")
    assert main(["check-config", str(file)]) == ExitCode.OK
    assert capsys.readouterr().err == f"{file}: good\n"


@pytest.mark.parametrize("name", ["example.toml", "reference.toml"])
def test_what_show_config_prints_is_a_configuration_that_means_the_same(
    name: str, tmp_path: Path, capsys: Captured
) -> None:
    file = Path(__file__).parents[2] / "deploy" / "config" / name
    assert main(["show-config", str(file), "--set", "windows.size_s=3"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert tomllib.loads(shown)["windows"]["size_s"] == 3
    (tmp_path / "shown.toml").write_text(shown)
    assert load(tmp_path / "shown.toml", {}) == load(file, {}, ["windows.size_s=3"])


def test_running_without_sources_is_a_configuration_error(capsys: Captured) -> None:
    assert main(["run"]) == ExitCode.CONFIGURATION
    assert capsys.readouterr().err.startswith("sources: none is configured")


@pytest.mark.parametrize("command", [["produce", "x"], ["dead-letters"], ["dead-letters", "replay"]])
def test_the_cluster_is_that_of_a_configuration_or_of_a_broker_not_both(
    command: list[str], tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "no-kafka.toml"
    file.write_text("[windows]\nsize_s = 2\n")
    assert main([*command, "--config", str(file)]) == ExitCode.CONFIGURATION
    assert capsys.readouterr().err == f"{file}: sources: none is of kind kafka; it says which cluster is meant\n"
    assert main([*command, "--config", str(file), "--bootstrap-servers", "127.0.0.1:9092"]) == ExitCode.USAGE
    assert "give one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError(["x"]), ExitCode.CONFIGURATION),
        (ConnectionProblem("x"), ExitCode.CONFIGURATION),
        (Refused("x"), ExitCode.CONFIGURATION),
        (Unreachable("x"), ExitCode.UNAVAILABLE),
        (ChecksFailed(["x"]), ExitCode.UNAVAILABLE),
        (BrokerUnavailable("x"), ExitCode.UNAVAILABLE),
        (TooManyRanges("x"), ExitCode.USAGE),
        (SourceError("x"), ExitCode.BAD_DATA),
        (EvaluationError("x"), ExitCode.BAD_DATA),
        (ManifestError("x"), ExitCode.BAD_DATA),
        (TrainingError("x"), ExitCode.BAD_DATA),
        (ModelError("x"), ExitCode.CONFIGURATION),
        (CannotBind("x"), ExitCode.UNAVAILABLE),
        (CrashJournalError("another process uses the folder"), ExitCode.UNAVAILABLE),
        (KeyError("x"), ExitCode.BUG),
        (MemoryError(), ExitCode.UNAVAILABLE),
        (PermissionError("x"), ExitCode.UNAVAILABLE),
    ],
)
def test_each_kind_of_error_has_its_status(error: Exception, code: ExitCode) -> None:
    assert exit_code(error) is code


@pytest.mark.parametrize("name", STATUS_BY_ERROR)
def test_the_errors_that_have_a_status_exist(name: str) -> None:
    module, _, kind = name.rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), kind), Exception)


@pytest.mark.parametrize(
    "error", ["MemoryError()", "KeyError('what was said')", "OSError(28, 'No space left on device')"]
)
def test_nothing_is_imported_to_tell_of_an_error(error: str) -> None:
    code = f"""
import sys
from daemon.cli import main as cli
before = set()
def fails(**_):
    before.update(sys.modules)
    raise {error}
cli.cli.commands["devices"].callback = fails
status = cli.main(["devices"])
print(status, sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == ("70 []\n" if "Key" in error else "75 []\n")
    assert "what was said" not in done.stderr
    assert any(told in done.stderr for told in ("not enough memory", "KeyError", "No space left on device"))


def test_training_offers_every_task(capsys: Captured) -> None:
    assert main(["train", "--help"]) == ExitCode.OK
    assert "{" + "|".join(TASKS) + "}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "speech", "--out", "out"], "holds no manifest.csv; nor is there a known corpus"),
        (["train", "fusion", "--out", "out"], "fusion needs the parts that are trained first"),
        (["calibrate", "--out", "out"], "holds no manifest.csv"),
        (["train", "face", "--out", "out", "--config", "none.toml"], "none.toml: cannot be read: No such file"),
        (["report"], "holds no manifest.csv; nor is there the validation part of a known corpus"),
    ],
)
def test_data_that_is_not_there_is_named(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--data", str(tmp_path)]) == ExitCode.BAD_DATA
    heard = capsys.readouterr()
    assert heard.out == ""
    assert message in heard.err


def test_a_reader_that_left_before_the_first_line_has_the_status_of_a_broken_pipe() -> None:
    command = f"{{ sleep 0.1; {sys.executable} -m daemon show-config; echo $? >&2; }} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines() == ["141"]


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    command = f"set -o pipefail; for i in 1 2 3; do {sys.executable} -m daemon show-config | true; done"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
