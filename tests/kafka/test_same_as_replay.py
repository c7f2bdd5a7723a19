"""Sessions give the same through Kafka as by `affectd replay`.

However many instances share them.

Real commands, the shipped model and a real broker: `affectd produce` writes eight sessions of all three modalities,
one or three `affectd run` read them, from a backlog or as they come.
"""

import itertools
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from kafka.errors import KafkaError

from daemon.sample import SAMPLE
from tests.e2e.devices import free_port
from tests.e2e.test_replay import FPS, write_media
from tests.kafka.conftest import Topics
from tests.kafka.reading import everything

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

SESSIONS = 8
LENGTH_S = 10
APART_S = 4  # between the beginnings of sessions in the sample
RATE_HZ = 16_000
PATIENCE_S = 240.0  # three instances on two cores load three models
POLL_S = 0.2
IDLE_AFTER_S = 8.0  # above what a busy machine may keep a producer from writing: that would be silence

Predictions = dict[str, dict[str, Any]]


def cut(folder: Path, number: int) -> None:
    """Session `number`: ten seconds of the sample with their lines."""
    start_s, name = number * APART_S, f"room-{number}"
    write_media(folder / f"{name}.mp4", _pictures(start_s), _sound(start_s))
    lines = [json.loads(line) for line in SAMPLE.with_suffix(".chat.jsonl").read_text("utf-8").splitlines()]
    there = [line | {"at_s": line["at_s"] - start_s} for line in lines if 0 <= line["at_s"] - start_s < LENGTH_S]
    there.append({"at_s": LENGTH_S - 0.5, "text": f"Goodbye from room {number}!"})
    (folder / f"{name}.chat.jsonl").write_text("".join(json.dumps(line) + "\n" for line in there), "utf-8")


def _pictures(start_s: int) -> Iterator[np.ndarray[Any, Any]]:
    with av.open(str(SAMPLE)) as container:
        frames = itertools.islice(container.decode(video=0), start_s * FPS, (start_s + LENGTH_S) * FPS)
        for frame in frames:
            yield frame.to_ndarray(format="bgr24")


def _sound(start_s: int) -> np.ndarray[Any, Any]:
    with av.open(str(SAMPLE)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
        pieces = [piece.to_ndarray()[0] for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    return np.concatenate(pieces)[start_s * RATE_HZ : (start_s + LENGTH_S) * RATE_HZ]


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sessions")
    for number in range(SESSIONS):
        cut(folder, number)
    return folder


@pytest.fixture(scope="module")
def replayed(sessions: Path, tmp_path_factory: pytest.TempPathFactory) -> Predictions:
    found = replayed_at(sessions, tmp_path_factory.mktemp("replayed") / "predictions.jsonl")
    assert {each["session"] for each in found.values()} == {f"room-{number}" for number in range(SESSIONS)}
    return found


def affectd(*arguments: object) -> None:
    done = subprocess.run([*AFFECTD, *map(str, arguments)], capture_output=True, text=True, check=False, env=ENVIRON)
    assert done.returncode == 0, done.stderr


AFFECTD = (sys.executable, "-m", "daemon")
ENVIRON = os.environ | {"OMP_NUM_THREADS": "1"}


class Instance:
    """One `affectd run`."""

    def __init__(self, folder: Path, configuration: str) -> None:
        self.port = free_port()
        self.log = folder / f"{self.port}.log"
        file = folder / f"{self.port}.toml"
        file.write_text(f'{configuration}\n[http]\nbind = "127.0.0.1:{self.port}"\n')
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*AFFECTD, "run", "--config", str(file)], stderr=log, env=ENVIRON)

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError:
            return False
        except OSError:  # not listening yet
            return False

    def terminate(self) -> None:
        self.process.terminate()
        assert self.process.wait(PATIENCE_S) == 0, self.log.read_text()


@contextmanager
def running(count: int, topics: Topics, folder: Path) -> Iterator[list[Instance]]:
    instances = [Instance(folder, configuration(topics)) for _ in range(count)]
    try:
        yield instances
    finally:
        for instance in instances:
            instance.process.kill()
            instance.process.wait()


