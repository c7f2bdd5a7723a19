"""The daemon put together, with the model that is shipped and a source in memory."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jsonschema
import pytest

from daemon.config import Config
from daemon.config.sections import HttpSettings, LifecycleSettings, ModelSettings, TranscriptionSettings
from daemon.exit_codes import ExitCode
from daemon.runtime.sdnotify import ServiceNotifier
from daemon.runtime.service import Service
from daemon.telemetry.instruments import Instruments
from daemon.wiring import Endpoints, SourceFeed, stored_endpoints
from models.artifact import MANIFEST, SHIPPED
from models.model import AffectModel
from streams.channels.channel import OverflowPolicy
from streams.predictions import Prediction, json_schema
from streams.records import EndOfSession, Item, Modality, Record
from streams.sinks.base import SinkError
from streams.sinks.json_lines import JsonLines
from streams.sources.base import Emit, SourceError
from tests.streams.making import ns

pytestmark = [
    pytest.mark.unit,
    pytest.mark.skipif(not (SHIPPED / MANIFEST).is_file(), reason=f"no model is shipped at {SHIPPED}"),
]

_PATIENCE_S = 60.0
SILENT = TranscriptionSettings(enabled=False)
"""Nobody speaks here, and the recogniser takes a second to load."""


@dataclass
class InMemory:
    """A source with an end: emits its items once it `may_open`, asking `meanwhile` before that."""

    items: Sequence[Item]
    name: str = "memory"
    modalities: frozenset[Modality] = frozenset({Modality.TEXT})
    live: bool = False
    fault: str = ""
    bug: Exception | None = None
    may_open: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event = field(default_factory=threading.Event)

    def open(self) -> None:
        self.may_open.wait(_PATIENCE_S)
        if self.fault:
            raise SourceError(self.fault)

    def read(self, emit: Emit, stop: threading.Event) -> None:
        for item in self.items:
            emit(item)
        if self.bug is not None:
            raise self.bug
        self.may_end.wait(_PATIENCE_S)

    def close(self) -> None:
        """Holds nothing."""


@dataclass
class Kept:
    """Keeps predictions in the order they came."""

    name: str = "kept"
    refuses: bool = False
    predictions: list[Prediction] = field(default_factory=list)
    came: threading.Event = field(default_factory=threading.Event)

    def publish(self, prediction: Prediction, line: bytes) -> None:
        if self.refuses:
            raise SinkError("kept: full")
        self.predictions.append(prediction)
        self.came.set()

    def flush(self, timeout_s: float) -> bool:
        return True

    def close(self) -> None:
        """Holds nothing."""


LINES = ("good morning everyone", "this is going so well, thank you!", "I am so happy with it", "see you tomorrow")


def chat(session: str = "room") -> list[Item]:
    said: list[Item] = [
        Record(session, Modality.TEXT, "text/plain", text.encode(), ns(at_s), ns(at_s))
        for at_s, text in enumerate(LINES)
    ]
    return [*said, EndOfSession(session)]


def service(source: InMemory, sink: Kept, batch_rows: int = 4) -> Service:
    config = Config(
        http=HttpSettings(bind=""), model=ModelSettings(device="cpu", batch_rows=batch_rows), transcription=SILENT
    )
    return Service(config, stored_endpoints(config, SourceFeed(source, OverflowPolicy.BLOCK, 64), sink), Instruments())


def service_of(*feeds: SourceFeed) -> Service:
    config = Config(http=HttpSettings(bind=""), model=ModelSettings(device="cpu"), transcription=SILENT)
    return Service(config, replace(stored_endpoints(config, feeds[0], Kept()), feeds=feeds), Instruments())


def running(daemon: Service) -> tuple[threading.Thread, list[int]]:
    exits: list[int] = []
    main = threading.Thread(target=lambda: exits.append(daemon.run()))
    main.start()
    return main, exits


def at_once(source: InMemory) -> InMemory:
    source.may_open.set()
    source.may_end.set()
    return source


def eventually(holds: Callable[[], bool]) -> None:
    """Waits for what another thread does; fails by the test's own time limit."""
    pause = threading.Event()
    while not holds():
        pause.wait(0.02)


