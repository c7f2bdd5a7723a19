"""`affectd explain`: attributes each window's answer to its events.

It says which pictures, seconds of voice and words moved the answer. Each line of JSON is of one window. Its `id` is
that of the prediction which `affectd replay` gives with the same configuration, so that the two can be compared. Times
are seconds from the start of the window, words are character offsets of the line: no text, sound or picture is written.
Each spoken word is an event of text at the time when it is said, with what its utterance gave and its part of the
weight. Sessions are scored in one thread; only what belongs to the wanted windows is encoded. A record that cannot be
used is logged and counted, as in a replay. Left out: smoothing over earlier windows, since a window is explained by
what lies in it.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.commands.progress import OnProgress, counted
from daemon.config import Config
from daemon.scoring.faces_told import faces_told
from daemon.scoring.inline import InlineScorer
from daemon.scoring.participants import units_of
from daemon.scoring.preparer import build_preparer
from daemon.scoring.recognizer import build_transcriber, load_recognizer
from daemon.scoring.results import UnitFeatures, units_with_evidence
from daemon.telemetry.instruments import Instruments
from daemon.wiring import limits, timeline_config
from models.encoder import Encoded
from models.explanation.attribution import Attribution, EventShare, WindowEvent, attribute
from models.explanation.sentences import ModalityEvidence, emotion_sentence, risk_sentence, target_sentence
from models.model import AffectModel
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.driver import AlignmentDriver, RecordCounts
from streams.alignment.sessions import Sessions
from streams.clock import NS_PER_S
from streams.delivery.ledger import Ledger
from streams.events import EncodingUnit, Line, Task
from streams.formats.rfc3339 import format_ns
from streams.predictions import prediction_id
from streams.records import OfSession, Record
from streams.sources.stored.discovery import StoredOptions, stored_sessions
from streams.sources.stored.playback import Playback

SCHEMA = "affectd.explanation/1"
_DIGITS = 4  # of shares: attribution is good to 1e-4
_DIGITS_S = 3


@dataclass(frozen=True, slots=True)
class Question:
    """Which windows to explain, and towards which target.

    at_s: those that hold this many seconds after the session's first record; all where it is None. target: an emotion
    or a risk; where it is None, each window's most probable emotion. participant: whose answer, by id; None for the
    session's.
    """

    at_s: float | None = None
    target: str | None = None
    participant: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many windows were explained, and what became of the records.

    refused: how many records were, by reason.
    """

    windows: int
    counts: RecordCounts
    refused: Mapping[str, int]


def explain(
    config: Config,
    paths: Sequence[Path],
    question: Question,
    on_explanation: Callable[[dict[str, Any], str], None],
    progress: OnProgress = lambda _: None,
    channels: tuple[str, ...] = (),
) -> Outcome:
    """Explains windows, and calls `on_explanation` with each.

    It is called in the order of windows, with the explanation and a sentence for a person. channels: who speaks on each
    channel of sound. SourceError where a path
    names no session, or what is in it cannot be read; the rest is explained first.
    """
    instruments = Instruments()
    options = StoredOptions(sample_hz=config.video.sample_hz, telemetry=instruments.metrics, channels=channels)
    sessions = stored_sessions(paths, options)
    model = AffectModel.load(config.model.path, config.model.device, config.model.threads)
    explainer = _Explainer(config, model, question, on_explanation, instruments)
    playback = Playback(sessions, instruments.clock)
    playback.open()

    def take(item: OfSession) -> None:
        progress(f"{playback.played_ns / NS_PER_S:.0f} s read: {counted(explainer.windows, 'window')} explained")
        explainer.take(item)

    try:
        playback.read(take, threading.Event())
    finally:
        playback.close()
    return Outcome(explainer.windows, explainer.counts, instruments.metrics.refused())


