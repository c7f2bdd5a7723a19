"""Whatever goes wrong, nothing that was said, shown or kept secret leaves the process by its logs or its status pages.

A mark is put into every kind of input and every secret, everything that can fail is made to, and all that comes out of
the process, but for the predictions, is searched for the mark.
"""

import io
import json
import socket
import struct
import threading
import urllib.error
import urllib.request
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from pydantic import BaseModel

from daemon.config.source import load
from daemon.exit_codes import ExitCode
from daemon.runtime import process
from daemon.runtime.service import Service
from daemon.scoring.prediction_builder import build_prediction
from daemon.telemetry import logs
from daemon.telemetry.instruments import Instruments
from daemon.wiring import SourceFeed, build_endpoints
from models.artifact import MANIFEST, SHIPPED
from models.model import AffectModel
from models.text.encoder import TextEncoder
from streams.channels.channel import OverflowPolicy
from streams.decoding.decode import decode_record
from streams.predictions import Prediction
from streams.records import MEDIA, Item, Modality, Record
from streams.sinks.base import SinkError
from streams.sources.base import Emit
from tests.e2e.devices import free_port

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(not (SHIPPED / MANIFEST).is_file(), reason=f"no model is shipped at {SHIPPED}"),
]

MARK = "xyzzy-7f3a"
NAME = "plugh-91c2"
"""In names of sessions and files, which logs may say and metrics may not."""

_PATIENCE_S = 60.0
_CONFIGURATION = """
[http]
bind = "127.0.0.1:{port}"
token_file = "{secret}"
[privacy]
transcript = true
[log]
level = "debug"
[[sinks]]
kind = "file"
[sinks.file]
path = "{folder}/predictions.jsonl"
[[sources]]
kind = "chat"
name = "lines"
[sources.chat]
transport = "unix"
path = "{folder}/chat.sock"
session = "room"
[[sources]]
kind = "chat"
name = "posted"
[sources.chat]
transport = "http"
[[sources]]
kind = "media"
[sources.media]
paths = ["{folder}/{name}.wav", "{folder}/{name}-2.chat.jsonl", "{folder}/{name}-3.mp4"]
[[sources]]
kind = "camera"
[sources.camera]
device = "rtsp://operator:{mark}/{mark}@127.0.0.1:{closed}/1?key={mark}"
session = "room"
[[sources]]
kind = "kafka"
[sources.kafka]
bootstrap_servers = ["127.0.0.1:{closed}"]
[sources.kafka.security]
protocol = "sasl_plaintext"
mechanism = "PLAIN"
username = "operator"
password_file = "{secret}"
"""


@dataclass
class Emitting:
    """Emits its items and then fails, by a bug, with the mark in the error."""

    items: Sequence[Item]
    name: str
    live: bool
    modalities: frozenset[Modality] = frozenset(MEDIA)

    def open(self) -> None:
        """Nothing to open."""

    def read(self, emit: Emit, stop: threading.Event) -> None:
        for item in self.items:
            emit(item)
        said = MARK
        raise ValueError(f"cannot read {said}")

    def close(self) -> None:
        raise KeyError(MARK)


@dataclass
class Refusing:
    """A sink that refuses everything, by its own error and by a bug in turn."""

    name: str = "refusing"
    refused: int = 0

    def publish(self, prediction: Prediction, line: bytes) -> None:
        self.refused += 1
        raise SinkError("refusing: full") if self.refused % 2 else ValueError(f"cannot write {line!r} {MARK}")

    def flush(self, timeout_s: float) -> bool:
        return True

    def close(self) -> None:
        raise SinkError("refusing: lost")


def png(cut: int | None) -> bytes:
    told = PngImagePlugin.PngInfo()
    told.add_text("Comment", MARK)
    out = io.BytesIO()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(out, "png", pnginfo=told)
    return out.getvalue()[:cut]


def jpeg(cut: int | None) -> bytes:
    whole = bytes(cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1])
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(MARK)) + MARK.encode()
    return (whole[:2] + comment + whole[2:])[:cut]


