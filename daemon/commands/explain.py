"""`affectd explain`: for each window of stored sessions, which pictures, seconds and words moved the answer.

Each line of JSON is of one window; its `id` is that of the prediction which `affectd replay` gives with the same
configuration, so that the two can be laid side by side. Times are seconds from the start of the window, words are
character offsets of the line: no text, sound or picture is written. Sessions go through the daemon's own timeline and
preparation, in one thread; only asked for windows are prepared. Left out: smoothing over earlier windows, since what
is told is what lies in this one.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.cli.progress import OnProgress, counted
from daemon.config import Config
from daemon.runtime.wiring import limits, timeline_config
from daemon.scoring.preparer import build_preparer
from daemon.scoring.results import UnitRows
from daemon.telemetry.instruments import Instruments
from models.explanation.attribution import Attribution, EventShare, WindowEvent, attribute
from models.explanation.sentences import ModalityEvidence, emotion_sentence, risk_sentence, target_sentence
from models.model import AffectModel
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.origin import STORED
from streams.alignment.sessions import Sessions
from streams.clock import NS_PER_S
from streams.decoding.decode import decode_record
from streams.delivery.ledger import Ledger
from streams.events import EncodingUnit, Line
from streams.formats.rfc3339 import format_ns
from streams.predictions import prediction_id
from streams.reasons import BadRecord
from streams.records import EndOfSession, OfSession, Progress, Record
from streams.sources.stored.discovery import StoredOptions, stored_sessions
from streams.sources.stored.playback import Playback

SCHEMA = "affectd.explanation/1"
_DIGITS = 4  # of shares: attribution is good to 1e-4
_DIGITS_S = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """Which windows, and towards what.

    at_s: those that hold this many seconds after the session's first record; all where it is None. target: an emotion
    or a risk; where it is None, each window's most probable emotion.
    """

    at_s: float | None = None
    target: str | None = None


def explain(
    config: Config,
    paths: Sequence[Path],
    asked: Asked,
    told: Callable[[dict[str, Any], str], None],
    progress: OnProgress = lambda _: None,
) -> None:
    """told: called with each window's explanation and a sentence for a person, in the order of windows.

    SourceError where a path names no session, or what is in it cannot be read; the rest is explained first.
    """
    instruments = Instruments()
    sessions = stored_sessions(paths, StoredOptions(sample_hz=config.video.sample_hz, telemetry=instruments.metrics))
    model = AffectModel.load(config.model.path, config.model.device, config.model.threads)
    room = _Room(config, model, asked, told, instruments)
    playback = Playback(sessions, instruments.clock)
    playback.open()

    def take(item: OfSession) -> None:
        progress(f"{playback.played_ns / NS_PER_S:.0f} s read: {counted(room.explained, 'window')} explained")
        room.take(item)

    try:
        playback.read(take, threading.Event())
    finally:
        playback.close()


class _Room:
    """Records in, explanations out, in the caller's thread."""

    def __init__(
        self,
        config: Config,
        model: AffectModel,
        asked: Asked,
        told: Callable[[dict[str, Any], str], None],
        instruments: Instruments,
    ) -> None:
        timeline, timeout_ns = timeline_config(config), config.windows.session_timeout_ns
        ledger = Ledger(timeline.grid)
        self._sessions = Sessions(timeline, timeout_ns, instruments.clock, instruments.metrics, ledger)
        self._limits = limits(config)
        self._preparer = build_preparer(config, model)
        self._model, self._asked, self._told = model, asked, told
        self._size_ns = timeline.grid.size_ns
        self._began_ns: dict[str, int] = {}
        self.explained = 0

    def take(self, item: OfSession) -> None:
        """One item of a playback; windows that close by it are explained at once."""
        source = "media"
        match item:
            case Record():
                self._began_ns.setdefault(item.session, item.event_time_ns)
                try:
                    event = decode_record(item, self._limits, live=False)
                except BadRecord:
                    return
                units = self._sessions.add(event, source, STORED)
            case Progress(session=session, modality=modality, through_ns=through_ns):
                units = self._sessions.progress(session, modality, through_ns, source, STORED)
            case EndOfSession(session=session):
                units = self._sessions.end(session, source)
            case _:
                return
        for unit in units:
            self._prepare(unit)
        for window in self._sessions.ready_windows(item.session):
            if self._wanted(window.session, window.start_ns, window.end_ns):
                self._explain(window)
        if isinstance(item, EndOfSession):
            self._preparer.forget(item.session)

    def _wanted(self, session: str, start_ns: int, end_ns: int) -> bool:
        if self._asked.at_s is None:
            return True
        at_ns = self._began_ns[session] + round(self._asked.at_s * NS_PER_S)
        return start_ns <= at_ns < end_ns

    def _prepare(self, unit: EncodingUnit) -> None:
        """Keeps what was prepared of the unit as its result, where some window that is asked for may hold it."""
        if self._wanted(unit.session, unit.start_ns - self._size_ns, unit.end_ns + self._size_ns):
            try:
                unit.result = self._preparer.prepare(unit)
            except BadRecord:
                unit.result = None
        unit.finish()

    def _explain(self, window: ClosedWindow) -> None:
        events = {
            modality.value: [_event(unit, unit.result) for unit in units if _gave_rows(unit)]
            for modality, units in window.units.items()
        }
        found = attribute(self._model, events, self._asked.target)
        self.explained += 1
        self._told(_object(window, found, self._model.digest), _sentence(found, self._asked.target))


