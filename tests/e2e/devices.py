"""Live devices without hardware: a microphone that is a sound server's monitor, and cameras that are network streams.

Each is a context manager over real processes or sockets, and can be taken away half-way and brought back.
"""

import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import pytest

DEADLINE_S = 60.0


def require(*programs: str) -> None:
    """Skips the test, naming what is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def ended(process: subprocess.Popen[Any]) -> None:
    """Ends a process that was started here, and waits for it."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


class SoundServer:
    """A PulseAudio with one null sink, `room`, whose monitor is the default microphone of `env`."""

    def __init__(self, folder: Path) -> None:
        require("pulseaudio", "pactl", "paplay")
        runtime = folder / "run"
        runtime.mkdir(mode=0o700)
        alsa = folder / "asound.conf"
        alsa.write_text("</usr/share/alsa/alsa.conf>\npcm.!default { type pulse }\n")
        self.env = os.environ | {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(runtime),
            "PULSE_RUNTIME_PATH": str(runtime / "pulse"),
            "ALSA_CONFIG_PATH": str(alsa),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        sink = "module-null-sink sink_name=room rate=16000 channels=1"
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1"]
        command += ["-L", "module-native-protocol-unix", "-L", sink]
        self._process = subprocess.Popen(command, env=self.env, stderr=subprocess.DEVNULL)
        ready = ["pactl", "list", "short", "sources"]
        waiting = threading.Event()
        for _ in range(100):
            listed = subprocess.run(ready, env=self.env, capture_output=True, text=True, check=False, timeout=10)
            if "room.monitor" in listed.stdout:
                return
            waiting.wait(0.1)
        pytest.fail("PulseAudio does not answer")

    def stop(self) -> None:
        if self._process is not None:
            ended(self._process)
            self._process = None

    def play(self, wav: Path) -> None:
        """Plays a file into the room, to its end."""
        subprocess.run(["paplay", "--device=room", str(wav)], env=self.env, check=True, timeout=DEADLINE_S)


def flooding_sound(folder: Path) -> dict[str, str]:
    """An environment whose default microphone gives silence hundreds of times faster than time passes."""
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)  # an empty one, lest a sound server of this machine be found and preferred
    alsa = folder / "asound.conf"
    flood = 'type file slave.pcm "null" file "/dev/null" infile "/dev/zero" format "raw"'
    alsa.write_text(f"</usr/share/alsa/alsa.conf>\npcm.!default {{ {flood} }}\n")
    return os.environ | {"HOME": str(folder), "XDG_RUNTIME_DIR": str(runtime), "ALSA_CONFIG_PATH": str(alsa)}


class Listener:
    """`tests.e2e.microphone_probe` in a process of its own; what it reports, one object a line."""

    def __init__(self, env: dict[str, str], *arguments: str) -> None:
        command = [sys.executable, "-m", "tests.e2e.microphone_probe", *arguments]
        self._process = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._reports: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        ended(self._process)
        self._reader.join(10)

    def next(self, **wanted: Any) -> dict[str, Any]:
        """The next report that has all of `wanted`; others are passed over."""
        while True:
            report = self._reports.get(timeout=DEADLINE_S)
            if report is None:
                pytest.fail(f"the listener has left before reporting {wanted}")
            if wanted.items() <= report.items():
                return report

    def records(self) -> Iterator[dict[str, Any]]:
        """Records without end."""
        while True:
            yield self.next(item="record")

    def _read(self) -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                self._reports.put(json.loads(line))
        self._reports.put(None)


@contextmanager
def rtsp_server() -> Iterator[tuple[str, str]]:
    """An RTSP server; the addresses that a camera sends to and that a viewer opens."""
    require("rtsp-server-perl", "ffmpeg")
    for_viewers, for_cameras = free_port(), free_port()
    command = ["rtsp-server-perl", "-c", str(for_viewers), "-s", str(for_cameras)]
    command += ["--client_listen_address", "127.0.0.1", "--source_listen_address", "127.0.0.1"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    waiting = threading.Event()
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", for_cameras)) == 0:
                    break
            waiting.wait(0.1)
        yield f"rtsp://127.0.0.1:{for_cameras}/cam1", f"rtsp://127.0.0.1:{for_viewers}/cam1"
    finally:
        ended(server)


@contextmanager
def rtsp_camera(address: str) -> Iterator[None]:
    """A camera of 15 pictures a second that sends to `address` while the context lasts."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=15"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15"]
    command += ["-f", "rtsp", "-rtsp_transport", "udp", address]
    camera = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        ended(camera)


class HttpCamera:
    """MJPEG over HTTP at 20 pictures a second, whose grey counts the seconds of its clock in steps of 1/20 s.

    `freeze` stops pictures and keeps the connection; `stop` closes it; `start` listens on the same port again.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}/video.mjpeg"
        self.shown = 0
        """Grey of the newest picture, set before it is sent."""
        self._frozen = threading.Event()
        self._stopped = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._stopped.clear()
        self._frozen.clear()
        camera = self

        class Viewer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
                self.end_headers()
                try:
                    camera._send(self.wfile)
                except OSError:
                    return  # the viewer has left

            def log_message(self, format: str, *args: object) -> None:
                return

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Viewer)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def freeze(self) -> None:
        self._frozen.set()

    def stop(self) -> None:
        self._stopped.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join(10)
            self._server.server_close()
            self._server = None

    def _send(self, file: Any) -> None:
        while not self._stopped.wait(0.05):
            if self._frozen.is_set():
                continue
            grey = (self.shown + 1) % 250
            _, jpeg = cv2.imencode(".jpg", np.full((120, 160, 3), grey, np.uint8))
            head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {jpeg.size}\r\n\r\n"
            self.shown = grey
            file.write(head.encode() + jpeg.tobytes() + b"\r\n")
