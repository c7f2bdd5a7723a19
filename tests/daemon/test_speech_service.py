"""The daemon with a recogniser: what was said is private, and one that computes nothing any more ends the service."""

import io
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from daemon.config import Config
from daemon.config.sections import (
    HttpSettings,
    ModelSettings,
    PrivacySettings,
    TranscriptionSettings,
)
from daemon.exit_codes import ExitCode
from daemon.runtime.service import Service
from daemon.scoring import threads
from daemon.telemetry import logs
from daemon.telemetry.instruments import Instruments
from daemon.wiring import SourceFeed, stored_endpoints
from models.artifact import MANIFEST, SHIPPED
from models.model import AffectModel
from models.transcription.recognition import Recognition, Word
from streams.channels.channel import OverflowPolicy
from streams.records import EndOfSession, Item, Modality
from tests.daemon.hearing import chunks, said
from tests.daemon.making import counted
from tests.daemon.test_service import InMemory, Kept, at_once, eventually
from tests.e2e.devices import free_port

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(not (SHIPPED / MANIFEST).is_file(), reason=f"no model is shipped at {SHIPPED}"),
]

MARK = "xyzzyseven"
"""What the recogniser hears in everything."""

_PATIENCE_S = 120.0


class Hears:
    """Implements `daemon.scoring.transcription.SpeechRecognizer`: two words in everything."""

    name, digest = "fake", "sha256:0"

    def __init__(self, error: Exception, fails: int = 1, fails_example: bool = False) -> None:
        """fails: how many calls raise the error, of utterances alone or of the example too."""
        self.heard = 0
        self._error = error
        self._fails = fails
        self._fails_example = fails_example

    def prepare(self, pcm: Any) -> Any:
        return np.asarray(pcm).size

    def recognize(self, utterances: Sequence[tuple[str, Any]]) -> list[Recognition]:
        if self._fails and (self._fails_example or utterances[0][1]):
            self._fails -= 1
            raise self._error
        self.heard += len(utterances)
        words = Word(MARK, 0.3, 0.6, 0.9), Word("indeed", 0.6, 0.9, 0.9)
        return [Recognition(words, "en", 0.8, None)] * len(utterances)

    def example(self) -> Any:
        return 0

    def forget(self, session: str) -> None:
        """Nothing is remembered."""


@pytest.fixture(scope="module", autouse=True)
def model() -> Iterator[AffectModel]:
    loaded = AffectModel.load("default", "cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AffectModel, "load", lambda folder, device, threads: loaded)
        yield loaded


@pytest.fixture(scope="module")
def talk() -> list[Item]:
    pcm = said(["The kettle is on the stove.", "Please close the window."], pause_s=0.8)
    return [*chunks(pcm), EndOfSession("room")]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    out = io.StringIO()
    logs.configure("debug", "json", out)
    yield out
    logs.configure("warning", "json")


def configured(port: int | None = None, transcript: bool = False, enabled: bool = True) -> Config:
    return Config(
        http=HttpSettings(bind=f"127.0.0.1:{port}" if port else ""),
        model=ModelSettings(device="cpu"),
        privacy=PrivacySettings(transcript=transcript),
        transcription=TranscriptionSettings(enabled=enabled),
    )


def service(config: Config, source: InMemory, sink: Kept, of: Instruments | None = None) -> Service:
    feed = SourceFeed(source, OverflowPolicy.BLOCK, 64)
    return Service(config, stored_endpoints(config, feed, sink), of or Instruments())


def hears(monkeypatch: pytest.MonkeyPatch, recognizer: Hears) -> Hears:
    monkeypatch.setattr(threads, "load_recognizer", lambda config: recognizer)
    return recognizer


def sound(talk: list[Item]) -> InMemory:
    return InMemory(talk, modalities=frozenset({Modality.AUDIO}))


@pytest.mark.parametrize("transcript", [False, True])
def test_what_was_said_leaves_the_process_by_predictions_alone_and_only_where_that_is_allowed(
    transcript: bool,
    talk: list[Item],
    log: io.StringIO,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recognizer = hears(monkeypatch, Hears(RuntimeError(f"cannot read {MARK}")))
    source, sink, port = sound(talk), Kept(), free_port()
    daemon = service(configured(port, transcript), source, sink)
    exits: list[int] = []
    main = threading.Thread(target=lambda: exits.append(daemon.run()))
    main.start()
    eventually(lambda: answers(port))
    events: list[str] = []
    reader = threading.Thread(target=lambda: events.append(page(port, "/events")))
    reader.start()
    source.may_open.set()
    eventually(lambda: any(each.modalities.text.present for each in sink.predictions))
    pages = {path: page(port, path) for path in ("/metrics", "/status", "/readyz", "/livez", "/")}
    source.may_end.set()
    main.join(_PATIENCE_S)
    reader.join(_PATIENCE_S)

    assert exits == [ExitCode.OK]
    assert recognizer.heard > 0
    assert 'affectd_utterances_total{outcome="transcribed"}' in pages["/metrics"]
    printed = capfd.readouterr()
    kept = {"log": log.getvalue(), "stdout": printed.out, "stderr": printed.err, **pages}
    assert {name: text for name, text in kept.items() if MARK in text} == {}
    assert "a batch failed" in kept["log"]
    published = "".join(each.json_line().decode() for each in sink.predictions)
    assert (MARK in published) is transcript
    assert (MARK in events[0]) is transcript
    assert '"present":true' in published


def answers(port: int) -> bool:
    try:
        return bool(page(port, "/livez"))
    except OSError:
        return False


def page(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=_PATIENCE_S) as answer:
        return str(answer.read().decode())


def test_where_transcription_is_off_no_recogniser_is_loaded_and_nobody_listens(
    talk: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a recogniser is loaded")

    monkeypatch.setattr("models.transcription.recognizer.Recognizer.load", never)
    monkeypatch.setattr("models.speech.voice_stream.VoiceStream.__init__", never)
    of, sink = Instruments(), Kept()
    assert service(configured(enabled=False), at_once(sound(talk)), sink, of).run() == ExitCode.OK
    assert sink.predictions
    assert not any(each.modalities.text.present for each in sink.predictions)
    assert any(each.modalities.audio.present for each in sink.predictions)
    assert "affectd_utterances_total{" not in of.metrics.render("")[0].decode()


def test_a_recogniser_that_computes_nothing_any_more_ends_the_service_and_the_exit_says_so(
    talk: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    hears(monkeypatch, Hears(RuntimeError("the device is gone"), fails=1000, fails_example=True))
    daemon = service(configured(), at_once(sound(talk)), Kept())
    assert daemon.run() == ExitCode.DEVICE_FAULT
    assert not daemon.view.live().ok


def test_an_utterance_that_cannot_be_recognised_costs_its_words_only(
    talk: list[Item], monkeypatch: pytest.MonkeyPatch
) -> None:
    hears(monkeypatch, Hears(ValueError("odd"), fails=1000))
    of, sink = Instruments(), Kept()
    service(configured(), at_once(sound(talk)), sink, of).run()
    assert any(each.modalities.audio.present for each in sink.predictions)
    assert not any(each.modalities.text.present for each in sink.predictions)
    assert counted(of, "inference_failures_total", reason="ValueError") > 0
    assert counted(of, "dead_letters_total", reason="inference") > 0
