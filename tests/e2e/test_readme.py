"""README's commands do what it says, as it prints them."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from daemon.cli.main import cli
from tests.e2e.devices import free_port
from tests.readme import ROOT, checkout, commands, fresh_environment, sections

RUN_S = 840
PORT = "9109"
PRINTED = [command for section in sections() for command in commands(section)]


@pytest.mark.e2e
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("curl") is None, reason="README posts with curl")
def test_what_readme_does_first_works_from_a_fresh_shell(tmp_path: Path) -> None:
    port = str(free_port())
    script = []
    for command in commands("Use it"):
        if command.startswith("affectd run"):
            free = "AFFECTD__SOURCES__0__CHAT__ADDRESS=127.0.0.1:0"
            script += [f"{free} {command} > scored.jsonl & daemon=$!; trap 'kill $daemon' EXIT"]
            ready = f"curl -s -o ready --retry 90 --retry-delay 1 --retry-all-errors -f http://127.0.0.1:{port}/readyz"
            script += [ready]
        else:
            script += [command.replace(PORT, port)]
    script += ["trap - EXIT; kill $daemon; wait $daemon"]
    environment = fresh_environment(tmp_path) | {"AFFECTD__HTTP__BIND": f"127.0.0.1:{port}"}
    done = subprocess.run(
        ["bash", "-ec", "\n".join(script)],
        cwd=checkout(tmp_path),
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '{"accepted":true}' in done.stdout
    replayed = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert {each["session"] for each in replayed} == {"sample"}
    scored = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]
    assert {each["session"] for each in scored} == {"room-1"}


@pytest.mark.unit
@pytest.mark.parametrize("command", [each for each in PRINTED if each.startswith("affectd ")])
def test_every_command_of_readme_is_understood(command: str) -> None:
    _, name, *arguments = shlex.split(command)
    cli.commands[name].make_context(name, arguments, parent=click.Context(cli))


@pytest.mark.unit
def test_the_files_that_readme_names_in_its_commands_are_there() -> None:
    named = {
        word
        for command in PRINTED
        for word in command.split()
        if word.startswith(("deploy/", "daemon/")) and "*" not in word
    }
    assert named >= {"daemon/sample/sample.mp4", "deploy/config/example.toml"}
    assert {word for word in named if not (ROOT / word).exists()} == set()
