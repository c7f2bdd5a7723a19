"""`affectd run` as an operator runs it: sockets, HTTP, signals, and a camera that vanishes."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.devices import free_port
from tests.e2e.test_replay import room_with, tone, write_media

pytestmark = pytest.mark.e2e

READY_S = 200.0  # a warm-up takes 12 s of an idle core; on a busy machine tests have waited for a minute
POLL_S = 0.1


class Daemon:
    """A running daemon, its port, and its predictions so far."""

    def __init__(self, process: subprocess.Popen[str], port: int, out: Path) -> None:
        self.process = process
        self.port = port
        self.out = out

    def get(self, path: str, accept: str = "*/*") -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def predictions(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.read_text().splitlines()] if self.out.exists() else []

    def until(self, holds: Callable[[], bool], what: str, within_s: float = READY_S) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            assert self.process.poll() is None, f"the daemon ended while waiting until {what}"
            assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
            time.sleep(POLL_S)  # another process is waited for: real time

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(READY_S)


@contextmanager
def daemon(folder: Path, configuration: str) -> Iterator[Daemon]:
    port, out = free_port(), folder / "predictions.jsonl"
    file = folder / "affectd.toml"
    file.write_text(
        f'[http]\nbind = "127.0.0.1:{port}"\n[[sinks]]\nkind = "file"\n[sinks.file]\npath = "{out}"\n{configuration}'
    )
    log = (folder / "log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "daemon", "run", "--config", str(file)], stderr=log, stdout=log, text=True
    )
    try:
        yield Daemon(process, port, out)
    finally:
        process.kill()
        process.wait()
        log.close()


def say(path: Path, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(line + b"\n")


def test_a_chat_socket_and_media_are_scored_answered_for_and_drained(tmp_path: Path) -> None:
    write_media(tmp_path / "clip.mp4", room_with(np.zeros((300, 260, 3), np.uint8), ()), tone(8.0))
    room = tmp_path / "room.sock"
    configuration = f"""
[[sources]]
kind = "chat"
[sources.chat]
transport = "unix"
path = "{room}"
session = "room"
[[sources]]
kind = "chat"
name = "posted"
[sources.chat]
transport = "http"
[[sources]]
kind = "media"
[sources.media]
paths = ["{tmp_path / "clip.mp4"}"]
"""
    with daemon(tmp_path, configuration) as running:
        running.until(lambda: running.get("/livez")[0] == 200, "alive")
        running.until(lambda: running.get("/readyz")[0] == 200, "ready")
        say(room, "我今天真的很开心！".encode())
        say(room, b"\xff\xfe\xfd")
        say(room, b"x" * 1_000_000)
        assert post(running.port, "/chat/lobby", b"I am so angry about this!") == 202
        assert post(running.port, "/chat/lobby", b"\xff\xfe") == 400  # and is counted, as the one over the socket

        def scored(session: str) -> bool:
            return any(each["session"] == session for each in running.predictions())

        for session in ("room", "lobby", "clip"):
            running.until(lambda session=session: scored(session), f"{session} is scored")  # type: ignore[misc]
        answers = {path: running.get(path) for path in ("/", "/livez", "/readyz", "/status", "/metrics")}
        assert {path: status for path, (status, _) in answers.items()} == dict.fromkeys(answers, 200)
        assert json.loads(answers["/status"][1])["state"] == "running"
        metrics = answers["/metrics"][1]
        assert 'affectd_dead_letters_total{reason="invalid_utf8"} 2.0' in metrics
        assert 'affectd_dead_letters_total{reason="oversized"} 1.0' in metrics
        assert running.get("/metrics", "application/openmetrics-text")[1].rstrip().endswith("# EOF")
        assert "今天" not in metrics + (tmp_path / "log").read_text(), "what was written is in a log or a metric"
        say(room, b"and one last line")
        received = 'affectd_source_records_total{modality="text",source="chat"} 3.0'
        running.until(lambda: received in running.get("/metrics")[1], "the last line is received")
        before = len(running.predictions())
        assert running.terminate() == 0
        drained = running.predictions()[before:]
        assert any(each["window"]["closed_by"] == "drain" and each["session"] == "room" for each in drained)


def test_a_file_that_is_not_required_and_cannot_be_played_is_told_and_the_rest_is_ready_and_stops_well(
    tmp_path: Path,
) -> None:
    (tmp_path / "zero.wav").write_bytes(b"")
    configuration = f"""
