"""The documents' commands do what they say, as they are printed, from a fresh shell."""

import json
import shutil
from pathlib import Path

import pytest

from tests.documents import NOT_RUN, RUN_HERE, checkout, commands, fresh_environment, rows, run_script
from tests.e2e.devices import free_port

RUN_S = 840
PORT = "9109"


def script(port: int) -> list[str]:
    """The commands in their order; the daemon stays until the end."""
    lines = list[str]()
    for command in [each for place in RUN_HERE for each in commands(*place) if each not in NOT_RUN]:
        if command.startswith("affectd run"):
            free = "AFFECTD__SOURCES__0__CHAT__ADDRESS=127.0.0.1:0"
            lines += [f"{free} {command} > scored.jsonl & daemon=$!; trap 'kill $daemon' EXIT"]
            ready = f"curl -s -o ready --retry 300 --retry-delay 1 --retry-all-errors -f http://127.0.0.1:{port}/readyz"
            lines += [ready]
        else:
            lines += [command.replace(PORT, str(port))]
    return [*lines, "trap - EXIT; kill $daemon; wait $daemon"]


@pytest.mark.e2e
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("curl") is None, reason="the documents post with curl")
def test_what_the_documents_do_without_a_broker_works_from_a_fresh_shell(tmp_path: Path) -> None:
    port = free_port()
    environment = fresh_environment(tmp_path) | {"AFFECTD__HTTP__BIND": f"127.0.0.1:{port}"}
    output = run_script(script(port), checkout(tmp_path), environment, RUN_S)
    assert '{"accepted":true}' in output
    assert 'affectd_lifecycle_state{state="running"} 1.0' in output
    scored = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]
    assert {each["session"] for each in scored} == {"room-1"}
    replayed = [json.loads(line) for line in (tmp_path / "predictions.jsonl").read_text().splitlines()]
    assert {each["session"] for each in replayed} == {"sample"}
    published = {key for each in replayed for report in each["modalities"].values() for key in report["quality"]}
    explained = {row[0].strip("`") for row in rows("daemon/README.md", "A prediction") if len(row) == 3}
    assert explained - {"eyes_open", "pitch_degrees"} == published  # those only with risk.drowsiness
