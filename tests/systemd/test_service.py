"""The shipped unit under a real systemd: ready when warm, drained on stop, killed and started again when it hangs."""

import json
import os
import shutil
import signal
import socket
import sys
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systemd import sandbox
from tests.systemd.sandbox import UNITS, Sandbox, wait_for

pytestmark = pytest.mark.systemd

_ROOT = Path(__file__).parents[2]
_UNIT = _ROOT / "deploy/systemd/affectd.service"
_WARM_WITHIN_S = 120.0  # importing torch from a cold disk, then every encoder once
_OUTPUT, _LOG = "/run/predictions.jsonl", "/run/affectd.log"

# Where things lie, and where the test reads what is printed. None of the hardening is relaxed: the checkout and the
# interpreter may lie in a home or temporary folder, which the unit hides, so they are bound below /opt. The
# interpreter is the base installation's, since a virtual environment finds it by its absolute path.
_DROP_IN = """\
[Service]
ExecStart=
ExecStart=/opt/python/bin/python{version} -m daemon run --config {units}/affectd.toml
Environment=PYTHONPATH=/opt/affectd:/opt/venv/{packages} PYTHONDONTWRITEBYTECODE=1
Environment=LD_LIBRARY_PATH=/opt/python/lib OMP_NUM_THREADS=1
StandardOutput=append:{output}
StandardError=append:{log}
WatchdogSec=10
"""
_CONFIG = """\
[[sources]]
kind = "chat"
[sources.chat]
transport = "unix"
path = "/run/affectd/chat.sock"
session = "room-1"

[[sinks]]
kind = "stdout"

[http]
bind = "127.0.0.1:{port}"
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number: int = taken.getsockname()[1]
        return number


# A camera that is away, beside a chat that is there, and little patience with the start.
_AWAY = """
[[sources]]
kind = "camera"
[sources.camera]
device = "/dev/video99"
session = "room-1"
"""


@pytest.fixture
def systemd(tmp_path: Path, port: int) -> Iterator[Sandbox]:
    """systemd with the shipped unit, not started yet."""
    if why := sandbox.missing():
        pytest.skip(why)
    shutil.copy(_UNIT, tmp_path)
    packages = Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    drop_ins = tmp_path / "affectd.service.d"
    drop_ins.mkdir()
    (drop_ins / "here.conf").write_text(
        _DROP_IN.format(version=version, packages=packages, units=UNITS, output=_OUTPUT, log=_LOG)
    )
    (tmp_path / "affectd.toml").write_text(_CONFIG.format(port=port))
    binds = {_ROOT: "/opt/affectd", Path(sys.prefix): "/opt/venv", Path(sys.base_prefix): "/opt/python"}
    running = Sandbox(tmp_path, binds)
    try:
        yield running
    finally:
        log = running.inside(_LOG)
        if log.exists():
            print(log.read_text())  # pytest shows it where the test fails
        running.stop()


def _readiness(port: int) -> int | None:
    """The status that /readyz answers with; None while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return None


def _start(systemd: Sandbox) -> None:
    systemd.systemctl("start", "affectd", timeout_s=_WARM_WITHIN_S)
    assert systemd.show("affectd")["ActiveState"] == "active"


def _state(systemd: Sandbox) -> str:
    return systemd.show("affectd")["ActiveState"]


def _say(systemd: Sandbox, text: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.connect(str(systemd.inside("/run/affectd/chat.sock")))
        channel.sendall(f"{text}\n".encode())


def _sessions(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=5) as answer:
        return int(json.load(answer)["sessions"])


def test_the_service_counts_as_started_only_once_the_model_is_warm_and_the_sources_are_open(
    systemd: Sandbox, port: int
) -> None:
    systemd.systemctl("start", "--no-block", "affectd")
    seen: list[tuple[str, int | None]] = []

    def started() -> bool:
        seen.append((_state(systemd), _readiness(port)))
        assert systemd.show("affectd")["Result"] == "success"
        return seen[-1][0] == "active"

    wait_for(started, "the service to start", _WARM_WITHIN_S)

    assert ("activating", 503) in seen, "it answers probes while it warms up, and is not ready"
    assert seen[-1] == ("active", 200)
    assert systemd.show("affectd")["StatusText"] == "scoring"


def test_stopping_publishes_what_has_begun_and_exits_with_0_in_time(systemd: Sandbox, port: int) -> None:
    _start(systemd)
    _say(systemd, "what a wonderful day")
    wait_for(lambda: _sessions(port) == 1, "the line to arrive")

    systemd.systemctl("stop", "affectd")

    shown = systemd.show("affectd")
    assert (shown["ActiveState"], shown["Result"], shown["ExecMainStatus"]) == ("inactive", "success", "0")
    published = [json.loads(line) for line in systemd.inside(_OUTPUT).read_text().splitlines()]
    assert {prediction["session"] for prediction in published} == {"room-1"}


def test_one_source_that_is_away_does_not_keep_the_service_from_starting_and_is_named(
    systemd: Sandbox, port: int
) -> None:
    configuration = systemd.inside(f"{UNITS}/affectd.toml")
    configuration.write_text(configuration.read_text() + _AWAY)
    _start(systemd)
    pid = systemd.outer_pid(int(systemd.show("affectd")["MainPID"]))

    wait_for(lambda: "source camera is waiting" in systemd.show("affectd")["StatusText"], "the camera to be named")
    assert systemd.show("affectd")["StatusText"].startswith("scoring; source camera is waiting: camera /dev/video99")
    assert _readiness(port) == 503
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert [line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core file")] == [["0", "0"]]
    _say(systemd, "what a wonderful day")
    systemd.systemctl("kill", "--signal=SIGHUP", "affectd")
    wait_for(lambda: "reload is not supported" in systemd.inside(_LOG).read_text(), "the hang-up to be told")
    systemd.systemctl("stop", "affectd")
    shown = systemd.show("affectd")
    assert (shown["Result"], shown["ExecMainStatus"], shown["NRestarts"]) == ("success", "0", "0")
    assert systemd.inside(_OUTPUT).read_text().count('"session":"room-1"') > 0, "a line was lost by a hang-up"


def test_a_service_that_hangs_is_killed_by_the_watchdog_and_started_again(systemd: Sandbox) -> None:
    _start(systemd)
    hung = systemd.show("affectd")["MainPID"]

    os.kill(systemd.outer_pid(int(hung)), signal.SIGSTOP)

    wait_for(lambda: systemd.show("affectd")["Result"] == "watchdog", "the watchdog", timeout_s=60)
    wait_for(lambda: systemd.show("affectd")["NRestarts"] == "1", "the restart")
    wait_for(lambda: systemd.show("affectd")["MainPID"] not in ("0", hung), "the new process")