@pytest.fixture(scope="module", autouse=True)
def model() -> Iterator[AffectModel]:
    """One model for all of these tests, since loading it is most of what they take."""
    loaded = AffectModel.load("default", "cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AffectModel, "load", lambda folder, device, threads: loaded)
        yield loaded


def scored(source: InMemory, batch_rows: int = 4) -> tuple[int, list[Prediction]]:
    sink = Kept()
    return service(source, sink, batch_rows).run(), sink.predictions


@pytest.fixture(scope="module")
def of_a_chat() -> tuple[int, list[Prediction]]:
    return scored(at_once(InMemory(chat())))


def test_a_chat_is_scored_to_its_end_in_order(of_a_chat: tuple[int, list[Prediction]]) -> None:
    code, predictions = of_a_chat
    starts = [prediction.window.start for prediction in predictions]
    assert code == ExitCode.OK
    assert starts == sorted(set(starts))
    assert len(starts) == 7  # windows of 4 s that hold a line of seconds 0 to 3
    assert {prediction.session for prediction in predictions} == {"room"}


def test_what_it_publishes_is_of_the_schema_and_of_chat_alone(of_a_chat: tuple[int, list[Prediction]]) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    for prediction in of_a_chat[1]:
        validator.validate(prediction.model_dump(mode="json", by_alias=True))
        assert prediction.modalities.text.present
        assert not prediction.modalities.video.present
        assert not prediction.modalities.audio.present
        assert prediction.transcript is None


def test_the_same_chat_gives_the_same_predictions_whatever_the_batches(of_a_chat: tuple[int, list[Prediction]]) -> None:
    again = scored(at_once(InMemory(chat())), batch_rows=1)
    for first, second in zip(of_a_chat[1], again[1], strict=True):
        one, other = (told.model_dump(exclude={"timing", "modalities", "emotion", "risk"}) for told in (first, second))
        assert one == other
        assert (first.emotion.label, first.risk.level) == (second.emotion.label, second.risk.level)
        assert figures(first) == pytest.approx(figures(second), abs=1e-5)


def figures(prediction: Prediction) -> dict[str, float]:
    return prediction.emotion.probabilities.model_dump() | prediction.risk.categories.model_dump()


def test_it_is_ready_only_when_it_is_warm_and_its_sources_are_open() -> None:
    source, sink = InMemory(chat()), Kept()
    daemon = service(source, sink)
    exits: list[int] = []
    main = threading.Thread(target=lambda: exits.append(daemon.run()))
    assert not daemon.view.ready().ok
    assert any("starting" in reason for reason in daemon.view.ready().reasons)
    main.start()
    eventually(lambda: daemon.view.status()["state"] == "opening")
    assert not daemon.view.ready().ok
    assert all("source memory" in reason for reason in daemon.view.ready().reasons)
    source.may_open.set()
    eventually(lambda: daemon.view.status()["state"] == "running")
    assert daemon.view.ready().ok
    assert daemon.view.live().ok
    source.may_end.set()
    main.join(_PATIENCE_S)
    assert not daemon.view.ready().ok
    assert daemon.view.status()["state"] == "stopped"
    assert exits == [ExitCode.OK]


@pytest.fixture
def started_cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares a test that scores nothing the seconds of warming up."""
    monkeypatch.setattr(AffectModel, "warm_up", lambda model, rows: None)


class Systemd:
    """Hears what systemd would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heard: list[str] = []
        monkeypatch.setattr(ServiceNotifier, "_send", lambda notifier, message: self.heard.append(message))

    def has_started(self) -> bool:
        return any("READY=1" in message for message in self.heard)


def away() -> InMemory:
    return InMemory([], name="camera", fault="camera: is not there", live=True)


@pytest.mark.usefixtures("started_cold")
@pytest.mark.parametrize("required", [True, False])
def test_one_source_that_is_away_holds_up_readyz_if_it_is_required_and_never_the_start(
    required: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd, healthy, camera = Systemd(monkeypatch), InMemory([]), away()
    healthy.may_open.set()
    camera.may_open.set()
    daemon = service_of(
        SourceFeed(healthy, OverflowPolicy.BLOCK, 64), SourceFeed(camera, OverflowPolicy.BLOCK, 64, required=required)
    )
    main, exits = running(daemon)
    eventually(systemd.has_started)
    assert daemon.view.ready().ok is not required
    eventually(lambda: "STATUS=scoring; source camera is waiting: camera: is not there" in "".join(systemd.heard))
    if required:
        assert daemon.view.ready().reasons == ("source camera is waiting: camera: is not there",)
    assert {source["name"]: source["required"] for source in daemon.view.status()["sources"]}["camera"] is required
    daemon.stop()
    healthy.may_end.set()
    main.join(_PATIENCE_S)
    assert exits == [ExitCode.OK]


@pytest.mark.usefixtures("started_cold")
def test_with_no_source_open_systemd_is_asked_to_wait_and_told_for_what(monkeypatch: pytest.MonkeyPatch) -> None:
    systemd, camera = Systemd(monkeypatch), away()
    camera.may_open.set()
    daemon = service_of(SourceFeed(camera, OverflowPolicy.BLOCK, 64))
    main, exits = running(daemon)
    waits = "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=waiting; source camera is waiting: camera: is not there"
    eventually(lambda: waits in systemd.heard)
    assert not systemd.has_started()
    assert "WATCHDOG=1" in systemd.heard
    daemon.stop()
    main.join(_PATIENCE_S)
    assert exits == [ExitCode.OK]


@pytest.mark.usefixtures("started_cold")
def test_a_source_that_failed_by_a_bug_is_not_ready_and_told_by_the_exit_and_not_by_the_words_of_the_error() -> None:
    healthy, faulty = InMemory([]), at_once(InMemory([], name="file", bug=ValueError("what was said")))
    healthy.may_open.set()
    daemon = service_of(SourceFeed(healthy, OverflowPolicy.BLOCK, 64), SourceFeed(faulty, OverflowPolicy.BLOCK, 64))
    main, exits = running(daemon)
    eventually(lambda: any("source file is failed: ValueError" in reason for reason in daemon.view.ready().reasons))
    eventually(lambda: daemon.view.status()["state"] == "opening")
    assert "what was said" not in str((daemon.view.ready(), daemon.view.status()))
    daemon.stop()
    healthy.may_end.set()
    main.join(_PATIENCE_S)
    assert exits == [ExitCode.BUG]


@pytest.mark.usefixtures("started_cold")
def test_a_live_source_that_breaks_by_a_bug_is_opened_again_and_counted() -> None:
    healthy, faulty = InMemory([]), at_once(InMemory([], name="camera", bug=ValueError("x"), live=True))
    healthy.may_open.set()
    daemon = service_of(SourceFeed(healthy, OverflowPolicy.BLOCK, 64), SourceFeed(faulty, OverflowPolicy.BLOCK, 64))
    main, _ = running(daemon)
    eventually(lambda: b'affectd_source_reconnects_total{source="camera"}' in daemon.view.metrics("")[0])
    faulty.bug = None
    eventually(lambda: faulty.may_end.is_set() and daemon.view.ready().ok)
    daemon.stop()
    healthy.may_end.set()
    main.join(_PATIENCE_S)


def test_asked_to_stop_it_publishes_what_it_has_and_leaves() -> None:
    source, sink = InMemory(chat()[:-1]), Kept()  # the session has not ended
    source.may_open.set()
    daemon = service(source, sink)
    exits: list[int] = []
    main = threading.Thread(target=lambda: exits.append(daemon.run()))
    main.start()
    eventually(lambda: daemon.view.status()["windows_open"] > 0)
    daemon.stop()
    source.may_end.set()
    main.join(_PATIENCE_S)
    assert exits == [ExitCode.OK]
    assert "drain" in {prediction.window.closed_by for prediction in sink.predictions}
    assert len(sink.predictions) == 7


def test_a_source_that_cannot_be_opened_makes_the_exit_say_so() -> None:
    source = at_once(InMemory([], fault="memory: is not there"))
    assert service(source, Kept()).run() == ExitCode.BAD_DATA


def test_a_sink_that_refuses_makes_the_exit_say_so() -> None:
    assert service(at_once(InMemory(chat())), Kept(refuses=True)).run() == ExitCode.UNAVAILABLE


def test_predictions_that_were_refused_leave_the_status_of_a_drain_alone() -> None:
    source = InMemory(chat())
    source.may_open.set()
    daemon = service(source, Kept(refuses=True))
    exits: list[int] = []
    main = threading.Thread(target=lambda: exits.append(daemon.run()))
    main.start()
    eventually(lambda: "affectd_publish_errors_total 7.0" in daemon.view.metrics("")[0].decode())
    daemon.stop()
    source.may_end.set()
    main.join(_PATIENCE_S)
    assert exits == [ExitCode.OK]


@pytest.mark.usefixtures("started_cold")
def test_a_reader_that_leaves_ends_it_without_an_error_and_without_scoring_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    config = Config(http=HttpSettings(bind=""), model=ModelSettings(device="cpu"), transcription=SILENT)
    source = at_once(InMemory(chat()))
    sink = JsonLines("stdout", writing, reader_left=lambda: daemon.abandon())
    daemon = Service(
        config, stored_endpoints(config, SourceFeed(source, OverflowPolicy.BLOCK, 64), sink), Instruments()
    )
    assert daemon.run() == ExitCode.OK
    os.close(writing)
    heard = capsys.readouterr()
    assert "error" not in heard.out + heard.err


@pytest.mark.usefixtures("started_cold")
def test_input_that_has_ended_is_scored_to_its_end_however_long_the_drain_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink, scores = Kept(), AffectModel.fuse

    def slowly(model: AffectModel, windows: Any) -> Any:
        threading.Event().wait(0.3)
        return scores(model, windows)

    monkeypatch.setattr(AffectModel, "fuse", slowly)
    config = Config(
        http=HttpSettings(bind=""),
        model=ModelSettings(device="cpu", batch_rows=1),
        transcription=SILENT,
        lifecycle=LifecycleSettings(drain_timeout_s=0.1),
    )
    feed = SourceFeed(at_once(InMemory(chat())), OverflowPolicy.BLOCK, 64)
    daemon = Service(config, stored_endpoints(config, feed, sink), Instruments())
    assert (daemon.run(), len(sink.predictions)) == (ExitCode.OK, 7)


def test_input_that_has_ended_waits_for_a_reader_who_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.runtime.drain._STALLED_S", 1.0)
    monkeypatch.setattr("daemon.scoring.blocked_sinks._SILENT_NS", 0)
    sink, asked = Kept(), iter(range(6))

    def pauses(kept: Kept, timeout_s: float) -> bool:
        return threading.Event().wait(timeout_s) or next(asked, None) is None

    monkeypatch.setattr(Kept, "flush", pauses)
    assert service(at_once(InMemory(chat())), sink).run() == ExitCode.OK
    assert len(sink.predictions) == 7


@pytest.mark.parametrize("somebody_waits", [True, False])
def test_the_model_is_warmed_up_only_where_somebody_waits_for_the_first_window(
    somebody_waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    warmed_up: list[int] = []
    monkeypatch.setattr(AffectModel, "warm_up", lambda model, rows: warmed_up.append(rows))
    config = Config(http=HttpSettings(bind=""), model=ModelSettings(device="cpu", batch_rows=8), transcription=SILENT)
    stored = stored_endpoints(config, SourceFeed(at_once(InMemory([])), OverflowPolicy.BLOCK, 64), Kept())
    endpoints = Endpoints(stored.feeds, stored.sinks, stored.ledger) if somebody_waits else stored
    assert Service(config, endpoints, Instruments()).run() == ExitCode.OK
    assert warmed_up == [8] * somebody_waits


def test_a_device_that_computes_nothing_any_more_ends_it_and_the_exit_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(AffectModel, "warm_up", lambda model, rows: None)
    monkeypatch.setattr(AffectModel, "fuse", broken)
    sink = Kept()
    daemon = service(at_once(InMemory(chat())), sink, batch_rows=1)  # so that each window is a batch
    assert daemon.run() == ExitCode.DEVICE_FAULT
    assert not daemon.view.live().ok
    assert sink.predictions == []
