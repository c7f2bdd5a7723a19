"""The clients that daemon/README.md prints read what the HTTP server sends, as they are printed."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.http.access import Access
from daemon.http.app import build_app
from daemon.http.feed import EventFeed, Listener
from daemon.http.server import HttpServer
from streams.clock import ManualClock
from streams.decoding.decode import Limits
from streams.predictions import Level, Prediction
from tests.daemon.making import deadline
from tests.daemon.predicting import prediction
from tests.daemon.test_http import StubDaemon
from tests.documents import blocks

pytestmark = pytest.mark.unit

SIGN, SECTION = "daemon/README.md", "A prediction"
PRINTED_PORT = "9109"
PATIENCE_S = 60


class WatchedFeed(EventFeed):
    """Tells when somebody listens: a listener gets only what is published from then on."""

    def __init__(self) -> None:
        super().__init__()
        self.has_listener = threading.Event()

    def listen(self) -> Listener | None:
        listener = super().listen()
        self.has_listener.set()
        return listener

    def send(self, *published: Prediction) -> None:
        assert self.has_listener.wait(PATIENCE_S)
        for each in published:
            self.publish("prediction", each.id, each.json_line().decode())


Served = tuple[WatchedFeed, int]
Start = Callable[[list[str]], subprocess.Popen[str]]


@pytest.fixture
def served() -> Iterator[Served]:
    """The server's feed of events, and its port."""
    daemon, feed = StubDaemon(), WatchedFeed()
    app = build_app(daemon, feed, ManualClock(), Limits(), Access())
    server = HttpServer("127.0.0.1:0", app, feed, daemon.http_refused)
    server.start()
    yield feed, server.port
    server.stop(deadline())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a client that goes on for ever, and ends it with all that it started."""
    started = list[subprocess.Popen[str]]()

    def begin(command: list[str]) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        started.append(
            subprocess.Popen(
                command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
            )
        )
        return started[-1]

    yield begin
    for client in started:
        os.killpg(client.pid, signal.SIGKILL)
        client.communicate()


def printed(language: str, port: int) -> str:
    (code,) = blocks(SIGN, language, SECTION)
    assert PRINTED_PORT in code
    return code.replace(PRINTED_PORT, str(port))


def lines_of(client: subprocess.Popen[str], wanted: int) -> list[str]:
    """Its first lines, of which there must be so many in time."""
    watchdog = threading.Timer(PATIENCE_S, client.kill)
    watchdog.start()
    assert client.stdout is not None
    lines = [client.stdout.readline().rstrip("\n") for _ in range(wanted)]
    watchdog.cancel()
    assert all(lines), "the client ended, or was ended because it printed too little"
    return lines


@pytest.mark.parametrize(
    ("language", "run"),
    [
        pytest.param(
            "bash",
            ["bash", "-c"],
            marks=pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="needs curl and jq"),
        ),
        pytest.param(
            "javascript",
            ["node", "--input-type=module", "-e"],
            marks=pytest.mark.skipif(shutil.which("node") is None, reason="needs Node"),
        ),
    ],
)
def test_a_printed_client_shows_predictions_as_they_come(
    served: Served, start: Start, language: str, run: list[str]
) -> None:
    feed, port = served
    client = start([*run, printed(language, port)])
    feed.send(prediction(0), prediction(1, level="critical"))
    assert [line.split() for line in lines_of(client, 2)] == [
        ["room", "2000-01-01T00:00:00Z", "sadness", "medium"],
        ["room", "2000-01-01T00:00:01Z", "sadness", "critical"],
    ]


STRETCHES: list[tuple[int, Level]] = [
    *((at_s, "high") for at_s in range(4)),  # one line of chat, in four windows: one alert
    (4, "none"),
    (5, "critical"),  # it overlaps the stretch, and is higher: one more
    (6, "high"),
    *((at_s, "medium") for at_s in range(7, 20)),
    (20, "high"),  # another stretch
    (40, "critical"),  # and the last
]


def test_the_printed_python_client_alerts_once_for_each_stretch_of_high_risk(served: Served, start: Start) -> None:
    feed, port = served
    client = start([sys.executable, "-c", printed("python", port)])
    feed.send(*(prediction(at_s, level=level) for at_s, level in STRETCHES))
    assert [line.split()[1:] for line in lines_of(client, 4)] == [
        ["2000-01-01T00:00:00+00:00", "high"],
        ["2000-01-01T00:00:05+00:00", "critical"],
        ["2000-01-01T00:00:20+00:00", "high"],
        ["2000-01-01T00:00:40+00:00", "critical"],
    ]