def _gave_rows(unit: EncodingUnit) -> bool:
    return isinstance(unit.result, UnitRows) and bool(unit.result.rows)


def _event(unit: EncodingUnit, prepared: UnitRows) -> WindowEvent:
    line = unit.payload.text if isinstance(unit.payload, Line) else None
    return WindowEvent(unit.start_ns, unit.end_ns, prepared.rows, line)


def _object(window: ClosedWindow, found: Attribution, digest: str) -> dict[str, Any]:
    start, end = format_ns(window.start_ns), format_ns(window.end_ns)
    return {
        "schema": SCHEMA,
        "id": prediction_id(window.session, start, end, digest),
        "session": window.session,
        "window": {"start": start, "end": end},
        "label": found.scores.label,
        "target": found.target,
        "unit": "probability",
        "worth": round(found.value, _DIGITS),
        "without": round(found.baseline, _DIGITS),
        "modalities": {
            name: {
                "share": round(each.share, _DIGITS),
                "events": [_event_object(event, window.start_ns) for event in each.events],
            }
            for name, each in found.modality.items()
        },
    }


def _event_object(event: EventShare, from_ns: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "start_s": round((event.start_ns - from_ns) / NS_PER_S, _DIGITS_S),
        "end_s": round((event.end_ns - from_ns) / NS_PER_S, _DIGITS_S),
        "events": event.events,
        "share": round(event.share, _DIGITS),
    }
    if event.words is not None:
        told["words"] = [
            {"start": word.start, "end": word.end, "logit": round(word.evidence, _DIGITS)} for word in event.words.words
        ]
        told["line_logit"] = round(event.words.evidence, _DIGITS)
        told["empty_line_logit"] = round(event.words.baseline, _DIGITS)
    return told


def _sentence(found: Attribution, target: str | None) -> str:
    """About the target that was asked for; else about the emotion that is answered, and the risk."""
    scores = found.scores
    if target is not None:
        shares = {name: ModalityEvidence(each.share) for name, each in found.modality.items()}
        return target_sentence(target, found.value, shares)
    evidence = {name: ModalityEvidence(each.contribution) for name, each in scores.modality.items() if each.present}
    said = emotion_sentence(scores.label, max(scores.emotion), evidence, scores.abstained)
    risk = risk_sentence(scores.risk.level, [(reason.code, reason.weight) for reason in scores.risk.reasons])
    return f"{said} {risk}".rstrip()
