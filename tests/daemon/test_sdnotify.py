"""What systemd hears, on a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.runtime.sdnotify import ServiceNotifier

pytestmark = pytest.mark.unit


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@affectd-test-{os.getpid()}-{id(request)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(address.replace("@", "\0", 1))
        server.settimeout(5)
        yield server, address


def test_systemd_hears_ready_alive_and_stopping_each_as_one_message(listener: tuple[socket.socket, str]) -> None:
    server, address = listener
    notifier = ServiceNotifier.from_environment({"NOTIFY_SOCKET": address})
    notifier.status("warming up")
    notifier.ready("running: 2 sources")
    notifier.alive()
    notifier.stopping("draining\nREADY=1", 30.5)
    heard = [server.recv(4096).decode() for _ in range(4)]
    assert heard == [
        "STATUS=warming up",
        "READY=1\nSTATUS=running: 2 sources",
        "WATCHDOG=1",
        "STOPPING=1\nEXTEND_TIMEOUT_USEC=30500000\nSTATUS=draining READY=1",
    ]


def test_outside_systemd_nothing_is_sent_and_nothing_fails() -> None:
    notifier = ServiceNotifier.from_environment({})
    notifier.ready("running")
    assert notifier.watchdog_s is None


def test_a_socket_that_is_gone_does_not_stop_the_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notifier = ServiceNotifier(str(tmp_path / "gone"))
    for _ in range(20):
        notifier.alive()
    heard = capsys.readouterr()
    assert (heard.out + heard.err).count("systemd cannot be told") == 1


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "20000000"}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "42"}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
        ({"WATCHDOG_USEC": "9" * 5_000}, None),
    ],
)
def test_the_watchdog_interval_is_for_this_process_only(environ: dict[str, str], expected: float | None) -> None:
    assert ServiceNotifier.from_environment(environ, pid=42).watchdog_s == expected