def wav(samples: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * samples))
    return out.getvalue() + b"LIST" + struct.pack("<I", len(MARK)) + MARK.encode()


def records(now_ns: int) -> list[Item]:
    mark = MARK.encode()
    contents: list[tuple[Modality, str, bytes]] = [
        *((Modality.VIDEO, "image/png", png(cut)) for cut in (None, 120, 200)),
        *((Modality.VIDEO, "image/jpeg", jpeg(cut)) for cut in (None, 60, 200)),
        (Modality.VIDEO, "image/jpeg", mark),
        (Modality.VIDEO, f"image/{MARK}", jpeg(None)),
        (Modality.VIDEO, f"image/png; {MARK}={MARK}", jpeg(None)),
        (Modality.AUDIO, "audio/wav", wav(1600)),
        (Modality.AUDIO, "audio/wav", wav(1600)[:40] + mark),
        (Modality.AUDIO, "audio/flac", b"fLaC" + mark),
        (Modality.AUDIO, "audio/ogg", mark),
        (Modality.AUDIO, f"audio/L16;rate={MARK};channels=1", bytes(320)),
        (Modality.AUDIO, f"audio/L16;rate=16000;endianness={MARK}", bytes(320)),
        (Modality.AUDIO, f"audio/{MARK}", bytes(320)),
        (Modality.TEXT, f"text/{MARK}", mark),
        (Modality.TEXT, f"text/plain; charset={MARK}", mark),
        (Modality.TEXT, f"text/plain; {MARK}", mark),
        (Modality.TEXT, "text/plain", mark + b"\xff"),
        (Modality.TEXT, "application/json", b'{"text": "' + mark),
        (Modality.TEXT, "application/json", b'{"text": ["' + mark + b'"]}'),
        (Modality.TEXT, "application/json", b'["' + mark + b'"]'),
        (Modality.TEXT, "application/json", b'{"text": "hi", "author": {"' + mark + b'": 1}}'),
        (Modality.TEXT, "text/plain", b"I am happy, " + mark),
    ]
    return [Record(NAME, kind, content_type, payload, now_ns, now_ns) for kind, content_type, payload in contents]


@pytest.fixture(scope="module")
def model() -> AffectModel:
    return AffectModel.load("default", "cpu")


class Strict(BaseModel):
    score: int