def configuration(topics: Topics, session_timeout_s: float = 10.0) -> str:
    return f"""
[[sources]]
kind = "kafka"
[sources.kafka]
bootstrap_servers = ["{topics.cluster.bootstrap}"]
group_id = "{topics.group}"
session_timeout_s = {session_timeout_s}
video_topic = "{topics.video}"
audio_topic = "{topics.audio}"
text_topic = "{topics.text}"
[[sinks]]
kind = "kafka"
[sinks.kafka]
predictions_topic = "{topics.predictions}"
alerts_topic = "{topics.alerts}"
dead_letters_topic = "{topics.dead_letters}"
[windows]
idle_after_s = {IDLE_AFTER_S}
[model]
threads = 1
[privacy]
transcript = true
[transcription]
model = "tiny"
language = "en"
when_behind = "wait"
"""


def replayed_at(paths: Path, out: Path, *options: str) -> Predictions:
    """What `affectd replay` makes of the files with the same configuration."""
    same = ("privacy.transcript=true", "transcription.model=tiny", "transcription.language=en", "model.threads=1")
    affectd("replay", paths, "--out", out, *options, *(part for setting in same for part in ("--set", setting)))
    return {each["id"]: each for each in map(json.loads, out.read_text("utf-8").splitlines())}


def produce(sessions: Path, topics: Topics, folder: Path, speed: str) -> None:
    file = folder / "produce.toml"
    file.write_text(configuration(topics))
    start = "2000-01-01T00:00:00Z"  # where replay starts
    affectd("produce", sessions, "--config", file, "--speed", speed, "--start", start)


def published(topics: Topics) -> list[dict[str, Any]]:
    return [json.loads(message.value) for message in everything(topics.cluster.bootstrap, topics.predictions)]


def until(holds: Callable[[], object], what: str) -> None:
    """Waits; a broker that gets no processor for some seconds is none of the cluster meanwhile, and asked again."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        with suppress(KafkaError):
            if holds():
                return
        assert time.monotonic() < deadline_s, f"not within {PATIENCE_S:g} s: {what}"
        time.sleep(POLL_S)  # other processes are waited for: real time


@pytest.mark.parametrize("instances", [1, 3])
@pytest.mark.parametrize("backlog", [True, False], ids=["backlog", "as_it_comes"])
def test_what_is_published_is_what_replay_says(
    instances: int, backlog: bool, sessions: Path, replayed: Predictions, topics: Topics, tmp_path: Path
) -> None:
    topics.create()
    if backlog:
        produce(sessions, topics, tmp_path, "max")
    with running(instances, topics, tmp_path) as started:
        if not backlog:
            until(lambda: all(each.ready() for each in started), "all instances are ready")
            produce(sessions, topics, tmp_path, "2")
        until(lambda: {each["id"] for each in published(topics)} >= replayed.keys(), "all that replay says")
        for instance in started:
            instance.terminate()
    found = published(topics)
    assert {each["id"] for each in found} == replayed.keys()
    for each in found:
        assert_same(each, replayed[each["id"]])


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Asserts that two predictions of one window are the same.

    Only when and how it was closed and computed depends on the pace.
    """
    assert one["emotion"]["probabilities"] == pytest.approx(other["emotion"]["probabilities"], abs=1e-5)
    assert one["risk"]["categories"] == pytest.approx(other["risk"]["categories"], abs=1e-5)
    differing = [path for path, a, b in pairs(content(one), content(other)) if a != pytest.approx(b, abs=1e-4)]
    assert not differing, f"{one['session']} {one['window']['start']}"


def content(prediction: dict[str, Any]) -> dict[str, Any]:
    """All but what tells of the pace."""
    window = {edge: prediction["window"][edge] for edge in ("start", "end")}
    return {key: value for key, value in prediction.items() if key not in ("timing", "alignment")} | {"window": window}


def pairs(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Pairs the values of two JSON objects, missing ones with None."""
    match one, other:
        case dict(), dict():
            for key in one.keys() | other.keys():
                yield from pairs(one.get(key), other.get(key), f"{path}.{key}")
        case list(), list():
            for at, (a, b) in enumerate(itertools.zip_longest(one, other)):
                yield from pairs(a, b, f"{path}[{at}]")
        case _:
            yield path, one, other