[[sources]]
kind = "media"
required = false
[sources.media]
paths = ["{tmp_path / "zero.wav"}"]
[[sources]]
kind = "chat"
[sources.chat]
transport = "http"
"""
    with daemon(tmp_path, configuration) as running:
        running.until(lambda: running.get("/readyz")[0] == 200, "ready")
        running.until(lambda: "zero.wav" in running.get("/status")[1], "the file is named")
        assert running.get("/readyz")[0] == 200
        assert running.terminate() == 0


def test_events_are_streamed_as_they_are_published(tmp_path: Path) -> None:
    with daemon(tmp_path, '[[sources]]\nkind = "chat"\n[sources.chat]\ntransport = "http"\n') as running:
        running.until(lambda: running.get("/readyz")[0] == 200, "ready")
        with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/events", timeout=30) as stream:
            assert post(running.port, "/chat/a%20room", b'{"text": "hello there"}', "application/json") == 202
            data = next(line for line in stream if line.startswith(b"data: "))
        prediction = json.loads(data.removeprefix(b"data: "))
        assert (prediction["schema"], prediction["session"]) == ("affectd.prediction/1", "a room")


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    unread = tmp_path / "unread"
    os.mkfifo(unread)
    reader = os.open(unread, os.O_RDONLY | os.O_NONBLOCK)  # never reads, so that a drain would take its 20 s
    configuration = f'''
[[sinks]]
kind = "file"
[sinks.file]
path = "{unread}"
[[sources]]
kind = "chat"
[sources.chat]
transport = "http"
'''
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    with daemon(tmp_path, configuration) as running:
        running.until(lambda: running.get("/readyz")[0] == 200, "ready")
        assert post(running.port, "/chat/room", b"hello") == 202
        running.process.send_signal(signal.SIGTERM)
        running.until(lambda: '"draining"' in running.get("/status")[1], "draining")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(READY_S) == 128 + signal.SIGTERM
    os.close(reader)


def test_a_signal_while_it_warms_up_ends_it_at_once(tmp_path: Path) -> None:
    with daemon(tmp_path, '[[sources]]\nkind = "chat"\n[sources.chat]\ntransport = "http"\n') as running:
        running.until(lambda: running.get("/livez")[0] == 200, "alive")
        assert running.get("/readyz")[0] == 503
        assert post(running.port, "/chat/room", b"hello") == 503, "what is not handed on is not accepted"
        asked_s = time.monotonic()
        assert running.terminate() == 0
        assert time.monotonic() - asked_s < 5, "docker kills after 10 s"


def test_a_camera_that_is_not_there_is_not_ready_and_named_while_the_rest_goes_on(tmp_path: Path) -> None:
    configuration = f"""
[[sources]]
kind = "camera"
[sources.camera]
device = "http://127.0.0.1:{free_port()}/gone.mjpeg"
session = "room"
[[sources]]
kind = "chat"
[sources.chat]
transport = "http"
"""
    with daemon(tmp_path, configuration) as running:
        running.until(lambda: "gone.mjpeg" in running.get("/readyz")[1], "the camera is named")
        assert running.get("/readyz")[0] == 503
        assert post(running.port, "/chat/room", b"can you see me?") == 202
        running.until(lambda: bool(running.predictions()), "chat is scored")
        assert not running.predictions()[0]["modalities"]["video"]["present"]
        assert running.terminate() == 0


def test_an_unknown_key_and_a_wrong_unit_end_with_78_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "affectd.toml"
    file.write_text("[windows]\nsize_ms = 4000\nwindow = 3\n")
    done = subprocess.run(
        [sys.executable, "-m", "daemon", "run", "--config", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 78
    assert f"{file.name}:2 windows.size_ms" in done.stderr
    assert "size_s" in done.stderr
    assert f"{file.name}:3 windows.window" in done.stderr


def test_an_address_in_use_ends_with_75_and_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "affectd.toml"
        file.write_text(
            f'[http]\nbind = "127.0.0.1:{port}"\n[[sources]]\nkind = "chat"\n[sources.chat]\ntransport = "http"\n'
        )
        command = [sys.executable, "-m", "daemon", "run", "--config", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 75
    assert str(port) in done.stderr


def post(port: int, path: str, body: bytes, content_type: str = "text/plain") -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", body, {"content-type": content_type}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