@pytest.fixture
def provoked(model: AffectModel, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Each step of scoring fails at first, with the mark in its error; here stands which have."""
    happened: set[str] = set()

    def first(step: str, error: Callable[[], object], well: Callable[..., Any]) -> Callable[..., Any]:
        def fails_once(*arguments: Any) -> Any:
            if step not in happened:
                happened.add(step)
                error()
            return well(*arguments)

        return fails_once

    def raises(error: Exception) -> Callable[[], object]:
        def fail() -> None:
            raise error

        return fail

    schema_refuses = first("build", lambda: Strict.model_validate({"score": MARK}), build_prediction)
    monkeypatch.setattr(AffectModel, "load", lambda folder, device, threads: model)
    monkeypatch.setattr(AffectModel, "warm_up", lambda scorer, rows: None)
    monkeypatch.setattr(AffectModel, "fuse", first("fuse", raises(RuntimeError(MARK)), AffectModel.fuse))
    monkeypatch.setattr(TextEncoder, "encode", first("encode", raises(RuntimeError(MARK)), TextEncoder.encode))
    monkeypatch.setattr(
        "streams.alignment.driver.decode_record", first("decode", raises(IndexError(MARK)), decode_record)
    )
    monkeypatch.setattr("daemon.scoring.publisher.build_prediction", schema_refuses)
    return happened


@pytest.fixture(params=["json", "human"])
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    out = io.StringIO()
    logs.configure("debug", request.param, out)
    process.log_uncaught()
    yield out
    logs.configure("warning", "json")


def ask(port: int, path: str, body: bytes | None = None, content_type: str = "text/plain") -> str:
    headers = {"authorization": f"Bearer {MARK}", "content-type": content_type}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as refusal:
        return refusal.read().decode()


def eventually(holds: Any) -> None:
    pause = threading.Event()
    while not holds():
        pause.wait(0.05)


def speak(folder: Path, port: int) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / "chat.sock"))
        for line in (
            b"%s is happy",
            b"%s \xff\xfe",
            b'{"text": "%s',
            b'{"text": 1, "%s": 2}',
            b'{"session": "%s\\u0007"}',
        ):
            client.sendall(line.replace(b"%s", MARK.encode()) + b"\n")
        client.sendall(MARK.encode() + b"x" * 100_000 + b"\n")
    ask(port, f"/chat/{NAME}", MARK.encode())
    ask(port, f"/chat/{NAME}", MARK.encode() + b"\xff")
    ask(port, f"/chat/{NAME}", MARK.encode(), f"text/{MARK}")
    ask(port, f"/chat/{NAME}", MARK.encode() * 10_000)
    ask(port, f"/chat/%07{MARK}", b"hello")


def test_nothing_that_was_said_shown_or_kept_secret_leaves_the_process(
    tmp_path: Path,
    log: io.StringIO,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    provoked: set[str],
) -> None:
    port = free_port()
    secret = tmp_path / "secret"
    secret.write_text(MARK)
    secret.chmod(0o600)
    (tmp_path / f"{NAME}.wav").write_bytes(wav(16_000)[:-20])
    (tmp_path / f"{NAME}-2.chat.jsonl").write_text(f'{{"at_s": "{MARK}", "text": "{MARK}"}}\n{MARK}\n')
    (tmp_path / f"{NAME}-3.mp4").write_text(MARK)
    file = tmp_path / "affectd.toml"
    file.write_text(
        _CONFIGURATION.format(port=port, secret=secret, folder=tmp_path, name=NAME, mark=MARK, closed=free_port())
    )
    instruments = Instruments()
    now_ns = instruments.clock.wall_ns()
    endpoints = build_endpoints(load(file, {}), instruments)
    broken = [Emitting(records(now_ns), "pipe", live=True), Emitting([], "tape", live=False)]
    feeds = [*endpoints.feeds, *(SourceFeed(source, OverflowPolicy.BLOCK, 64) for source in broken)]
    endpoints = replace(endpoints, feeds=feeds, sinks=[*endpoints.sinks, Refusing()])
    daemon = Service(load(file, {}), endpoints, instruments)
    exits: list[int] = []
    main = threading.Thread(target=lambda: exits.append(daemon.run()))
    main.start()
    eventually(lambda: "rtsp://" in str(daemon.view.status()) and "source tape is failed" in str(daemon.view.ready()))

    speak(tmp_path, port)
    monkeypatch.setattr(daemon.view, "refused", lambda reason: int(MARK))
    ask(port, f"/chat/{NAME}", b"\xff")
    eventually(lambda: provoked == {"decode", "encode", "fuse", "build"})
    eventually(lambda: MARK in (tmp_path / "predictions.jsonl").read_text())  # it was there to be found
    pages = {path: ask(port, path) for path in ("/metrics", "/status", "/readyz", "/livez")}
    daemon.stop()
    main.join(_PATIENCE_S)

    printed = capfd.readouterr()
    came_out = {"log": log.getvalue(), "stdout": printed.out, "stderr": printed.err, **pages}
    assert {name: text for name, text in came_out.items() if MARK in text} == {}
    assert NAME not in pages["/metrics"]
    assert exits == [ExitCode.BUG]
    for told in ("source broke by a bug", "a prediction was refused", "a batch failed", "rtsp://...@127.0.0.1"):
        assert told in came_out["log"]


def test_a_bug_in_a_command_is_told_without_its_words(capfd: pytest.CaptureFixture[str]) -> None:
    from daemon.cli import main as cli

    def fails(**_: Any) -> None:
        json.loads(f'{{"{MARK}')
        raise KeyError(MARK)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli.cli.commands["devices"], "callback", fails)
        assert cli.main(["devices"]) == ExitCode.BUG
    heard = capfd.readouterr()
    assert "JSONDecodeError" in heard.err
    assert MARK not in heard.out + heard.err
