"""Replaces the model by hashes of units and of windows.

A unit becomes the hash of its content, and a window's scores come from all of its units.

So a window that holds, or has a history of, anything else than it should gives another prediction, at no cost. What
every window of some records must give is computed here without Kafka, threads or time: `expected`.
"""

import hashlib
import json
import os
import signal
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch

from daemon.config import Config
from daemon.scoring.fusing import MOST_PARTICIPANTS
from daemon.scoring.participants import participants_of, units_of
from daemon.scoring.prediction_builder import PredictionSettings, build_prediction
from daemon.scoring.results import ParticipantScores, ScoredWindow, UnitFeatures
from daemon.telemetry.instruments import Instruments
from daemon.wiring import limits, timeline_config
from models.artifact import SHIPPED, read_manifest
from models.labels import EMOTIONS
from models.scores import NO_RISK, ModalityScores, Scores
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.origin import STORED
from streams.alignment.sessions import Sessions
from streams.clock import ManualClock
from streams.deadline import Deadline
from streams.decoding.decode import decode_record
from streams.delivery.crash_journal import CrashJournal
from streams.delivery.ledger import Ledger
from streams.events import EncodingUnit, Line, Picture, SoundPieces
from streams.predictions import ModelRef
from streams.records import MEDIA, Record
from streams.telemetry import NullTelemetry

MODEL = ModelRef(name="hash", version="1", digest="sha256:0")

KILLER = "a line that ends the process"

NO_SPEECH = {"enabled": False}
"""Transcription of configurations in which nothing is recognised."""

Content = dict[str, Any]
"""A prediction without what may differ between two runs: when it was computed, and by what its window closed."""


class HashingModel:
    """What `daemon.scoring.threads` needs of a model beside scoring."""

    name, version, digest, device = MODEL.name, MODEL.version, MODEL.digest, torch.device("cpu")
    manifest = read_manifest(SHIPPED)

    @classmethod
    def load(cls, *_: object) -> "HashingModel":
        return cls()

    def warm_up(self, rows: int) -> None:
        """Nothing is cold."""


class HashingEngine:
    """Implements `daemon.scoring.pipeline.Engine`, and is made like `daemon.scoring.engine.ScoringEngine`."""

    takes_s = 0.0
    """How long a unit is under way."""
    broken = False

    def __init__(
        self,
        model: object,
        preparer: object,
        batching: object,
        encoded: Callable[[EncodingUnit], None],
        scored: Callable[[ScoredWindow], None],
        instruments: Instruments,
        lookback: object = None,
        crash_journal: CrashJournal | None = None,
        transcriber: object = None,
    ) -> None:
        self._crash_journal = crash_journal or CrashJournal(None, instruments.clock)
        self._encoded = encoded
        self._scored = scored

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self, deadline: Deadline) -> None:
        """There is nothing to stop."""

    def forget(self, session: str) -> None:
        """Nothing is remembered."""

    def encode(self, unit: EncodingUnit) -> None:
        with self._crash_journal.working_on(unit.sources):
            if isinstance(unit.payload, Line) and unit.payload.text == KILLER:
                os.kill(os.getpid(), signal.SIGKILL)
            unit.result = hashed(unit)
        if not self.takes_s:
            self._encoded(unit)
            return
        later = threading.Timer(self.takes_s, self._encoded, [unit])
        later.daemon = True
        later.start()

    def score(self, window: ClosedWindow) -> None:
        self._scored(scored(window))


def hashed(unit: EncodingUnit) -> UnitFeatures:
    """One row that stands for the whole content of the unit."""
    content = hashlib.sha256(f"{unit.start_ns} {unit.end_ns} {unit.received_fraction}".encode())
    match unit.payload:
        case Picture(payload=payload):
            content.update(payload)
        case Line(text=text, author=author, lang=lang):
            content.update(repr((text, author, lang)).encode())
        case SoundPieces(pieces=pieces):
            for start_ns, sound in pieces:
                content.update(start_ns.to_bytes(8, "big") + sound.samples.tobytes())
    number = int.from_bytes(content.digest()[:6], "big")
    return UnitFeatures(torch.tensor([[number]]), torch.ones(1), {}, 0.0)


def scores(window: ClosedWindow) -> Scores:
    """Scores that only the same units and the same history give."""
    content = hashlib.sha256(f"{window.session} {window.start_ns}".encode())
    for modality, units in (*window.units.items(), *window.lookback.items()):
        content.update(f"{modality} {[int(unit.result.embedding[0, 0]) for unit in units]}".encode())
    digest = content.digest()
    total = sum(digest[: len(EMOTIONS)]) or 1
    modalities = {m.value: ModalityScores(bool(units), 0.0, None) for m, units in window.units.items()}
    return Scores(
        emotion=tuple(byte / total for byte in digest[: len(EMOTIONS)]),
        label=EMOTIONS[digest[8] % len(EMOTIONS)],
        valence=int.from_bytes(digest[9:12], "big") / 2**24,
        arousal=int.from_bytes(digest[12:15], "big") / 2**24,
        entropy=1.0,
        modality=modalities,
        risk=NO_RISK,
        abstained=None,
    )


def scored(window: ClosedWindow) -> ScoredWindow:
    """A window with its scores and those of the people in it."""
    told, _ = participants_of(window.units, MOST_PARTICIPANTS)
    people = []
    for participant in told:
        units, lookback = units_of(window.units, participant.id), units_of(window.lookback, participant.id)
        theirs = scores(replace(window, units=units, lookback=lookback))
        people.append(ParticipantScores(participant, theirs, units))
    return ScoredWindow(window, scores(window), 0.0, 0.0, tuple(people))


def content(line: bytes) -> Content:
    """What two predictions of the same window must have in common."""
    published: Content = json.loads(line)
    del published["timing"], published["alignment"], published["window"]["closed_by"]
    return published


def expected(records: Iterable[Record], config: Config) -> dict[str, Content]:
    """What must be published of these records, by id."""
    published: dict[str, Content] = {}
    clock, of_config, telemetry = ManualClock(), timeline_config(config), NullTelemetry()
    profile, windows = config.privacy.purpose or "default", config.windows
    settings = PredictionSettings(MODEL, profile, False, config.video.sample_hz, windows.segments)
    sessions = Sessions(of_config, 10**18, clock, telemetry, Ledger(of_config.grid))

    def take(units: Iterable[EncodingUnit]) -> None:
        for unit in units:
            unit.result = hashed(unit)
            unit.finish()
        for window in sessions.ready_windows():
            prediction = build_prediction(scored(window), scores(window), settings, 0.0)
            published[prediction.id] = content(prediction.json_line())

    ordered = sorted(records, key=lambda record: (record.event_time_ns, list(MEDIA).index(record.modality)))
    for record in ordered:
        take(sessions.add(decode_record(record, limits(config), live=False), "log", STORED))
    for session in {record.session for record in ordered}:
        take(sessions.end(session, "log"))
    return published