class _Explainer:
    """Takes items, gives explanations, in the caller's thread."""

    def __init__(
        self,
        config: Config,
        model: AffectModel,
        question: Question,
        on_explanation: Callable[[dict[str, Any], str], None],
        instruments: Instruments,
    ) -> None:
        timeline, timeout_ns = timeline_config(config), config.windows.session_timeout_ns
        clock, metrics = instruments.clock, instruments.metrics
        sessions = Sessions(timeline, timeout_ns, clock, metrics, Ledger(timeline.grid))
        driver = AlignmentDriver(sessions, limits(config), clock, metrics)
        recognizer = load_recognizer(config)
        preparer = build_preparer(config, model, recognizer)
        transcriber = build_transcriber(config, recognizer, False, instruments)
        self._scorer = InlineScorer(driver, preparer, model, self._may_explain, transcriber)
        self._detects_language = config.transcription.language == "auto"
        self._model, self._question, self._on_explanation = model, question, on_explanation
        self._size_ns = timeline.grid.size_ns
        self._lookback_ns = 0 if question.participant is None else timeline.lookback_ns
        self._most = config.participants.most_participants
        self._first_ns: dict[str, int] = {}
        """By session, the event time of its first record."""
        self.counts = driver.counts
        self.windows = 0

    def take(self, item: OfSession) -> None:
        """Takes one item of a playback; explains the windows that are ready."""
        if isinstance(item, Record):
            self._first_ns.setdefault(item.session, item.event_time_ns)
        for window in self._scorer.take(item, "media"):
            if self._holds_moment(window.session, window.start_ns, window.end_ns):
                self._explain(window)

    def _holds_moment(self, session: str, start_ns: int, end_ns: int) -> bool:
        """Whether [start_ns, end_ns) of a session holds the wanted moment."""
        if self._question.at_s is None:
            return True
        at_ns = self._first_ns[session] + round(self._question.at_s * NS_PER_S)
        return start_ns <= at_ns < end_ns

    def _may_explain(self, unit: EncodingUnit) -> bool:
        """Whether a wanted window may hold the unit.

        Earlier utterances are heard too where they decide on the language of later ones, and what tells faces apart is
        encoded where one person is asked for.
        """
        if unit.task is Task.TRANSCRIBE and self._detects_language and self._question.at_s is not None:
            at_ns = self._first_ns[unit.session] + round(self._question.at_s * NS_PER_S)
            return unit.start_ns - self._size_ns <= at_ns
        until_ns = unit.end_ns + self._size_ns + self._lookback_ns
        return self._holds_moment(unit.session, unit.start_ns - self._size_ns, until_ns)

    def _explain(self, window: ClosedWindow) -> None:
        participant = self._question.participant
        theirs = window.units if participant is None else units_of(faces_told(window, self._most).units, participant)
        if not any(theirs.values()):
            return
        events = {
            modality.value: [_event(unit, features) for unit, features in units_with_evidence(units)]
            for modality, units in theirs.items()
        }
        attribution = attribute(self._model, events, self._question.target)
        self.windows += 1
        explanation = _object(window, attribution, self._model.digest)
        if participant is not None:
            explanation["participant"] = participant
        self._on_explanation(explanation, _sentence(attribution, self._question.target))


def _event(unit: EncodingUnit, features: UnitFeatures) -> WindowEvent:
    """The event of a unit; a spoken word alone is no line."""
    written = unit.payload.text if isinstance(unit.payload, Line) and not unit.payload.spoken else None
    encoded = Encoded(features.embedding, features.weight * unit.share)
    return WindowEvent(unit.start_ns, unit.end_ns, encoded, written)


def _object(window: ClosedWindow, attribution: Attribution, digest: str) -> dict[str, Any]:
    start, end = format_ns(window.start_ns), format_ns(window.end_ns)
    return {
        "schema": SCHEMA,
        "id": prediction_id(window.session, start, end, digest),
        "session": window.session,
        "window": {"start": start, "end": end},
        "label": attribution.scores.label,
        "target": attribution.target,
        "unit": "probability",
        "worth": round(attribution.value, _DIGITS),
        "without": round(attribution.baseline, _DIGITS),
        "modalities": {
            name: {
                "share": round(each.share, _DIGITS),
                "events": [_event_object(event, window.start_ns) for event in each.events],
            }
            for name, each in attribution.modality.items()
        },
    }


def _event_object(event: EventShare, from_ns: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "start_s": round((event.start_ns - from_ns) / NS_PER_S, _DIGITS_S),
        "end_s": round((event.end_ns - from_ns) / NS_PER_S, _DIGITS_S),
        "events": event.events,
        "share": round(event.share, _DIGITS),
    }
    if event.words is not None:
        shown["words"] = [
            {"start": word.start, "end": word.end, "logit": round(word.evidence, _DIGITS)} for word in event.words.words
        ]
        shown["line_logit"] = round(event.words.evidence, _DIGITS)
        shown["empty_line_logit"] = round(event.words.baseline, _DIGITS)
    return shown


def _sentence(attribution: Attribution, target: str | None) -> str:
    """A sentence on the target; without one, on emotion and risk."""
    scores = attribution.scores
    if target is not None:
        shares = {name: ModalityEvidence(each.share) for name, each in attribution.modality.items()}
        return target_sentence(target, attribution.value, shares)
    evidence = {name: ModalityEvidence(each.contribution) for name, each in scores.modality.items() if each.present}
    emotion = emotion_sentence(scores.label, max(scores.emotion), evidence, scores.abstained)
    risk = risk_sentence(scores.risk.level, [(reason.code, reason.weight) for reason in scores.risk.reasons])
    return f"{emotion} {risk}".rstrip()
